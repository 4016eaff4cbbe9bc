"""`secondpass models`: bundled and downloaded models."""

from __future__ import annotations

from typing import Any

import typer

from secondpass.cli import options


def models(as_json: options.AsJson = False) -> None:
    """List bundled models and models in the download cache.

    Example:  secondpass models --json
    """
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
