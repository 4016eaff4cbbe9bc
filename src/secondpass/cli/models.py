"""`secondpass models`: bundled, downloaded and known models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondpass.cli import options
from secondpass.errors import InputError, nearest

if TYPE_CHECKING:
    from secondpass.models.known import KnownModel

_LISTS = ("installed", "known")
_RUNS = {
    "onnx": "ONNX Runtime",
    "torch": "PyTorch",
    "convert": "after conversion",
    "no": "not",
}


def models(
    which: Annotated[
        str,
        typer.Argument(
            help="'installed': bundled models and those in the download cache. 'known': "
            "rerankers that people use, with what was published about them.",
            show_default=True,
        ),
    ] = "installed",
    as_json: options.AsJson = False,
) -> None:
    """List models: those that are installed, or those that are known.

    Example:  secondpass models known --json
    """
    if which not in _LISTS:
        raise InputError(f"There is no list of models {which!r}", fix=nearest(which, _LISTS))
    if which == "known":
        _print_known(as_json)
    else:
        _print_installed(as_json)


def _print_installed(as_json: bool) -> None:
    from secondpass.cli.output import print_json
    from secondpass.inference.huggingface import list_cached
    from secondpass.models import BUNDLED, bundled_path

    entries = [_describe_bundled(name, bundled_path(name)) for name in BUNDLED] + [
        {"name": name, "where": "cached", "bytes": size, "path": str(path)}
        for name, size, path in list_cached()
    ]
    if as_json:
        print_json({"models": entries})
        return
    for model in entries:
        size = f"{model['bytes'] / 1e6:.1f} MB"
        typer.echo(f"{model['name']}  ({model['where']}, {size})")
        for key in ("architecture", "precision", "license", "sha256"):
            if key in model:
                typer.echo(f"    {key}: {model[key]}")
        typer.echo(f"    path: {model['path']}")


def _print_known(as_json: bool) -> None:
    from secondpass.cli.output import print_json
    from secondpass.models.known import known_models

    if as_json:
        print_json({"models": [model.as_dict() for model in known_models()]})
        return
    for model in known_models():
        _print_model(model)
    typer.echo(
        "Figures are those of the sources named by --json and docs/reference/models.md; none "
        "was measured here. Load one with its commit: --model OWNER/MODEL@COMMIT."
    )


def _print_model(model: KnownModel) -> None:
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
