"""`secondpass tune`: the best search under a limit of time, as a configuration file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondpass.cli import options
from secondpass.evaluate.defaults import DEPTHS, TOP_K

if TYPE_CHECKING:
    from secondpass.evaluate.tuning import Tuned


def tune(
    index: options.IndexFolder,
    queries: options.Queries,
    qrels: options.Qrels = None,
    out: Annotated[Path, typer.Option(help="The configuration file to write.")] = Path(
        "secondpass.toml"
    ),
    max_latency_ms: Annotated[
        float | None,
        typer.Option(help="The longest that a search may take here, as a median."),
    ] = None,
    maximise: Annotated[str, typer.Option(help="As ir-measures names it.")] = "nDCG@10",
    models: options.Models = ["bundled"],  # noqa: B006 - typer copies it
    depths: options.Depths = list(DEPTHS),  # noqa: B006
    cascade: Annotated[
        bool,
        typer.Option(
            "--cascade/--no-cascade",
            help="Whether bundled-tiny before each model is tried too, which takes longer.",
        ),
    ] = False,
    keep: Annotated[
        float | None,
        typer.Option(
            help="Choose the highest least probability that keeps this share of the relevant "
            "results, such as 0.95.",
        ),
    ] = None,
    top_k: Annotated[
        int, typer.Option(help="How many results of a search count for --keep.")
    ] = TOP_K,
    calibration: options.CalibrationFile = None,
    split: options.Split = "test",
    limit: options.Limit = None,
    as_json: options.AsJson = False,
) -> None:
    """Choose mode, fusion, weights, model, blend, candidates and more on judged queries.

    What it promises is measured on queries that neither chose nor fitted anything (nested
    cross-validation); the higher figure by which it chose is printed beside it. With
    --keep, results that are too unlikely are dropped, and how many of the relevant and of
    the others that are is measured in the same way.

    Example:  secondpass tune --index my-index --queries queries.jsonl --qrels qrels.tsv
    --max-latency-ms 100 --maximise nDCG@10 --keep 0.95 --out secondpass.toml
    """
    from secondpass.cli.output import print_json, stages
    from secondpass.errors import InputError
    from secondpass.evaluate.tuning import tune as choose
    from secondpass.index.config_file import Configuration
    from secondpass.index.index import Index

    if not out.parent.is_dir():
        raise InputError("there is no such folder", where=str(out.parent))
    collection = options.read(queries, qrels, split, limit)
    with Index.open(index, create=False) as opened, stages() as progress:
        found = choose(
            opened,
            collection,
            max_latency_ms=max_latency_ms,
            maximize=maximise,
            models=models,
            depths=depths,
            cascade=cascade,
            keep=keep,
            top_k=top_k,
            calibration=calibration,
            progress=progress,
        )
    settings = dict(found.settings)
    if calibration is not None and settings["rerank"] is not False:
        settings["calibration"] = _beside(calibration, out)
    written = Configuration(settings, _measured(found, collection.name))
    written.write(
        out, note=f"Written by secondpass tune. Use it: secondpass search --config {out}"
    )
    if as_json:
        print_json({"path": str(out), **asdict(found), "settings": settings})
    else:
        _print(found, out)


def _beside(file: Path, out: Path) -> str:
    """Return the path of a file as the configuration names it, which may move with it."""
    place, home = file.resolve(), out.parent.resolve()
    return str(place.relative_to(home)) if place.is_relative_to(home) else str(place)


def _measured(found: Tuned, name: str) -> dict[str, Any]:
    held: dict[str, Any] = {}
    if found.threshold is not None:
        one = found.threshold
        held = {
            "keep": one.keep,
            "kept": _rounded(one.kept),
            "removed": _rounded(one.removed),
            "with_threshold": round(one.value, 4),
        }
    return {
        "collection": name,
        "queries": found.queries,
        "measure": found.measure,
        "promised": round(found.promised, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "default": round(found.default, 4),
        "milliseconds": round(found.ms, 1),
        **{name: value for name, value in held.items() if value is not None},
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _print(found: Tuned, out: Path) -> None:
    from secondpass.evaluate.report.number_format import (
        format_difference,
        format_number,
        format_p_value,
    )

    over = found.over
    typer.echo(
        f"{found.label}: {format_number(found.promised)} {found.measure}, {found.ms:.0f} ms"
    )
    typer.echo(
        f"  promised   {format_number(found.promised)}"
        f" ({format_number(found.low)} to {format_number(found.high)}),"
        " on queries that chose and fitted nothing"
    )
    typer.echo(
        f"  chosen by  {format_number(found.inner)}, the best of {found.tried} settings:"
        " too high"
    )
    typer.echo(
        f"  default    {format_number(found.default)}; over it {format_difference(over.mean)} ±"
        f" {format_number(over.margin)}, {format_p_value(over.p)}"
    )
    different = sorted(set(found.picks))
    agreed = "all folds chose the same" if len(different) == 1 else "folds chose: "
    typer.echo(f"  {agreed}{'' if len(different) == 1 else '; '.join(different)}")
    _print_threshold(found)
    typer.echo(f"Written: {out}", err=True)


def _print_threshold(found: Tuned) -> None:
    from secondpass.evaluate.report.number_format import format_number

    one = found.threshold
    if one is None:
        if found.no_threshold is not None:
            typer.echo(f"No threshold: {found.no_threshold}.", err=True)
        return

    def percent(share: float | None) -> str:
        return "none there" if share is None else f"{share:.1%}"

    typer.echo(f"  threshold  a probability of {one.least:g}, on queries that chose none:")
    typer.echo(
        f"             keeps {percent(one.kept)} of the relevant among the first {one.top_k},"
        f" removes {percent(one.removed)} of the others"
    )
    typer.echo(
        f"             {one.shown_before:.1f} to {one.shown:.1f} results a query,"
        f" {percent(one.relevant_before)} to {percent(one.relevant)} of them relevant"
    )
    typer.echo(
        f"             {one.silent} of {found.queries} queries get no result, {one.hidden} of"
        f" them had a relevant one; {found.measure} {format_number(one.value)}"
    )
    folds = len(found.picks)
    if one.folds < folds:
        typer.echo(
            f"             {folds - one.folds} of {folds} folds could choose none and count as"
            " they were: judge more queries"
        )
