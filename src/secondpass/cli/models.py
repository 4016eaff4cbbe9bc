"""`secondpass models`: bundled, downloaded, pinned, quantized and known models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondpass.cli import options
from secondpass.errors import InputError, nearest
from secondpass.storage import expand_home

if TYPE_CHECKING:
    from secondpass.inference.int8_cache import CachedInt8
    from secondpass.inference.model_lock import ModelLock
    from secondpass.models.known import KnownModel

models = typer.Typer(
    name="models",
    invoke_without_command=True,
    rich_markup_mode=None,
)
Names = Annotated[
    list[str],
    typer.Argument(metavar="NAME...", help="Models: OWNER/MODEL or OWNER/MODEL@REVISION."),
]

_RUNS = {
    "onnx": "ONNX Runtime",
    "torch": "PyTorch",
    "convert": "after conversion",
    "no": "not",
}


@models.callback()
def list_models(context: typer.Context, as_json: options.AsJson = False) -> None:
    """List bundled, downloaded and pinned models, and int8 models made at load.

    Example:  secondpass models --json
    """
    if context.invoked_subcommand is not None:
        return
    from secondpass.cli.output import print_json
    from secondpass.inference.huggingface import list_cached
    from secondpass.inference.int8_cache import list_int8
    from secondpass.models import BUNDLED, bundled_path

    pins = _pins_by_model()
    entries = [_describe_bundled(name, bundled_path(name)) for name in BUNDLED]
    for name, size, path in list_cached():
        pinned = pins.pop(name, (0, []))[1]
        place: dict[str, Any] = {"where": "cached", "bytes": size, "path": str(path)}
        entries.append({"name": name, **place, "pins": pinned})
    for name, (size, pinned) in pins.items():
        place = {"where": "not downloaded", "bytes": size, "path": None}
        entries.append({"name": name, **place, "pins": pinned})
    entries += [describe_int8(entry) for entry in list_int8()]
    if as_json:
        print_json({"models": entries})
        return
    for model in entries:
        megabytes = f"{model['bytes'] / 1e6:.1f} MB"
        typer.echo(f"{model['name']}  ({model['where']}, {megabytes})")
        for key in ("architecture", "precision", "license", "sha256", "check", "refused"):
            if model.get(key) is not None:
                typer.echo(f"    {key}: {model[key]}")
        for pin in model.get("pins", ()):
            typer.echo(f"    pin: {pin['name']} in {pin['lock']}")
        if model["path"] is not None:
            typer.echo(f"    path: {model['path']}")


@models.command(cls=options.Command)
def download(
    names: Names,
    update: Annotated[
        bool,
        typer.Option("--update", help="Resolve names again: to what the branch or tag is now."),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Download models into the cache and verify them; damaged files are downloaded again.

    Example:  secondpass models download BAAI/bge-reranker-base
    """
    from secondpass.cli.output import print_json
    from secondpass.inference.huggingface import fetch_model, split_revision
    from secondpass.inference.model_lock import project_lock

    entries = []
    for name in names:
        project = project_lock() if update else None
        if project is not None and project.find(name) is not None:
            raise InputError(
                f"{name} is pinned by a lock file",
                where=str(project.path),
                fix=f"Change it there: secondpass models pin {name} --update",
            )
        fetched = fetch_model(*split_revision(name), update=update, repair=True)
        entry = {
            "name": name,
            "commit": fetched.pin.commit,
            "bytes": sum(file.bytes for file in fetched.pin.files.values()),
            "path": str(fetched.folder),
            "lock": None if fetched.lock is None else str(fetched.lock),
        }
        entries.append(entry)
        if not as_json:
            typer.echo(f"{name} is {entry['commit']}, verified: {entry['path']}")
    if as_json:
        print_json({"models": entries})


