"""`secondpass report`: a one-page report on whether reranking pays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondpass.cli import options
from secondpass.cli.search_options import LOAD_OPTIONS, chosen_options, takes_options
from secondpass.evaluate.defaults import DEPTHS
from secondpass.option_values import RESCORE_AUTO
from secondpass.options import PolicyOptions

if TYPE_CHECKING:
    from secondpass.evaluate.study import Study


@takes_options(PolicyOptions, LOAD_OPTIONS)
def report(
    queries: options.Queries,
    index: options.SearchedIndex = None,
    over: options.Over = None,
    qrels: options.Qrels = None,
    out: Annotated[Path | None, typer.Option(help="HTML page to write.")] = None,
    models: options.Models = ["bundled"],  # noqa: B006 - typer copies it
    depths: options.Depths = list(DEPTHS),  # noqa: B006
    mode: options.FirstStageMode = "hybrid",
    measure: Annotated[str, typer.Option(help="Measure, as ir-measures names it.")] = "nDCG@10",
    rescore: options.Rescorers = [RESCORE_AUTO],  # noqa: B006
    split: options.Split = "test",
    limit: options.Limit = None,
    as_json: options.AsJson = False,
    **typed: Any,
) -> None:
    """Measure whether reranking pays on judged queries, at which depth and with which model.

    The baseline is hybrid search with tuned fusion weights. Weights are fitted on one half
    of the queries and evaluated on the other. The page needs no network.

    Example:  secondpass report --index my-index --queries queries.jsonl --qrels qrels.tsv
    --out report.html --models bundled bundled-tiny --depths 10 30 100
    """
    from secondpass.cli.output import print_json, stages
    from secondpass.errors import InputError
    from secondpass.evaluate.report.html import html_page
    from secondpass.evaluate.report.json import as_object
    from secondpass.evaluate.study import run_study
    from secondpass.storage import replace_file

    if out is not None and not out.parent.is_dir():
        raise InputError("there is no such folder", where=str(out.parent))
    collection = options.read_collection(queries, qrels, split, limit)
    loading = chosen_options(PolicyOptions, typed)
    with options.open_source(index, over) as opened, stages() as progress:
        study = run_study(
            opened,
            collection,
            models=options.load_models(models, loading),
            depths=depths,
            mode=mode,
            measure=measure,
            rescore=rescore,
            progress=progress,
        )
    if out is not None:
        replace_file(out, html_page(study))
    if as_json:
        print_json({"page": None if out is None else str(out), **as_object(study)})
        return
    print_summary(study)
    if out is not None:
        typer.echo(f"Written: {out}", err=True)


def print_summary(study: Study) -> None:
    """Print the verdict, the evidence, and a table of all search variants by depth."""
    from rich.console import Console
    from rich.table import Table

    from secondpass.evaluate.report.number_format import (
        format_difference,
        format_number,
        format_p_value,
    )
    from secondpass.evaluate.report.text import describe_variant, headline, summary_sentences

    typer.echo(headline(study))
    typer.echo("")
    for line in summary_sentences(study):
        typer.echo(f"  {line}")
    table = Table(header_style="bold", box=None)
    names = ("", study.measure, "gain", "95 %", "p (Holm)", "ms")
    for position, name in enumerate(names if study.timed else names[:-1]):
        table.add_column(name, justify="right" if position else "left")
    rows = [*study.first_stages, study.baseline]
    rows += [r for model in study.models for r in study.curve(model)]
    rows += [r for r in study.second_readings if r is not study.choice]
    for result in rows:
        gain = result.effect
        is_baseline = result is study.baseline
        cells = [
            describe_variant(result) if is_baseline else result.variant.label,
            format_number(result.mean),
        ]
        cells += (
            ["", "", ""]
            if is_baseline
            else [
                format_difference(gain.mean),
                f"{format_difference(gain.low)} to {format_difference(gain.high)}",
                format_p_value(result.p_holm).removeprefix("p = ").removeprefix("p "),
            ]
        )
        chosen = result is study.choice
        table.add_row(
            *cells,
            *([f"{result.ms:.0f}"] if study.timed else []),
            style="bold" if chosen else None,
        )
    typer.echo("")
    Console(markup=False, highlight=False).print(table)
