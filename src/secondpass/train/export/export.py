"""Export of transformers weights, or of a training run, to a model folder."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from secondpass.errors import InputError, MissingExtraError, ModelDamagedError
from secondpass.inference.model_folder import FORMAT, MANIFEST, sha256
from secondpass.train.export.atomic_folder import check_replaceable, replace_folder
from secondpass.train.export.model_card import package_versions
from secondpass.train.export.source import locate_source, window_length
from secondpass.train.trainer.checkpoints import BEST, RUN, RunFolder

if TYPE_CHECKING:
    import onnx_ir as ir

    from secondpass.train.export.calibrate import Progress
    from secondpass.train.export.trace import Kind

FILES = ("model.onnx", "tokenizer.json", "config.json")


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """How to export.

    - `calibrate`: a file of real pairs, required for int8. `max_length`: tokens of one window.
      `min_overlap`: the minimum share of the top 10, 0 to 1, that int8 must keep.
    - `states_layers`: layers after which an embedder also outputs its token states, as a
      precomputed reranker needs: first those that its query layers start from, last those that
      it matches.
    - `weights`: store the weights of a precomputed reranker beside its graphs, so that it can
      be trained further. `borrow`: leave out of its encoder the tables that the bundled
      embedder has too; the folder then works with this version of it only. `blend`: its
      weights beside the first pass, fitted with `benchmarks/quality.py` or on own queries.
    """

    kind: Kind = "cross-encoder"
    precision: Literal["int8", "fp32"] = "int8"
    calibrate: Path | None = None
    max_length: int | None = None
    name: str | None = None
    license: str | None = None
    origin: str | None = None
    notes: Path | None = None
    min_overlap: float = 0.9
    force: bool = False
    states_layers: tuple[int, ...] = ()
    weights: bool = True
    borrow: bool = False
    blend: Mapping[str, float] | None = None


def export_model(
    source: str, out: Path, settings: ExportSettings, progress: Progress | None = None
) -> dict[str, Any]:
    """Write a model folder to `out` and return its manifest.

    `source` is a transformers folder, `pypi:PACKAGE`, or the folder of a training run.

    `progress` is called with a stage, how much of it is done, and its total (0: unknown).
    Raises `InputError` for invalid settings, `ModelDamagedError` for a source that cannot be
    read, `ModelError` if the int8 model ranks too differently, and `MissingExtraError` without
    PyTorch. On an error `out` stays as it was.
    """
    _check_settings(out, settings)
    run = Path(source) if (Path(source) / RUN).is_file() else None
    source_folder = None if run is not None else locate_source(source)
    for package in ("torch", "transformers", "onnx", "onnxscript"):
        _check_package(package)
    report_progress = _ignore if progress is None else progress
    with replace_folder(out, None, force=settings.force) as folder:
        if run is not None:
            return _export_run(run, folder, out.name, settings, report_progress)
        assert source_folder is not None
        return _export(source_folder, folder, out.name, settings, report_progress)


def _export_run(
    run: Path, folder: Path, name: str, settings: ExportSettings, progress: Progress
) -> dict[str, Any]:
    """Export the best weights of a training run."""
    run_folder = RunFolder(run)
    architecture = run_folder.description()["architecture"]
    if architecture == "reader":
        from secondpass.train.precomputed.export_folder import write_precomputed

        return write_precomputed(run, folder, name, settings, progress)
    if architecture != "cross-encoder":
        raise InputError(
            f"A run of architecture {architecture!r} cannot be exported",
            where=str(run),
            fix="Export a run of architecture reader or cross-encoder.",
        )
    run_folder.load_best()
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / run.absolute().name
        shutil.copytree(run / "model", source)
        shutil.copyfile(run / BEST, source / "model.safetensors")
        return _export(source, folder, name, settings, progress)


def _ignore(stage: str, done: int, total: int) -> None:
    pass


def _check_settings(out: Path, settings: ExportSettings) -> None:
    for file in (settings.calibrate, settings.notes):
        if file is not None and not file.is_file():
            raise InputError("There is no such file", where=str(file))
    if settings.precision == "int8" and settings.calibrate is None:
        raise InputError(
            "int8 needs real pairs to measure the ranges of activations",
            fix="Pass --calibrate PAIRS.jsonl (such as examples/calibration/pairs.jsonl), "
            "or --precision fp32.",
        )
    # Before the work, not after it.
    check_replaceable(out, None, force=settings.force)


def _export(
    source: Path, folder: Path, name: str, settings: ExportSettings, progress: Progress
) -> dict[str, Any]:
    import onnx_ir as ir

    from secondpass.train.export.model_card import model_card
    from secondpass.train.export.onnx_graph import keep_first_token
    from secondpass.train.export.trace import load_model, trace

    progress("trace", 0, 0)
    model = load_model(source, settings.kind)
    length = window_length(source, model.config, settings.max_length)
    _save_tokenizer(source, folder)
    shutil.copyfile(source / "config.json", folder / "config.json")
    _check_states(settings, model)
    graph = trace(model, settings.kind, settings.states_layers)
    keep_first_token(graph)
    quality: dict[str, Any] = {}
    if settings.precision == "int8":
        quality = _quantize(graph, folder, length, settings, progress)
    ir.save(graph, str(folder / "model.onnx"))
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": name if settings.name is None else settings.name,
        "architecture": settings.kind,
        "precision": settings.precision,
        "max_length": length,
        "license": settings.license,
        "source": source.name if settings.origin is None else settings.origin,
        "parameters": sum(p.numel() for p in model.parameters()),
        "created_with": package_versions(),
        "quality": quality,
        "files": {
            file: {"sha256": sha256(folder / file), "bytes": (folder / file).stat().st_size}
            for file in FILES
        },
    }
    if settings.kind == "embedder":
        manifest["dimension"] = int(model.config.hidden_size)
        if settings.states_layers:
            manifest["states"] = {
                "layers": list(settings.states_layers),
                "width": int(model.config.hidden_size) * len(settings.states_layers),
            }
    else:
        labels = model.config.id2label
        manifest["labels"] = [str(labels[i]) for i in sorted(labels)]
    notes = None if settings.notes is None else settings.notes.read_text(encoding="utf-8")
    (folder / "README.md").write_text(model_card(manifest, notes), encoding="utf-8")
    (folder / MANIFEST).write_text(
        json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return manifest


def _check_states(settings: ExportSettings, model: Any) -> None:
    if not settings.states_layers:
        return
    layers = int(model.config.num_hidden_layers)
    if settings.kind != "embedder":
        raise InputError(
            "Only an embedder outputs token states",
            fix="Pass --kind embedder, or no --states-layers.",
        )
    for layer in settings.states_layers:
        if not 1 <= layer <= layers:
            raise InputError(
                f"There are no states after layer {layer}",
                why=f"the model has layers 1 to {layers}",
            )


def _quantize(
    graph: ir.Model, folder: Path, length: int, settings: ExportSettings, progress: Progress
) -> dict[str, Any]:
    """Quantize the graph in place and return how it compares with the original."""
    from secondpass.inference.tokenizer import Tokenizer
    from secondpass.train.export import calibrate, verify
    from secondpass.train.export.quantize import linear_layer_inputs, quantize

    assert settings.calibrate is not None
    used, held_out = calibrate.split_pairs(calibrate.read_pairs(settings.calibrate))
    tokenizer = Tokenizer(folder / "tokenizer.json")
    if settings.kind == "embedder":
        texts = [text for pair in used for text in (pair.query, pair.text)]
        sequences = calibrate.text_sequences(tokenizer, dict.fromkeys(texts), length)
    else:
        sequences = calibrate.pair_sequences(tokenizer, used, length)
    names = [str(value.name) for value in graph.graph.inputs]
    before = verify.make_scorer(graph)
    activations = calibrate.record_activations(
        graph,
        linear_layer_inputs(graph.graph),
        [calibrate.sequence_feeds(sequence, names) for sequence in sequences],
        progress,
    )
    quantize(graph, activations, progress)
    return verify.compare(
        before,
        verify.make_scorer(graph),
        verify.VerificationSet(tokenizer, settings.kind, length, held_out, progress),
        settings.min_overlap,
    )


def _save_tokenizer(source: Path, folder: Path) -> None:
    from tokenizers import Tokenizer as TokenizersTokenizer

    try:
        tokenizer = TokenizersTokenizer.from_file(str(source / "tokenizer.json"))
    # tokenizers raises bare Exception.
    except Exception as error:
        raise ModelDamagedError(
            "The tokenizer cannot be read", where=str(source), why=str(error)
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)


def _check_package(package: str) -> None:
    import importlib.util

    if importlib.util.find_spec(package) is None:
        raise MissingExtraError("Exporting a model", package=package, extra="export")
