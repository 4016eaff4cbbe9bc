"""Export of a precomputed reranker from a training run to a model folder."""

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
from secondpass.train.export.model_card import model_card, package_versions
from secondpass.train.export.onnx_graph import store_constants_as_float16
from secondpass.train.export.shared_tables import share_tables
from secondpass.train.precomputed.early_exit import fit_early_exit, score_lists
from secondpass.train.precomputed.export_check import (
    EncodedTexts,
    compare_graphs,
    encode_texts,
    score_feeds,
)
from secondpass.train.precomputed.initial_weights import CONFIG_KEY, WEIGHTS, from_weights
from secondpass.train.precomputed.onnx_graphs import compress_graph, score_graph, start_graph
from secondpass.train.trainer.checkpoints import RunFolder
from secondpass.train.trainer.train import DEFAULT_BASE, DEFAULT_ENCODER

if TYPE_CHECKING:
    import onnx_ir as ir

    from secondpass.train.export.export import ExportSettings
    from secondpass.train.precomputed.module import PrecomputedModule

COMPRESS, SCORE, START_SCORE = "compress.onnx", "model.onnx", "start.onnx"
_OWN_ENCODER = "encoder"


@dataclass(frozen=True, slots=True)
class _Run:
    reranker: PrecomputedModule
    encoder: ModelFolder
    document_tokens: int
    source: str
    calibration: dict[str, float] | None


def write_precomputed(
    run: Path, folder: Path, name: str, settings: ExportSettings, progress: calibrate.Progress
) -> dict[str, Any]:
    """Write a precomputed reranker into the empty `folder` and return its manifest.

    Raises InputError for a run of another architecture or without weights, ModelError if the
    encoder is missing or the int8 model ranks too differently.
    """
    import onnx_ir as ir

    trained = _open_run(run)
    length = trained.document_tokens if settings.max_length is None else settings.max_length
    encoder = open_encoder(trained.encoder)
    if not 8 <= length <= encoder.longest:
        raise InputError(
            f"--max-length {length} is not possible",
            why=f"it must be from 8 to {encoder.longest}, the limit of the encoder",
        )
    progress("trace", 0, 0)
    reranker = trained.reranker.eval()
    compress, score = compress_graph(reranker), score_graph(reranker)
    # The same in both precisions, so that they share the stored states of documents.
    store_constants_as_float16(compress)
    ir.save(compress, str(folder / COMPRESS))
    quality: dict[str, Any] = {}
    texts: EncodedTexts | None = None
    if settings.calibrate is not None:
        pairs = calibrate.read_pairs(settings.calibrate)
        texts = encode_texts(encoder, verify.make_graph_runner(compress), pairs, length)
        if settings.precision == "int8":
            quality = _quantize(score, pairs, texts, settings, progress)
    ir.save(score, str(folder / SCORE))
    early_exit = None
    if texts is not None and reranker.config.matching:
        start = start_graph(reranker)
        store_constants_as_float16(start)
        calibration = trained.calibration or {"scale": 1.0, "shift": 0.0}
        lists = score_lists(
            verify.make_scorer(start), verify.make_scorer(score), texts, pairs, progress
        )
        early_exit = fit_early_exit(lists, (calibration["scale"], calibration["shift"]))
        if early_exit is not None:
            ir.save(start, str(folder / START_SCORE))
    if settings.weights:
        _save_weights(reranker, folder)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": name if settings.name is None else settings.name,
        "architecture": "reader",
        "precision": settings.precision,
        "max_length": length,
        "codes": reranker.config.codes,
        "encoder": _add_encoder(trained.encoder, folder, borrow=settings.borrow),
        "calibration": trained.calibration,
        "blend": settings.blend,
        "exit": early_exit,
        "license": settings.license,
        "source": trained.source if settings.origin is None else settings.origin,
        "parameters": sum(p.numel() for p in reranker.parameters()),
        CONFIG_KEY: reranker.config.as_object(),
        "created_with": package_versions(),
        "quality": quality,
        "files": {
            file.relative_to(folder).as_posix(): {
                "sha256": sha256(file),
                "bytes": file.stat().st_size,
            }
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        },
    }
    notes = None if settings.notes is None else settings.notes.read_text(encoding="utf-8")
    (folder / "README.md").write_text(model_card(manifest, notes), encoding="utf-8")
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return manifest


