"""The model folder of a precomputed reranker: its manifest, graphs and encoder."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from secondpass.errors import InputError, ModelDamagedError, ModelError, ModelNotFoundError
from secondpass.inference.model_folder import ModelFolder, open_folder, sha256
from secondpass.models import BUNDLED, bundled_path
from secondpass.rerank.early_exit import EarlyExit
from secondpass.rerank.policies.blend import check_weights

COMPRESS, START, SPANS = "compress.onnx", "start.onnx", "spans.onnx"


@dataclass(frozen=True, slots=True)
class PrecomputedFolder:
    """The files and settings of a precomputed reranker.

    - `encoder`: the folder of its encoder; `compress`: the graph that computes records;
      `score`: the graph that reads them for a query.
    - `codes`: int8 numbers a token; `max_length`: tokens of one window of a document,
      special tokens included.
    - `states_digest`: hexadecimal, of all that a record depends on.
    - `scale`, `shift`: turn the graph's scores into log-odds; 1 and 0 where the manifest has no
      `calibration`.
    - `blend`: the weights for a `Blend` that were fitted for it, or None.
    - `start`: the graph of the early score, and `exit`: how to use it; None where the manifest
      has no `exit`.
    - `spans`: the graph that scores sentences, and `span_scale`, `span_shift`: turn its scores
      into log-odds; None, 1 and 0 where the manifest has no `spans`.
    """

    encoder: ModelFolder
    compress: Path
    score: Path
    codes: int
    max_length: int
    states_digest: str
    scale: float
    shift: float
    blend: Mapping[str, float] | None
    start: Path | None
    exit: EarlyExit | None
    spans: Path | None
    span_scale: float
    span_shift: float


def read_precomputed_folder(folder: ModelFolder) -> PrecomputedFolder:
    """Read the manifest and open the folder of the encoder.

    Raises `ModelDamagedError` for an incomplete manifest or folder, `ModelNotFoundError` for a
    missing encoder, `ModelError` for an encoder that is not the model's own.
    """
    manifest, compress = folder.manifest, folder.path / COMPRESS
    try:
        codes, max_length = int(manifest["codes"]), int(manifest["max_length"])
        encoder_entry = dict(manifest["encoder"])
        scale, shift = _line(manifest, "calibration")
        span_scale, span_shift = _line(manifest, "spans")
        weights = manifest.get("blend")
        blend = None if weights is None else check_weights(weights)
        exit_entry = manifest.get("exit")
        early_exit = None if exit_entry is None else EarlyExit.from_object(exit_entry)
    except InputError as error:
        raise _damaged(folder, f"blend: {error.what}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(
            folder, f"secondpass.json is incomplete or not valid: {error}"
        ) from error
    if codes < 1 or max_length < 1:
        raise _damaged(folder, f"codes is {codes} and max_length is {max_length}")
    if folder.onnx is None or not compress.is_file():
        raise _damaged(folder, f"it has no {COMPRESS}" if folder.onnx else "no model.onnx")
    start = None if early_exit is None else folder.path / START
    if start is not None and not start.is_file():
        raise _damaged(folder, f"it has no {START}")
    spans = None if manifest.get("spans") is None else folder.path / SPANS
    if spans is not None and not spans.is_file():
        raise _damaged(folder, f"it has no {SPANS}")
    encoder = _open_encoder(folder, encoder_entry)
    recorded = manifest.get("files", {}).get(COMPRESS)
    checksum = sha256(compress) if recorded is None else str(recorded["sha256"])
    states = hashlib.sha256(f"{encoder.digest}\n{checksum}\n{codes}".encode()).hexdigest()
    return PrecomputedFolder(
        encoder=encoder,
        compress=compress,
        score=folder.onnx,
        codes=codes,
        max_length=max_length,
        states_digest=states,
        scale=scale,
        shift=shift,
        blend=blend,
        start=start,
        exit=early_exit,
        spans=spans,
        span_scale=span_scale,
        span_shift=span_shift,
    )


def without_spans(folder: ModelFolder) -> ModelFolder:
    """Return the folder without what scores sentences, which changes no score of a document."""
    manifest = {name: value for name, value in folder.manifest.items() if name != "spans"}
    if manifest.get("files"):
        manifest["files"] = {n: f for n, f in manifest["files"].items() if n != SPANS}
    return replace(folder, manifest=manifest)


def _line(manifest: Mapping[str, Any], name: str) -> tuple[float, float]:
    """Return the scale and shift of an entry, 1 and 0 without one; ValueError for others."""
    entry = manifest.get(name) or {"scale": 1.0, "shift": 0.0}
    scale, shift = float(entry["scale"]), float(entry["shift"])
    if not (scale > 0 and math.isfinite(scale) and math.isfinite(shift)):
        raise ValueError(f"{name} is {entry}")
    return scale, shift


def _open_encoder(folder: ModelFolder, entry: dict[str, object]) -> ModelFolder:
    if "model" in entry:
        name = str(entry["model"])
        if name not in BUNDLED:
            raise ModelNotFoundError(
                f"The encoder {name!r} is not bundled",
                where=str(folder.path),
                fix="Update with: pip install --upgrade secondpass",
            )
        encoder = open_folder(bundled_path(name))
    elif "folder" in entry:
        inside = (folder.path / str(entry["folder"])).resolve()
        if not inside.is_relative_to(folder.path.resolve()):
            raise _damaged(folder, f"its encoder {str(inside)!r} is outside of it")
        encoder = open_folder(inside)
    else:
        raise _damaged(folder, "its encoder has neither 'model' nor 'folder'")
    digest = entry.get("digest")
    if digest is not None and encoder.digest != digest:
        raise ModelError(
            "The reranker was trained for another encoder",
            where=str(folder.path),
            why=f"the digest of {entry.get('model', entry.get('folder'))!r} is "
            f"{encoder.digest[:12]}…, and that of its own encoder is {str(digest)[:12]}…",
            fix="Use the version of secondpass that it was made with, or train it again.",
        )
    if encoder.architecture != "embedder":
        raise _damaged(folder, f"its encoder is a {encoder.architecture}, not an embedder")
    return encoder


def _damaged(folder: ModelFolder, why: str) -> ModelDamagedError:
    return ModelDamagedError(
        "The reranker cannot be used",
        where=str(folder.path),
        why=why,
        fix="Restore the folder, or export it again.",
    )
