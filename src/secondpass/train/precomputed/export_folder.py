"""From a training run to a reader's folder, in one go or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from secondpass.errors import InputError, ModelError
from secondpass.inference.model_folder import FORMAT, MANIFEST, ModelFolder, open_folder, sha256
from secondpass.inference.token_encoder import open_encoder
from secondpass.models import bundled_path
from secondpass.train.export import calibrate, verify
from secondpass.train.export.model_card import card, versions
from secondpass.train.export.onnx_graph import halve_constants
from secondpass.train.export.shared_tables import borrow_tables
from secondpass.train.precomputed.early_exit import fit_exit
from secondpass.train.precomputed.export_check import Prepared, feeds_of, prepare, report
from secondpass.train.precomputed.initial_weights import SHAPE, WEIGHTS, from_weights
from secondpass.train.precomputed.onnx_graphs import compress_graph, score_graph, start_graph
from secondpass.train.trainer.checkpoints import RunFolder
from secondpass.train.trainer.train import ENCODER, START

if TYPE_CHECKING:
    import onnx_ir as ir

    from secondpass.train.export.export import Settings
    from secondpass.train.precomputed.module import PrecomputedModule

COMPRESS, SCORE, START_SCORE = "compress.onnx", "model.onnx", "start.onnx"
_OWN_ENCODER = "encoder"


@dataclass(frozen=True, slots=True)
class _Run:
    reader: PrecomputedModule
    encoder: ModelFolder
    document_tokens: int
    source: str
    calibration: dict[str, float] | None


def make_reader(
    run: Path, made: Path, name: str, settings: Settings, progress: calibrate.Progress
) -> dict[str, Any]:
    """Write a reader's files into the empty folder `made` and return its manifest.

    Raises InputError for a run of another architecture or one without weights, ModelError
    if the encoder is not there any more or the int8 reader ranks too differently.
    """
    import onnx_ir as ir

    found = _open(run)
    length = found.document_tokens if settings.max_length is None else settings.max_length
    encoder = open_encoder(found.encoder)
    if not 8 <= length <= encoder.longest:
        raise InputError(
            f"--max-length {length} is not possible",
            why=f"the encoder reads up to {encoder.longest} tokens, and 8 is the least",
        )
    progress("trace", 0, 0)
    reader = found.reader.eval()
    compress, score = compress_graph(reader), score_graph(reader)
    # In both precisions, so that they share what was kept of documents.
    halve_constants(compress)
    ir.save(compress, str(made / COMPRESS))
    quality: dict[str, Any] = {}
    texts: Prepared | None = None
    if settings.calibrate is not None:
        pairs = calibrate.read_pairs(settings.calibrate)
        texts = prepare(encoder, verify.scorer_outputs(compress), pairs, length)
        if settings.precision == "int8":
            quality = _to_integers(score, pairs, texts, settings, progress)
    ir.save(score, str(made / SCORE))
    leaving = None
    if texts is not None and reader.config.matching:
        start = start_graph(reader)
        halve_constants(start)
        calibration = found.calibration or {"scale": 1.0, "shift": 0.0}
        line = (calibration["scale"], calibration["shift"])
        scorers = (verify.scorer(start), verify.scorer(score))
        leaving = fit_exit(*scorers, texts, pairs, line, progress)
        if leaving is not None:
            ir.save(start, str(made / START_SCORE))
    if settings.weights:
        _save_weights(reader, made)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": name if settings.name is None else settings.name,
        "architecture": "reader",
        "precision": settings.precision,
        "max_length": length,
        "codes": reader.config.codes,
        "encoder": _encoder(found.encoder, made, borrow=settings.borrow),
        "calibration": found.calibration,
        "blend": settings.blend,
        "exit": leaving,
        "license": settings.license,
        "source": found.source if settings.origin is None else settings.origin,
        "parameters": sum(p.numel() for p in reader.parameters()),
        SHAPE: reader.config.as_object(),
        "created_with": versions(),
        "quality": quality,
        "files": {
            one.relative_to(made).as_posix(): {
                "sha256": sha256(one),
                "bytes": one.stat().st_size,
            }
            for one in sorted(made.rglob("*"))
            if one.is_file()
        },
    }
    notes = None if settings.notes is None else settings.notes.read_text(encoding="utf-8")
    (made / "README.md").write_text(card(manifest, notes), encoding="utf-8")
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (made / MANIFEST).write_text(text, encoding="utf-8")
    return manifest


def _open(run: Path) -> _Run:
    folder = RunFolder(run)
    about = folder.about()
    if about["architecture"] != "reader":
        raise InputError(
            f"A run of architecture {about['architecture']!r} is no reader", where=str(run)
        )
    model = about["model"]
    reader = from_weights(model["reader"], folder.best(), run)
    settings = about["settings"]
    base = START if settings["base"] is None else str(settings["base"])
    # The name, not the place: a card is read on other machines.
    source = f"trained from {Path(base.removeprefix('pypi:')).name}"
    best = about.get("result", {}).get("best") or {}
    return _Run(
        reader,
        _find_encoder(model["encoder"]),
        int(model["document_tokens"]),
        source,
        best.get("calibration"),
    )


def _find_encoder(named: dict[str, Any]) -> ModelFolder:
    bundled = open_folder(bundled_path(ENCODER))
    if bundled.digest == named["digest"]:
        return bundled
    path = Path(named["path"])
    if path.is_dir():
        folder = open_folder(path)
        if folder.digest == named["digest"]:
            return folder
    raise ModelError(
        "The encoder that the reader was trained with is not there",
        where=str(path),
        why=f"its digest was {str(named['digest'])[:12]}…",
        fix="Restore it, or train again.",
    )


def _encoder(folder: ModelFolder, made: Path, *, borrow: bool) -> dict[str, str]:
    """Name the encoder in the manifest; one that is not bundled is copied."""
    if folder.digest == open_folder(bundled_path(ENCODER)).digest:
        return {"model": ENCODER, "digest": folder.digest}
    own = made / _OWN_ENCODER
    shutil.copytree(folder.path, own)
    if borrow:
        borrow_tables(own, ENCODER)
        # Its card has the checksum of the file as it was.
        (own / "README.md").unlink(missing_ok=True)
    return {"folder": _OWN_ENCODER, "digest": open_folder(own).digest}


def _save_weights(reader: PrecomputedModule, made: Path) -> None:
    """Keep the weights in half precision, so that the folder can be trained further."""
    from safetensors.torch import save_file

    weights = {n: t.detach().half().contiguous() for n, t in reader.state_dict().items()}
    save_file(weights, str(made / WEIGHTS))


def _to_integers(
    score: ir.Model,
    pairs: Sequence[calibrate.Pair],
    texts: Prepared,
    settings: Settings,
    progress: calibrate.Progress,
) -> dict[str, Any]:
    """Quantise the scoring graph in place and return how it compares with the original."""
    from secondpass.train.export.quantize import inputs_of_linear_layers, quantise

    used, held_out = calibrate.split(pairs)
    before = verify.scorer(score)
    lists: dict[str, list[str]] = {}
    for pair in used:
        lists.setdefault(pair.query, []).append(pair.text)
    tensors = inputs_of_linear_layers(score.graph)
    seen = calibrate.observe(
        score, tensors, [feeds_of(texts, q, found) for q, found in lists.items()], progress
    )
    quantise(score, _exact(score, seen), progress)
    halve_constants(score)
    return report(before, verify.scorer(score), texts, held_out, settings.min_overlap, progress)


def _exact(
    score: ir.Model, seen: dict[str, calibrate.Activations]
) -> dict[str, calibrate.Activations]:
    """Give codes the range in which one step is exactly 1, so that they stay as they are."""
    codes = next(one for one in score.graph.inputs if one.name == "document_codes")
    for user in codes.consumers():
        for output in user.outputs:
            found = seen.get(str(output.name))
            if user.op_type == "Cast" and found is not None:
                low = np.full_like(found.low, -127)
                seen[str(output.name)] = calibrate.Activations(low, -low + 1, found.products)
    return seen