@models.command(cls=options.Command)
def pin(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]",
            help="Models: OWNER/MODEL or OWNER/MODEL@REVISION; all of the file if absent.",
            show_default=False,
        ),
    ] = None,
    update: Annotated[
        bool,
        typer.Option("--update", help="Pin what the branch or tag is now, not what is pinned."),
    ] = False,
    lock: Annotated[
        Path | None,
        typer.Option(
            help="Lock file to write.", show_default="$SECONDPASS_MODELS_LOCK or models.lock"
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Record the commits and checksums of models in a lock file, for a team to commit.

    Example:  secondpass models pin BAAI/bge-reranker-base
    """
    from secondpass.cli.output import print_json
    from secondpass.errors import ModelError
    from secondpass.inference.huggingface import fetch_model, split_revision

    target = _target(lock)
    if not names:
        names = sorted(target.pins())
        if not names:
            raise InputError(
                "There is nothing to pin", where=str(target.path), fix="Name a model."
            )
    entries = []
    for name in names:
        before = target.find(name)
        fetched = fetch_model(
            *split_revision(name), update=update, repair=True, strict=False, lock=target
        )
        if fetched.from_cache:
            raise ModelError(
                f"{name} cannot be pinned without the Hub",
                why="the cache may lack some of its files",
                fix="Run the same with a network, and without HF_HUB_OFFLINE.",
            )
        target.add(name, fetched.pin, replace=True)
        commit, files = fetched.pin.commit, fetched.pin.files
        entry = {
            "name": name,
            "commit": commit,
            "previous": None if before is None else before.commit,
            "files": len(files),
            "bytes": sum(file.bytes for file in files.values()),
        }
        entries.append(entry)
        if not as_json:
            moved = before is not None and before.commit != commit
            was = f", was {before.commit}" if before is not None and moved else ""
            typer.echo(f"{name} is pinned to {commit}{was}: {len(files)} files, {target.path}")
    if as_json:
        print_json({"lock": str(target.path), "models": entries})


def _target(lock: Path | None) -> ModelLock:
    """Return the lock file to write, which need not exist."""
    from secondpass.inference.model_lock import FILE_NAME, PATH_VARIABLE, ModelLock

    named = os.environ.get(PATH_VARIABLE) if lock is None else str(lock)
    return ModelLock(expand_home(named or FILE_NAME).absolute())


def _pins_by_model() -> dict[str, tuple[int, list[dict[str, str]]]]:
    """Return size and pins by "owner/model@commit", of both lock files."""
    from secondpass.inference.model_lock import cache_lock, project_lock

    pins: dict[str, tuple[int, list[dict[str, str]]]] = {}
    locks = [lock for lock in (project_lock(), cache_lock()) if lock is not None]
    for lock in locks:
        for name, pin in lock.pins().items():
            size = sum(file.bytes for file in pin.files.values())
            model = f"{name.partition('@')[0]}@{pin.commit}"
            pinned = pins.setdefault(model, (size, []))[1]
            pinned.append({"name": name, "lock": str(lock.path)})
    return pins


def describe_int8(entry: CachedInt8) -> dict[str, Any]:
    """Return what the cache has of a model, for printing."""
    from secondpass.inference.precision import describe_quality

    return {
        "name": entry.name,
        "where": "int8 cache",
        "precision": "int8" if entry.refused is None else None,
        "check": describe_quality(entry.quality) if entry.refused is None else None,
        "refused": entry.refused,
        "bytes": entry.bytes,
        "path": str(entry.path),
    }


@models.command(cls=options.Command)
def clear(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]", help="Models; all of them if absent.", show_default=False
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Delete int8 models that were made at load (--precision); they are made again when needed.

    Example:  secondpass models clear
    """
    from secondpass.cli.output import print_json
    from secondpass.inference.int8_cache import clear_int8, list_int8

    known = {entry.name for entry in list_int8()}
    for name in names or ():
        if name not in known:
            raise InputError(f"There is no int8 model of {name!r}", fix=nearest(name, known))
    deleted = clear_int8(names or ())
    size = sum(entry.bytes for entry in deleted)
    if as_json:
        print_json({"deleted": [describe_int8(entry) for entry in deleted], "bytes": size})
        return
    for entry in deleted:
        typer.echo(f"deleted: {entry.name}, {entry.bytes / 1e6:.1f} MB")
    typer.echo(f"{len(deleted)} int8 models deleted, {size / 1e6:.1f} MB")


@models.command(cls=options.Command)
def known(as_json: options.AsJson = False) -> None:
    """List rerankers that people use, with what was published about them.

    Example:  secondpass models known
    """
    from secondpass.cli.output import print_json
    from secondpass.models.known import known_models

    if as_json:
        print_json({"models": [model.as_dict() for model in known_models()]})
        return
    for model in known_models():
        _print_known(model)
    typer.echo(
        "Figures are those of the sources named by --json and docs/reference/models.md; none "
        "was measured here. Load one by its name: --model OWNER/MODEL."
    )


def _print_known(model: KnownModel) -> None:
    commercial = "" if model.commercial else ", not for commercial use"
    typer.echo(f"{model.name}  ({model.parameters / 1e6:,.0f} M parameters)")
    typer.echo(
        f"    {model.architecture} ({model.backbone}), {model.languages}, "
        f"{model.window:,} tokens, {model.license}{commercial}"
    )
    for figure in model.quality:
        typer.echo(f"    {figure.value:.2f}  {figure.measure}")
    missing = f": it needs {model.needs}" if model.needs else ""
    typer.echo(f"    runs: {_RUNS[model.runs]}{missing}")
    if model.note:
        typer.echo(f"    note: {model.note}")


def _describe_bundled(name: str, path: Any) -> dict[str, Any]:
    from secondpass.inference.model_folder import open_folder

    manifest = open_folder(path).manifest
    files = manifest["files"]
    return {
        "name": name,
        "where": "bundled",
        "architecture": manifest["architecture"],
        "precision": manifest["precision"],
        "license": manifest["license"],
        "bytes": sum(f["bytes"] for f in files.values()),
        "sha256": files["model.onnx"]["sha256"],
        "path": str(path),
    }
