"""What a reader's folder says, and the encoder that it names."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from secondpass.errors import InputError, ModelDamagedError, ModelError, ModelNotFoundError
from secondpass.inference.model_folder import ModelFolder, open_folder, sha256
from secondpass.models import BUNDLED, bundled_path
from secondpass.rerank.early_exit import EarlyExit
from secondpass.rerank.policies.blend import check_weights

COMPRESS, START = "compress.onnx", "start.onnx"


@dataclass(frozen=True, slots=True)
class PrecomputedFolder:
    """A reader's files.

    - `encoder`: the folder of its encoder; `compress`: the graph that makes records;
      `score`: the graph that reads them.
    - `codes`: int8 numbers a token; `max_length`: tokens of one window of a document,
      special tokens included.
    - `states_digest`: hexadecimal, of all that a record depends on.
    - `scale`, `shift`: what makes log-odds of the graph's scores; 1 and 0 where the manifest
      has no `calibration`.
    - `blend`: the weights that suit it in a `Blend`, or None.
    - `start`: the graph of the score that reading starts from, and `exit`: how far that
      may be trusted; None where the manifest has no `exit`.
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


def read_reader_folder(folder: ModelFolder) -> PrecomputedFolder:
    """Read the manifest of a reader and open the folder of its encoder.

    Raises `ModelDamagedError` for a manifest or a folder that lacks something,
    `ModelNotFoundError` for an encoder that is not there, `ModelError` for one that is
    not the reader's own.
    """
    manifest, compress = folder.manifest, folder.path / COMPRESS
    try:
        codes, max_length = int(manifest["codes"]), int(manifest["max_length"])
        named = dict(manifest["encoder"])
        calibration = manifest.get("calibration") or {"scale": 1.0, "shift": 0.0}
        scale, shift = float(calibration["scale"]), float(calibration["shift"])
        stated = manifest.get("blend")
        blend = None if stated is None else check_weights(stated)
        said = manifest.get("exit")
        leaving = None if said is None else EarlyExit.from_object(said)
    except InputError as error:
        raise _damaged(folder, f"blend: {error.what}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, f"secondpass.json lacks or garbles {error}") from error
    if not (scale > 0 and math.isfinite(scale) and math.isfinite(shift)):
        raise _damaged(folder, f"calibration is {calibration}")
    if codes < 1 or max_length < 1:
        raise _damaged(folder, f"codes is {codes} and max_length is {max_length}")
    if folder.onnx is None or not compress.is_file():
        raise _damaged(folder, f"it has no {COMPRESS}" if folder.onnx else "no model.onnx")
    start = None if leaving is None else folder.path / START
    if start is not None and not start.is_file():
        raise _damaged(folder, f"it has no {START}")
    encoder = _encoder(folder, named)
    recorded = manifest.get("files", {}).get(COMPRESS)
    made_by = sha256(compress) if recorded is None else str(recorded["sha256"])
    states = hashlib.sha256(f"{encoder.digest}\n{made_by}\n{codes}".encode()).hexdigest()
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
        exit=leaving,
    )


def _encoder(folder: ModelFolder, named: dict[str, object]) -> ModelFolder:
    if "model" in named:
        name = str(named["model"])
        if name not in BUNDLED:
            raise ModelNotFoundError(
                f"The reader's encoder {name!r} is not bundled",
                where=str(folder.path),
                fix="Update with: pip install --upgrade secondpass",
            )
        encoder = open_folder(bundled_path(name))
    elif "folder" in named:
        inside = (folder.path / str(named["folder"])).resolve()
        if not inside.is_relative_to(folder.path.resolve()):
            raise _damaged(folder, f"its encoder {str(inside)!r} is outside of it")
        encoder = open_folder(inside)
    else:
        raise _damaged(folder, "its encoder has neither 'model' nor 'folder'")
    wanted = named.get("digest")
    if wanted is not None and encoder.digest != wanted:
        raise ModelError(
            "The reader was made for another encoder",
            where=str(folder.path),
            why=f"the digest of {named.get('model', named.get('folder'))!r} is "
            f"{encoder.digest[:12]}…, and the reader's own had {str(wanted)[:12]}…",
            fix="Use the reader with the version of secondpass that it was made with, or "
            "train it again.",
        )
    if encoder.architecture != "embedder":
        raise _damaged(folder, f"its encoder is a {encoder.architecture} and no embedder")
    return encoder


def _damaged(folder: ModelFolder, why: str) -> ModelDamagedError:
    return ModelDamagedError(
        "The reader cannot be used",
        where=str(folder.path),
        why=why,
        fix="Restore the folder, or export it again.",
    )
