"""`secondpass eval`: measures of searches and run files on judged queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondpass.cli import options
from secondpass.cli.options import Config, read_config
from secondpass.cli.search_options import LOAD_OPTIONS, chosen_options, takes_options
from secondpass.evaluate.defaults import MEASURES
from secondpass.options import PolicyOptions

if TYPE_CHECKING:
    from secondpass.evaluate.collection import Collection
    from secondpass.evaluate.measures import Evaluation
    from secondpass.evaluate.run import Run
    from secondpass.evaluate.significance import Comparison
    from secondpass.index.index import SearchOptions
    from secondpass.index.search import Search


@takes_options(PolicyOptions, LOAD_OPTIONS)
def evaluate(
    context: typer.Context,
    queries: options.Queries,
    qrels: options.Qrels = None,
    index: options.SearchedIndex = None,
    over: options.Over = None,
    runs: Annotated[
        list[Path] | None, typer.Option(help="Run files to measure: TREC or JSON lines.")
    ] = None,
    measures: options.Measures = list(MEASURES),  # noqa: B006 - typer copies it
    models: options.Models = ["bundled"],  # noqa: B006 - typer copies it
    mode: options.FirstStageMode = "hybrid",
    candidates: options.FirstStageDepth = 100,
    config: Config = None,
    against: Annotated[
        Path | None,
        typer.Option(help="Earlier run: exit with 1 if the first measure fell significantly."),
    ] = None,
    alpha: Annotated[float, typer.Option(help="Significance level of --against.")] = 0.05,
    save_run: Annotated[
        Path | None,
        typer.Option(help="Write the evaluated run: .jsonl, or TREC; .gz is compressed."),
    ] = None,
    split: options.Split = "test",
    limit: options.Limit = None,
    as_json: options.AsJson = False,
    **typed: Any,
) -> None:
    """Measure searches of an index or a database, and run files, on judged queries.

    With an index or a database: BM25, vector and hybrid search, as far as it has them, and each
    reranker over --mode; with --config, the search that the file describes. --save-run and
    --against use the last of these, or the only run file. As in trec_eval, ties are ordered by
    descending id and a query without results counts as 0.

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
    run_files = [Run.read(path) for path in runs or []]
    earlier = None if against is None else Run.read(against, name=f"against {against.name}")
    searches = index is not None or over is not None or _names_source(config)
    if not searches and not run_files:
        raise InputError("there is nothing to measure", fix="Give --index, --over or --runs.")
    collection = options.read_collection(queries, qrels, split, limit)
    searched: list[Run] = []
    if searches:
        base = {"mode": mode, "candidates": candidates, **read_config(config, context)}
        chosen = chosen_options(PolicyOptions, typed)
        base |= {name: value for name, value in chosen.items() if value is not None}
        with options.open_source(index, over, config) as opened:
            modes = opened.retriever.modes
            if base["mode"] == "hybrid" and modes and "hybrid" not in modes:
                base["mode"] = modes[0]
            variants = _list_variants(base, models, configured=config is not None)
            searched = _search_variants(opened, collection, dict(variants))
    evaluated = searched[-1] if searched else run_files[0]
    if not searched and len(run_files) > 1 and (earlier is not None or save_run is not None):
        raise InputError(
            "there are several runs", fix="Give one --runs with --against or --save-run."
        )
    if save_run is not None:
        evaluated.write(save_run)
    evaluations = [measure(run, collection, measures) for run in (*searched, *run_files)]
    if earlier is not None:
        evaluations.append(measure(earlier, collection, measures))
    for evaluation in evaluations:
        options.print_notes(evaluation.notes)
    drift = None
    if earlier is not None:
        drift = compare(evaluated, earlier, collection, measure=measures[0], alpha=alpha)
    if as_json:
        print_json(_as_object(collection, evaluations, evaluated.name, drift))
    else:
        _print(evaluations, drift, evaluated.name)
    if drift is not None and drift.fell:
        raise typer.Exit(1)


def _names_source(config: Path | None) -> bool:
    from secondpass.index.config_file import Configuration

    return config is not None and bool(Configuration.read(config).source)


def _list_variants(
    base: dict[str, Any], models: list[str], *, configured: bool
) -> Iterator[tuple[str, SearchOptions]]:
    """Yield the searches to measure, with their names; the last is compared and saved."""
    candidates: Any = base["candidates"]
    for mode in ("bm25", "vector", "hybrid"):
        yield mode, {"mode": mode, "candidates": candidates, "rerank": False}
    if configured:
        search: Any = {k: v for k, v in base.items() if k not in ("top_k", "min_score")}
        yield "configuration", search
        return
    for model in models:
        search = {**base, "rerank": model}
        yield f"{base['mode']} + {model}", search


def _search_variants(
    opened: Search, collection: Collection, variants: dict[str, SearchOptions]
) -> list[Run]:
    from secondpass.cli.output import stages
    from secondpass.evaluate.run import search_all

    runs = []
    modes = opened.retriever.modes or ("hybrid",)
    with stages() as progress:
        judged = list({d for grades in collection.qrels.values() for d in grades})
        ids = opened.stored_ids(judged)
        stored = collection if ids is None else collection.checked(ids, "the index")
        options.print_notes(stored.notes[len(collection.notes) :])
        for name, search in variants.items():
            # A second pass is measured over the best first stage that there is.
            if search.get("rerank") is False and search["mode"] not in modes:
                continue

            def show(done: int, total: int, name: str = name) -> None:
                progress(name, done, total)

            runs.append(search_all(opened, stored.queries, name=name, progress=show, **search))
            if ids is None:
                stored.found(
                    {d for found in runs[-1].scores.values() for d in found}, opened.name
                )
    return runs


def _as_object(
    collection: Collection,
    evaluations: list[Evaluation],
    evaluated: str,
    drift: Comparison | None,
) -> dict[str, Any]:
    return {
        "collection": collection.name,
        "queries": len(collection.queries),
        "notes": [
            *collection.notes,
            *(note for evaluation in evaluations for note in evaluation.notes),
        ],
        "runs": [
            {
                "name": evaluation.name,
                "means": dict(evaluation.means),
                "by_query": {
                    name: dict(zip(evaluation.queries, values.tolist(), strict=True))
                    for name, values in evaluation.values.items()
                },
            }
            for evaluation in evaluations
        ],
        "judged": evaluated,
        "against": None if drift is None else {**asdict(drift), "fell": drift.fell},
    }


def _print(evaluations: list[Evaluation], drift: Comparison | None, evaluated: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from secondpass.evaluate.report.number_format import (
        format_difference,
        format_number,
        format_p_value,
    )

    table = Table(header_style="bold", box=None)
    table.add_column("")
    for name in evaluations[0].means:
        table.add_column(name, justify="right")
    for evaluation in evaluations:
        means = evaluation.means.values()
        table.add_row(evaluation.name, *(format_number(value) for value in means))
    Console(markup=False, highlight=False, width=None).print(table)
    if drift is None:
        return
    change = drift.effect
    word = "FELL" if drift.fell else "did not fall" if change.mean < 0 else "held"
    typer.echo(
        f"{evaluated}: {drift.measure} {word}: {format_number(drift.before)} to"
        f" {format_number(drift.now)},"
        f" {format_difference(change.mean)}"
        f" ({format_difference(change.low)} to {format_difference(change.high)}),"
        f" {format_p_value(change.p)}; {change.won} won, {change.tied} tied, {change.lost} lost"
    )
