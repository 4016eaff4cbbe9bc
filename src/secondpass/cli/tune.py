"""`secondpass tune`: choose the best search configuration within a latency limit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondpass.cli import options
from secondpass.cli.search_options import LOAD_OPTIONS, chosen_options, takes_options
from secondpass.evaluate.defaults import DEPTHS, TOP_K
from secondpass.option_values import RESCORE_AUTO
from secondpass.options import PolicyOptions

if TYPE_CHECKING:
    from secondpass.evaluate.tuning import Tuned


@takes_options(PolicyOptions, LOAD_OPTIONS)
def tune(
    queries: options.Queries,
    index: options.SearchedIndex = None,
    over: options.Over = None,
    qrels: options.Qrels = None,
    out: Annotated[Path, typer.Option(help="Configuration file to write.")] = Path(
        "secondpass.toml"
    ),
    max_latency_ms: Annotated[
        float | None,
        typer.Option(help="Maximum median latency of a search on this machine."),
    ] = None,
    maximise: Annotated[
        str, typer.Option(help="Measure to maximize, as ir-measures names it.")
    ] = "nDCG@10",
    models: options.Models = ["bundled"],  # noqa: B006 - typer copies it
    depths: options.Depths = list(DEPTHS),  # noqa: B006
    cascade: Annotated[
        bool,
        typer.Option(
            "--cascade/--no-cascade",
            help="Whether to also try each model in a cascade with bundled-tiny (slower).",
        ),
    ] = False,
    rescore: options.Rescorers = [RESCORE_AUTO],  # noqa: B006
    keep: Annotated[
        float | None,
        typer.Option(
            help="Choose the highest --min-probability that keeps this share of the relevant "
            "results, such as 0.95.",
        ),
    ] = None,
    top_k: Annotated[
        int, typer.Option(help="Number of results of a search that count for --keep.")
    ] = TOP_K,
    calibration: options.CalibrationFile = None,
    split: options.Split = "test",
    limit: options.Limit = None,
    as_json: options.AsJson = False,
    **typed: Any,
) -> None:
    """Choose mode, fusion, weights, model, blend, candidates and more on judged queries.

    The reported quality is measured on queries not used for choosing or fitting (nested
    cross-validation); the higher figure used for choosing is printed beside it. With --keep,
    results below a probability threshold are dropped, and the dropped shares of relevant
    and other results are measured in the same way.

    Example:  secondpass tune --index my-index --queries queries.jsonl --qrels qrels.tsv
    --max-latency-ms 100 --maximise nDCG@10 --keep 0.95 --out secondpass.toml
    """
    from secondpass.cli.output import print_json, stages
    from secondpass.errors import InputError
    from secondpass.evaluate.tuning import tune as choose
    from secondpass.index.config_file import Configuration

    if not out.parent.is_dir():
        raise InputError("there is no such folder", where=str(out.parent))
    collection = options.read_collection(queries, qrels, split, limit)
    loading = chosen_options(PolicyOptions, typed)
    with options.open_source(index, over) as opened, stages() as progress:
        tuned = choose(
            opened,
            collection,
            max_latency_ms=max_latency_ms,
            maximize=maximise,
            models=options.load_models(models, loading),
            depths=depths,
            cascade=cascade,
            rescore=rescore,
            keep=keep,
            top_k=top_k,
            calibration=calibration,
            progress=progress,
        )
    settings = dict(tuned.settings)
    if calibration is not None and settings["rerank"] is not False:
        settings["calibration"] = _relative_path(calibration, out)
    if settings["rerank"] is not False:
        settings |= {
            name: _relative_path(value, out) if isinstance(value, Path) else value
            for name, value in loading.items()
            if value is not None
        }
    configuration = Configuration(settings, _measurements(tuned, collection.name))
    configuration.write(
        out, note=f"Written by secondpass tune. Use it: secondpass search --config {out}"
    )
    if as_json:
        print_json({"path": str(out), **asdict(tuned), "settings": settings})
    else:
        _print(tuned, out)


def _relative_path(file: Path, out: Path) -> str:
    """Return a path relative to the configuration's folder if it is inside, else absolute."""
    path, folder = file.resolve(), out.parent.resolve()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _measurements(tuned: Tuned, name: str) -> dict[str, Any]:
    threshold: dict[str, Any] = {}
    if tuned.threshold is not None:
        threshold = {
            "keep": tuned.threshold.keep,
            "kept": _round(tuned.threshold.kept),
            "removed": _round(tuned.threshold.removed),
            "with_threshold": round(tuned.threshold.value, 4),
        }
    return {
        "collection": name,
        "queries": tuned.queries,
        "measure": tuned.measure,
        "promised": round(tuned.promised, 4),
        "low": round(tuned.low, 4),
        "high": round(tuned.high, 4),
        "default": round(tuned.default, 4),
        "milliseconds": round(tuned.ms, 1),
        **{name: value for name, value in threshold.items() if value is not None},
    }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _print(tuned: Tuned, out: Path) -> None:
    from secondpass.evaluate.report.number_format import (
        format_difference,
        format_number,
        format_p_value,
    )

    over = tuned.over
    typer.echo(
        f"{tuned.label}: {format_number(tuned.promised)} {tuned.measure}, {tuned.ms:.0f} ms"
    )
    typer.echo(
        f"  promised   {format_number(tuned.promised)}"
        f" ({format_number(tuned.low)} to {format_number(tuned.high)}),"
        " on queries that chose and fitted nothing"
    )
    typer.echo(
        f"  chosen by  {format_number(tuned.inner)}, the best of {tuned.tried} settings:"
        " too high"
    )
    typer.echo(
        f"  default    {format_number(tuned.default)}; over it {format_difference(over.mean)} ±"
        f" {format_number(over.margin)}, {format_p_value(over.p)}"
    )
    different = sorted(set(tuned.picks))
    agreed = "all folds chose the same" if len(different) == 1 else "folds chose: "
    typer.echo(f"  {agreed}{'' if len(different) == 1 else '; '.join(different)}")
    _print_threshold(tuned)
    typer.echo(f"Written: {out}", err=True)


def _print_threshold(tuned: Tuned) -> None:
    from secondpass.evaluate.report.number_format import format_number

    threshold = tuned.threshold
    if threshold is None:
        if tuned.no_threshold is not None:
            typer.echo(f"No threshold: {tuned.no_threshold}.", err=True)
        return

    def percent(share: float | None) -> str:
        return "none there" if share is None else f"{share:.1%}"

    t, indent = threshold, " " * 13
    typer.echo(f"  threshold  a probability of {t.least:g}, on queries that chose none:")
    typer.echo(
        f"{indent}keeps {percent(t.kept)} of the relevant among the first {t.top_k},"
        f" removes {percent(t.removed)} of the others"
    )
    typer.echo(
        f"{indent}{t.shown_before:.1f} to {t.shown:.1f} results a query,"
        f" {percent(t.relevant_before)} to {percent(t.relevant)} of them relevant"
    )
    typer.echo(
        f"{indent}{t.silent} of {tuned.queries} queries get no result, {t.hidden} of"
        f" them had a relevant one; {tuned.measure} {format_number(t.value)}"
    )
    folds = len(tuned.picks)
    if t.folds < folds:
        typer.echo(
            f"{indent}{folds - t.folds} of {folds} folds could choose none and count as"
            " they were: judge more queries"
        )
