"""`secondpass eval`: what searches and given runs reach on judged queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondpass.cli import options
from secondpass.cli.options import Config, configured
from secondpass.evaluate.defaults import MEASURES

if TYPE_CHECKING:
    from secondpass.evaluate.collection import Collection
    from secondpass.evaluate.measures import Evaluation
    from secondpass.evaluate.run import Run
    from secondpass.evaluate.significance import Comparison
    from secondpass.index.index import SearchOptions


def evaluate(
    context: typer.Context,
    queries: options.Queries,
    qrels: options.Qrels = None,
    index: Annotated[
        Path | None, typer.Option(help="The folder of an index to search.")
    ] = None,
    runs: Annotated[
        list[Path] | None, typer.Option(help="Run files to measure: TREC or JSON lines.")
    ] = None,
    measures: options.Measures = list(MEASURES),  # noqa: B006 - typer copies it
    models: options.Models = ["bundled"],  # noqa: B006 - typer copies it
    mode: Annotated[str, typer.Option(help="The first pass whose candidates are reranked.")] = (
        "hybrid"
    ),
    candidates: Annotated[int, typer.Option(help="How many the first pass hands over.")] = 100,
    config: Config = None,
    against: Annotated[
        Path | None,
        typer.Option(help="An earlier run: exit with 1 if the first measure fell surely."),
    ] = None,
    alpha: Annotated[float, typer.Option(help="Of the test behind --against.")] = 0.05,
    save_run: Annotated[
        Path | None,
        typer.Option(help="Write the run that is judged: .jsonl, or TREC; .gz is compressed."),
    ] = None,
    split: options.Split = "test",
    limit: options.Limit = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure an index's searches and given runs side by side on judged queries.

    With an index: each half, hybrid, and each model over --mode. With --config, the search
    that the file describes. --save-run and --against take the last of these, or the only
    run file. Ties stand by falling id and a query without results counts as 0, as in
    trec_eval.

    Example:  secondpass eval --index my-index --queries queries.jsonl --qrels qrels.tsv
    """
    from secondpass.cli.output import print_json
    from secondpass.errors import InputError
    from secondpass.evaluate.measures import evaluate as measure
    from secondpass.evaluate.measures import parse_measure
    from secondpass.evaluate.run import Run
    from secondpass.evaluate.significance import compare

    if not 0 < alpha < 1:
        raise InputError(f"--alpha must lie between 0 and 1, and is {alpha}")
    for name in measures:
        parse_measure(name)
    given = [Run.read(path) for path in runs or []]
    earlier = None if against is None else Run.read(against, name=f"against {against.name}")
    if index is None and not given:
        raise InputError("there is nothing to measure", fix="Give --index or --runs.")
    collection = options.read(queries, qrels, split, limit)
    searched: list[Run] = []
    if index is not None:
        base = {"mode": mode, "candidates": candidates, **configured(config, context)}
        ways = _ways(base, models, configured=config is not None)
        searched = _searched(index, collection, dict(ways))
    judged = searched[-1] if searched else given[0]
    if not searched and len(given) > 1 and (earlier is not None or save_run is not None):
        raise InputError(
            "there are several runs", fix="Give one --runs with --against or --save-run."
        )
    if save_run is not None:
        judged.write(save_run)
    found = [measure(run, collection, measures) for run in (*searched, *given)]
    if earlier is not None:
        found.append(measure(earlier, collection, measures))
    for one in found:
        options.say(one.notes)
    drift = None
    if earlier is not None:
        drift = compare(judged, earlier, collection, measure=measures[0], alpha=alpha)
    if as_json:
        print_json(_object(collection, found, judged.name, drift))
    else:
        _print(found, drift, judged.name)
    if drift is not None and drift.fell:
        raise typer.Exit(1)


def _ways(
    base: dict[str, Any], models: list[str], *, configured: bool
) -> Iterator[tuple[str, SearchOptions]]:
    """Give the searches to measure, by name; the last is the one that counts."""
    n: Any = base["candidates"]
    for mode in ("bm25", "vector", "hybrid"):
        yield mode, {"mode": mode, "candidates": n, "rerank": False}
    if configured:
        wanted: Any = {k: v for k, v in base.items() if k not in ("top_k", "min_score")}
        yield "configuration", wanted
        return
    for model in models:
        search: Any = {**base, "rerank": model}
        yield f"{base['mode']} + {model}", search


def _searched(index: Path, collection: Collection, ways: dict[str, SearchOptions]) -> list[Run]:
    from secondpass.cli.output import stages
    from secondpass.evaluate.run import search_all
    from secondpass.index.index import Index

    runs = []
    with Index.open(index, create=False) as opened, stages() as progress:
        judged = list({d for grades in collection.qrels.values() for d in grades})
        known = collection.checked(opened.stored_ids(judged), "the index")
        options.say(known.notes[len(collection.notes) :])
        for name, how in ways.items():
            if not opened.dimension and how["mode"] != "bm25":
                continue

            def show(done: int, total: int, name: str = name) -> None:
                progress(name, done, total)

            runs.append(search_all(opened, known.queries, name=name, progress=show, **how))
    return runs


def _object(
    collection: Collection, found: list[Evaluation], judged: str, drift: Comparison | None
) -> dict[str, Any]:
    return {
        "collection": collection.name,
        "queries": len(collection.queries),
        "notes": [*collection.notes, *(note for one in found for note in one.notes)],
        "runs": [
            {
                "name": one.name,
                "means": dict(one.means),
                "by_query": {
                    name: dict(zip(one.queries, values.tolist(), strict=True))
                    for name, values in one.values.items()
                },
            }
            for one in found
        ],
        "judged": judged,
        "against": None if drift is None else {**asdict(drift), "fell": drift.fell},
    }


def _print(found: list[Evaluation], drift: Comparison | None, judged: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from secondpass.evaluate.report.number_format import (
        format_difference,
        format_number,
        format_p_value,
    )

    table = Table(header_style="bold", box=None)
    table.add_column("")
    for name in found[0].means:
        table.add_column(name, justify="right")
    for one in found:
        table.add_row(one.name, *(format_number(value) for value in one.means.values()))
    Console(markup=False, highlight=False, width=None).print(table)
    if drift is None:
        return
    change = drift.effect
    word = "FELL" if drift.fell else "did not fall" if change.mean < 0 else "held"
    typer.echo(
        f"{judged}: {drift.measure} {word}: {format_number(drift.before)} to"
        f" {format_number(drift.now)},"
        f" {format_difference(change.mean)}"
        f" ({format_difference(change.low)} to {format_difference(change.high)}),"
        f" {format_p_value(change.p)}; {change.won} won, {change.tied} tied, {change.lost} lost"
    )
