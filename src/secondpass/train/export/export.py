"""Export of transformers weights, or of a training run, to a model folder."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from secondpass.errors import InputError, MissingExtraError, ModelDamagedError, ModelError
from secondpass.inference.model_folder import (
    DEFAULT_LENGTH,
    FORMAT,
    MANIFEST,
    ModelFolder,
    longest_input,
    sha256,
)
from secondpass.models import calibration_pairs
from secondpass.train.export.atomic_folder import check_replaceable, replace_folder
from secondpass.train.export.model_card import package_versions
from secondpass.train.export.shared_tables import share_tables
from secondpass.train.export.source import locate_source, window_length
from secondpass.train.trainer.checkpoints import BEST, RUN, RunFolder

if TYPE_CHECKING:
    import onnx_ir as ir

    from secondpass.train.export.calibrate import Progress
    from secondpass.train.export.trace import Kind

GRAPH, DATA = "model.onnx", "model.onnx.data"
FILES = (GRAPH, "tokenizer.json", "config.json")
LENDER = "bundled-embedder"
"""The bundled model whose tables a folder can borrow."""
BUNDLED = Path("bundled")

LIGHT_ABOVE = 150_000_000
"""Weights of linear layers above which a model made at load is calibrated in less time.

Ranges are then measured on every fourth pair, and weights are rounded without error
compensation. A model of 24 layers of 1024 dimensions has 302 million, one of BERT's size 85.
"""
_QUESTIONS_AT_LOAD = 16
# Not 3, which would take the same one of the three pairs of each question.
_LIGHT_STEP = 4


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """How to export.

    - `calibrate`: a file of real pairs, required for int8; "bundled" for those of the package.
      `max_length`: tokens of one window. `min_overlap`: the minimum share of the top 10, 0 to
      1, that int8 must keep. `at_load`: spend less time, as somebody waits (`LIGHT_ABOVE`).
    - `states_layers`: layers after which an embedder also outputs its token states, as a
      precomputed reranker needs: first those that its query layers start from, last those that
      it matches.
    - `weights`: store the weights of a precomputed reranker beside its graphs, so that it can
      be trained further. `borrow`: leave out of a cross-encoder, or of the encoder of a
      precomputed reranker, the tables that the bundled embedder has too; the folder then works
      with this version of it only. `blend`: its
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
    at_load: bool = False
    force: bool = False
    states_layers: tuple[int, ...] = ()
    weights: bool = True
    borrow: bool = False
    blend: Mapping[str, float] | None = None


def export_model(
    source: str, out: Path, settings: ExportSettings, progress: Progress | None = None
) -> dict[str, Any]:
    """Write a model folder to `out` and return its manifest.

    `source` is a transformers folder, `pypi:PACKAGE`, or the folder of a training run. A folder
    with an ONNX graph and no safetensors is read from that graph; PyTorch is not needed then.

    `progress` is called with a stage, how much of it is done, and its total (0: unknown).
    Raises `InputError` for invalid settings, `ModelDamagedError` for a source that cannot be
    read, `ModelError` if the int8 model ranks too differently, and `MissingExtraError` without
    PyTorch. On an error `out` stays as it was.
    """
    _check_settings(out, settings)
    run = Path(source) if (Path(source) / RUN).is_file() else None
    source_folder = None if run is not None else locate_source(source)
    onnx = None if source_folder is None else _graph_without_weights(source_folder)
    check_packages(traced=onnx is None)
    report_progress = _ignore if progress is None else progress
    with replace_folder(out, None, force=settings.force) as folder:
        if run is not None:
            return _export_run(run, folder, out.name, settings, report_progress)
        assert source_folder is not None
        return write_model(source_folder, folder, out.name, settings, report_progress, onnx)


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
        return write_model(source, folder, name, settings, progress)


def _graph_without_weights(source: Path) -> Path | None:
    """Return the ONNX graph of a folder that has no safetensors, else None."""
    folder = ModelFolder(source)
    return folder.onnx if folder.safetensors is None else None


def _ignore(stage: str, done: int, total: int) -> None:
    pass


def _check_settings(out: Path, settings: ExportSettings) -> None:
    for file in (settings.calibrate, settings.notes):
        if file not in (None, BUNDLED) and not file.is_file():
            raise InputError("There is no such file", where=str(file))
    if settings.precision == "int8" and settings.calibrate is None:
        raise InputError(
            "int8 needs real pairs to measure the ranges of activations",
            fix="Pass --calibrate PAIRS.jsonl (or bundled, for the pairs in the package), "
            "or --precision fp32.",
        )
    # Before the work, not after it.
    check_replaceable(out, None, force=settings.force)


