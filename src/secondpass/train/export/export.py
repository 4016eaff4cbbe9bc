"""Make a model folder from transformers weights, in one go or not at all."""

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
from secondpass.train.export.model_card import versions
from secondpass.train.export.source import locate, window
from secondpass.train.trainer.checkpoints import BEST, RUN, RunFolder

if TYPE_CHECKING:
    import onnx_ir as ir

    from secondpass.train.export.calibrate import Progress
    from secondpass.train.export.trace import Kind

FILES = ("model.onnx", "tokenizer.json", "config.json")


@dataclass(frozen=True, slots=True)
class Settings:
    """How to export.

    `calibrate` is a file of real pairs, needed for int8. `max_length` is the tokens of one
    window. `min_overlap` is the least share of the top 10, 0 to 1, that int8 must keep.
    `states_layers` lets an embedder give its tokens after these many layers besides, which
    a reader needs: first those that its queries start from, last those that it matches.
    `weights` keeps those of a reader beside its graphs, so that it can be trained further.
    `borrow` leaves out of a reader's encoder the tables that the bundled embedder has too; the
    folder then works with this version of it only. `blend` are a reader's weights beside the
    first pass, fitted with `benchmarks/quality.py` or on queries of one's own.
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
    source: str, out: Path, settings: Settings, progress: Progress | None = None
) -> dict[str, Any]:
    """Write a model folder to `out` and return its manifest.

    `source` is a transformers folder, `pypi:PACKAGE`, or the folder of a training run.

    `progress` is called with a stage, how much of it is done, and its total (0: unknown).
    Raises `InputError` for settings that cannot be used, `ModelDamagedError` for a source
    that cannot be read, `ModelError` if the int8 model ranks too differently, and
    `MissingExtraError` without PyTorch. `out` is untouched unless all went well.
    """
    _check(out, settings)
    run = Path(source) if (Path(source) / RUN).is_file() else None
    folder = None if run is not None else locate(source)
    for package in ("torch", "transformers", "onnx", "onnxscript"):
        _need(package)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        made = Path(temporary) / "model"
        made.mkdir()
        told = _silent if progress is None else progress
        if run is not None:
            manifest = _from_run(run, made, out.name, settings, told)
        else:
            assert folder is not None
            manifest = _make(folder, made, out.name, settings, told)
        _replace(made, out)
    return manifest


def _from_run(
    run: Path, made: Path, name: str, settings: Settings, progress: Progress
) -> dict[str, Any]:
    """Export what a training run found best."""
    folder = RunFolder(run)
    architecture = folder.about()["architecture"]
    if architecture == "reader":
        from secondpass.train.precomputed.export_folder import make_reader

        return make_reader(run, made, name, settings, progress)
    if architecture != "cross-encoder":
        raise InputError(
            f"A run of architecture {architecture!r} cannot be exported",
            where=str(run),
            fix="Export a reader or a cross-encoder.",
        )
    folder.best()
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / run.absolute().name
        shutil.copytree(run / "model", source)
        shutil.copyfile(run / BEST, source / "model.safetensors")
        return _make(source, made, name, settings, progress)


def _silent(stage: str, done: int, total: int) -> None:
    pass


def _check(out: Path, settings: Settings) -> None:
    for file in (settings.calibrate, settings.notes):
        if file is not None and not file.is_file():
            raise InputError("There is no such file", where=str(file))
    if settings.precision == "int8" and settings.calibrate is None:
        raise InputError(
            "int8 needs real pairs to find the ranges of activations",
            fix="Pass --calibrate PAIRS.jsonl (such as examples/calibration/pairs.jsonl), "
            "or --precision fp32.",
        )
    if out.is_file():
        raise InputError(
            "The model folder cannot be written", where=str(out), why="it is a file"
        )
    if out.is_dir() and any(out.iterdir()) and not settings.force:
        raise InputError(
            "The model folder is not empty",
            where=str(out),
            fix="Pass --force to replace it, or another --out.",
        )


def _make(
    folder: Path, made: Path, name: str, settings: Settings, progress: Progress
) -> dict[str, Any]:
    import onnx_ir as ir

    from secondpass.train.export.model_card import card
    from secondpass.train.export.onnx_graph import keep_first_token
    from secondpass.train.export.trace import load_model, trace

    progress("trace", 0, 0)
    model = load_model(folder, settings.kind)
    length = window(folder, model.config, settings.max_length)
    _save_tokenizer(folder, made)
    shutil.copyfile(folder / "config.json", made / "config.json")
    _check_states(settings, model)
    graph = trace(model, settings.kind, settings.states_layers)
    keep_first_token(graph)
    quality: dict[str, Any] = {}
    if settings.precision == "int8":
        quality = _to_integers(graph, made, length, settings, progress)
    ir.save(graph, str(made / "model.onnx"))
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": name if settings.name is None else settings.name,
        "architecture": settings.kind,
        "precision": settings.precision,
        "max_length": length,
        "license": settings.license,
        "source": folder.name if settings.origin is None else settings.origin,
        "parameters": sum(p.numel() for p in model.parameters()),
        "created_with": versions(),
        "quality": quality,
        "files": {
            one: {"sha256": sha256(made / one), "bytes": (made / one).stat().st_size}
            for one in FILES
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
    (made / "README.md").write_text(card(manifest, notes), encoding="utf-8")
    (made / MANIFEST).write_text(
        json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return manifest


def _check_states(settings: Settings, model: Any) -> None:
    if not settings.states_layers:
        return
    layers = int(model.config.num_hidden_layers)
    if settings.kind != "embedder":
        raise InputError(
            "Only an embedder gives states", fix="Pass --kind embedder, or no --states-layers."
        )
    for layer in settings.states_layers:
        if not 1 <= layer <= layers:
            raise InputError(
                f"There are no states after layer {layer}",
                why=f"the model has layers 1 to {layers}",
            )


def _to_integers(
    graph: ir.Model, made: Path, length: int, settings: Settings, progress: Progress
) -> dict[str, Any]:
    """Quantise the graph in place and return how it compares with the original."""
    from secondpass.inference.tokenizer import Tokenizer
    from secondpass.train.export import calibrate, verify
    from secondpass.train.export.quantize import inputs_of_linear_layers, quantise

    assert settings.calibrate is not None
    used, held_out = calibrate.split(calibrate.read_pairs(settings.calibrate))
    tokeniser = Tokenizer(made / "tokenizer.json")
    if settings.kind == "embedder":
        texts = [text for pair in used for text in (pair.query, pair.text)]
        sequences = calibrate.text_sequences(tokeniser, dict.fromkeys(texts), length)
    else:
        sequences = calibrate.pair_sequences(tokeniser, used, length)
    names = [str(one.name) for one in graph.graph.inputs]
    before = verify.scorer(graph)
    seen = calibrate.observe(
        graph,
        inputs_of_linear_layers(graph.graph),
        [calibrate.feeds(sequence, names) for sequence in sequences],
        progress,
    )
    quantise(graph, seen, progress)
    return verify.compare(
        before,
        verify.scorer(graph),
        verify.Trial(tokeniser, settings.kind, length, held_out, progress),
        settings.min_overlap,
    )


def _save_tokenizer(folder: Path, made: Path) -> None:
    from tokenizers import Tokenizer as TokenizersTokenizer

    try:
        tokenizer = TokenizersTokenizer.from_file(str(folder / "tokenizer.json"))
    # tokenizers raises bare Exception.
    except Exception as error:
        raise ModelDamagedError(
            "The tokenizer cannot be read", where=str(folder), why=str(error)
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(made / "tokenizer.json"), pretty=False)


def _replace(made: Path, out: Path) -> None:
    """Put the finished folder in place; what was there goes only after that."""
    if out.exists():
        old = made.with_name("old")
        out.replace(old)
    made.replace(out)


def _need(package: str) -> None:
    import importlib.util

    if importlib.util.find_spec(package) is None:
        raise MissingExtraError("Exporting a model", package=package, extra="export")