def _open_run(run: Path) -> _Run:
    folder = RunFolder(run)
    description = folder.description()
    if description["architecture"] != "reader":
        raise InputError(
            "The run is not of a precomputed reranker",
            where=str(run),
            why=f"its architecture is {description['architecture']!r}",
        )
    model = description["model"]
    reranker = from_weights(model["reader"], folder.load_best(), run)
    settings = description["settings"]
    base = DEFAULT_BASE if settings["base"] is None else str(settings["base"])
    # The name, not the path: a model card is read on other machines.
    source = f"trained from {Path(base.removeprefix('pypi:')).name}"
    best = description.get("result", {}).get("best") or {}
    return _Run(
        reranker,
        _find_encoder(model["encoder"]),
        int(model["document_tokens"]),
        source,
        best.get("calibration"),
    )


def _find_encoder(entry: dict[str, Any]) -> ModelFolder:
    bundled = open_folder(bundled_path(DEFAULT_ENCODER))
    if bundled.digest == entry["digest"]:
        return bundled
    path = Path(entry["path"])
    if path.is_dir():
        folder = open_folder(path)
        if folder.digest == entry["digest"]:
            return folder
    raise ModelError(
        "The encoder of the training run is missing",
        where=str(path),
        why=f"its digest was {str(entry['digest'])[:12]}…",
        fix="Restore it, or train again.",
    )


def _add_encoder(encoder: ModelFolder, folder: Path, *, borrow: bool) -> dict[str, str]:
    """Copy an encoder that is not bundled, and return the manifest's entry for it."""
    if encoder.digest == open_folder(bundled_path(DEFAULT_ENCODER)).digest:
        return {"model": DEFAULT_ENCODER, "digest": encoder.digest}
    own = folder / _OWN_ENCODER
    shutil.copytree(encoder.path, own)
    if borrow:
        share_tables(own, DEFAULT_ENCODER)
        # Its model card has the checksum of the file before the change.
        (own / "README.md").unlink(missing_ok=True)
    return {"folder": _OWN_ENCODER, "digest": open_folder(own).digest}


def _save_weights(reranker: PrecomputedModule, folder: Path) -> None:
    """Store the weights in half precision, so that the model can be trained further."""
    from safetensors.torch import save_file

    weights = {n: t.detach().half().contiguous() for n, t in reranker.state_dict().items()}
    save_file(weights, str(folder / WEIGHTS))


def _quantize(
    score: ir.Model,
    pairs: Sequence[calibrate.Pair],
    texts: EncodedTexts,
    settings: ExportSettings,
    progress: calibrate.Progress,
) -> dict[str, Any]:
    """Quantize the scoring graph in place and return how it compares with the original."""
    from secondpass.train.export.quantize import linear_layer_inputs, quantize

    used, held_out = calibrate.split_pairs(pairs)
    before = verify.make_scorer(score)
    lists: dict[str, list[str]] = {}
    for pair in used:
        lists.setdefault(pair.query, []).append(pair.text)
    tensors = linear_layer_inputs(score.graph)
    feeds = [score_feeds(texts, query, passages) for query, passages in lists.items()]
    activations = calibrate.record_activations(score, tensors, feeds, progress)
    quantize(score, _with_exact_codes(score, activations), progress)
    store_constants_as_float16(score)
    return compare_graphs(
        before, verify.make_scorer(score), texts, held_out, settings.min_overlap, progress
    )


def _with_exact_codes(
    score: ir.Model, activations: dict[str, calibrate.Activations]
) -> dict[str, calibrate.Activations]:
    """Give the input codes the range in which one step is 1, so that they stay exact."""
    codes = next(value for value in score.graph.inputs if value.name == "document_codes")
    for user in codes.consumers():
        for output in user.outputs:
            recorded = activations.get(str(output.name))
            if user.op_type == "Cast" and recorded is not None:
                low = np.full_like(recorded.low, -127)
                activations[str(output.name)] = calibrate.Activations(
                    low, -low + 1, recorded.products
                )
    return activations