def write_model(
    source: Path,
    folder: Path,
    name: str,
    settings: ExportSettings,
    progress: Progress,
    onnx: Path | None = None,
) -> dict[str, Any]:
    """Write a model into an empty folder and return its manifest; see `export_model`.

    `onnx` is the graph to start from; None traces the weights with PyTorch.
    """
    from secondpass.train.export.model_card import model_card
    from secondpass.train.export.onnx_graph import keep_first_token, save_graph

    progress("trace" if onnx is None else "read", 0, 0)
    original = _trace(source, settings) if onnx is None else _read_onnx(source, onnx, settings)
    graph = original.graph
    _save_tokenizer(source, folder)
    shutil.copyfile(source / "config.json", folder / "config.json")
    keep_first_token(graph)
    quality: dict[str, Any] = {}
    if settings.precision == "int8":
        quality = _quantize(graph, folder, original.max_length, settings, progress)
    save_graph(graph, folder / GRAPH)
    files = [*FILES, *([DATA] if (folder / DATA).is_file() else [])]
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": name if settings.name is None else settings.name,
        "architecture": settings.kind,
        "precision": settings.precision,
        "max_length": original.max_length,
        "license": settings.license,
        "source": source.name if settings.origin is None else settings.origin,
        "parameters": original.parameters,
        "created_with": package_versions(),
        "quality": quality,
        "files": {
            file: {"sha256": sha256(folder / file), "bytes": (folder / file).stat().st_size}
            for file in files
        },
        **original.fields,
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    if settings.borrow:
        share_tables(folder, LENDER)
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    notes = None if settings.notes is None else settings.notes.read_text(encoding="utf-8")
    (folder / "README.md").write_text(model_card(manifest, notes), encoding="utf-8")
    return manifest


@dataclass(frozen=True, slots=True)
class _Original:
    """A full-precision graph; `fields` are what the manifest says of its outputs."""

    graph: ir.Model
    max_length: int
    parameters: int
    fields: Mapping[str, Any]


def _trace(source: Path, settings: ExportSettings) -> _Original:
    """Trace the weights of a transformers folder, which are freed at the end."""
    from secondpass.train.export.trace import load_model, trace

    model = load_model(source, settings.kind)
    length = window_length(source, model.config, settings.max_length)
    _check_states(settings, model)
    fields: dict[str, Any] = {}
    if settings.kind == "embedder":
        fields["dimension"] = int(model.config.hidden_size)
        if settings.states_layers:
            fields["states"] = {
                "layers": list(settings.states_layers),
                "width": int(model.config.hidden_size) * len(settings.states_layers),
            }
    else:
        labels = model.config.id2label
        fields["labels"] = [str(labels[i]) for i in sorted(labels)]
    graph = trace(model, settings.kind, settings.states_layers)
    return _Original(graph, length, sum(p.numel() for p in model.parameters()), fields)


def _read_onnx(source: Path, onnx: Path, settings: ExportSettings) -> _Original:
    """Read the ONNX graph of a cross-encoder that another program exported."""
    from secondpass.rerank.cross_encoder import label_names
    from secondpass.train.export.onnx_graph import load_graph

    if settings.kind != "cross-encoder":
        raise InputError(
            "Only a cross-encoder is exported from an ONNX graph",
            where=str(onnx),
            fix="Give a folder with model.safetensors.",
        )
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    longest = longest_input(config)
    length = (
        min(longest, DEFAULT_LENGTH) if settings.max_length is None else settings.max_length
    )
    if not 8 <= length <= longest:
        raise InputError(
            f"--max-length {length} is not possible",
            why=f"it must be from 8 to {longest}, the model's number of positions",
        )
    graph = load_graph(onnx)
    sizes = [v.shape.numpy() for v in graph.graph.initializers.values() if v.shape is not None]
    parameters = sum(math.prod(shape) for shape in sizes)
    return _Original(graph, length, parameters, {"labels": list(label_names(config))})


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
    from secondpass.train.export.quantize import (
        QuantizationRecipe,
        linear_layer_inputs,
        quantize,
    )

    assert settings.calibrate is not None
    file = calibration_pairs() if settings.calibrate == BUNDLED else settings.calibrate
    used, held_out = calibrate.split_pairs(calibrate.read_pairs(file))
    light = settings.at_load and _is_large(graph)
    if light:
        used = used[::_LIGHT_STEP]
    tokenizer = Tokenizer(folder / "tokenizer.json")
    if settings.kind == "embedder":
        texts = [text for pair in used for text in (pair.query, pair.text)]
        sequences = calibrate.text_sequences(tokenizer, dict.fromkeys(texts), length)
    else:
        sequences = calibrate.pair_sequences(tokenizer, used, length)
    names = [str(value.name) for value in graph.graph.inputs]
    inputs = linear_layer_inputs(graph.graph)
    if not inputs:
        raise ModelError(
            "The graph has no linear layers that can be quantized",
            why="none of its MatMul operators has constant weights",
        )
    trial = verify.VerificationSet(
        tokenizer,
        settings.kind,
        length,
        held_out,
        progress,
        _QUESTIONS_AT_LOAD if settings.at_load else verify.QUESTIONS,
    )
    # One session at a time: each has a copy of the weights.
    before = verify.score(verify.make_scorer(graph), trial, "score fp32")
    activations = calibrate.record_activations(
        graph,
        inputs,
        [calibrate.sequence_feeds(sequence, names) for sequence in sequences],
        progress,
        products=not light,
    )
    quantize(graph, activations, progress, QuantizationRecipe(compensate=not light))
    del activations
    return verify.compare(before, verify.make_scorer(graph), trial, settings.min_overlap)


def _is_large(graph: ir.Model) -> bool:
    from secondpass.train.export.onnx_graph import constant, linear_layers

    weights = [constant(node.inputs[1]) for node in linear_layers(graph.graph)]
    return sum(weight.size for weight in weights if weight is not None) > LIGHT_ABOVE


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


def check_packages(*, traced: bool) -> None:
    """Raise MissingExtraError for a package that an export needs and that is not installed."""
    import importlib.util

    for package in (*(("torch", "transformers") if traced else ()), "onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError("Exporting a model", package=package, extra="export")
