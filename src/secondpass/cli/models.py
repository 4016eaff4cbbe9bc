"""`secondpass models`: bundled, downloaded and quantized models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondpass.cli import options
from secondpass.errors import InputError, nearest

if TYPE_CHECKING:
    from secondpass.inference.int8_cache import CachedInt8


models = typer.Typer(
    name="models",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@models.callback()
def list_models(context: typer.Context, as_json: options.AsJson = False) -> None:
    """List bundled models, models in the download cache, and int8 models made at load.

    Example:  secondpass models --json
    """
    if context.invoked_subcommand is not None:
        return
    from secondpass.cli.output import print_json
    from secondpass.inference.huggingface import list_cached
    from secondpass.inference.int8_cache import list_int8
    from secondpass.models import BUNDLED, bundled_path

    entries = [_describe_bundled(name, bundled_path(name)) for name in BUNDLED] + [
        {"name": name, "where": "cached", "bytes": size, "path": str(path)}
        for name, size, path in list_cached()
    ]
    entries += [describe_int8(entry) for entry in list_int8()]
    if as_json:
        print_json({"models": entries})
        return
    for model in entries:
        size = f"{model['bytes'] / 1e6:.1f} MB"
        typer.echo(f"{model['name']}  ({model['where']}, {size})")
        for key in ("architecture", "precision", "license", "sha256", "check", "refused"):
            if model.get(key) is not None:
                typer.echo(f"    {key}: {model[key]}")
        typer.echo(f"    path: {model['path']}")


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
