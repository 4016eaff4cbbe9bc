"""`secondpass report`: does reranking pay, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondpass.cli import options
from secondpass.evaluate.defaults import DEPTHS

if TYPE_CHECKING:
    from secondpass.evaluate.study import Study


def report(
    index: options.IndexFolder,
    queries: options.Queries,
    qrels: options.Qrels = None,
    out: Annotated[Path | None, typer.Option(help="The HTML page to write.")] = None,
    models: options.Models = ["bundled"],  # noqa: B006 - typer copies it
    depths: options.Depths = list(DEPTHS),  # noqa: B006
    mode: Annotated[str, typer.Option(help="The first pass whose candidates are reranked.")] = (
        "hybrid"
    ),
    measure: Annotated[str, typer.Option(help="As ir-measures names it.")] = "nDCG@10",
    split: options.Split = "test",
    limit: options.Limit = None,
    as_json: options.AsJson = False,
) -> None:
    """Say whether reranking pays on judged queries, how deep and with which model.

    The baseline is fusion with its weights tuned. Weights are fitted on one half of the
    queries and judged on the other. The page needs no network.

    Example:  secondpass report --index my-index --queries queries.jsonl --qrels qrels.tsv
    --out report.html --models bundled bundled-tiny --depths 10 30 100
    """
    from secondpass.cli.output import print_json, stages
    from secondpass.errors import InputError
    from secondpass.evaluate.report.html import html_page
    from secondpass.evaluate.report.json import as_object
    from secondpass.evaluate.study import run_study
    from secondpass.index.index import Index

    if out is not None and not out.parent.is_dir():
        raise InputError("there is no such folder", where=str(out.parent))
    collection = options.read(queries, qrels, split, limit)
    with Index.open(index, create=False) as opened, stages() as progress:
        found = run_study(
            opened,
            collection,
            models=models,
            depths=depths,
            mode=mode,
            measure=measure,
            progress=progress,
        )
    if out is not None:
        out.write_text(html_page(found), "utf-8")
    if as_json:
        print_json({"page": None if out is None else str(out), **as_object(found)})
        return
    summarise(found)
    if out is not None:
        typer.echo(f"Written: {out}", err=True)


def summarise(study: Study) -> None:
    """Print the answer, what it rests on, and each depth of the chosen order."""
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
    for place, name in enumerate(names if study.timed else names[:-1]):
        table.add_column(name, justify="right" if place else "left")
    rows = [*study.first_stages, study.baseline]
    rows += [r for model in study.models for r in study.curve(model)]
    for result in rows:
        gain = result.effect
        own = result is study.baseline
        cells = [
            describe_variant(result) if own else result.variant.label,
            format_number(result.mean),
        ]
        cells += (
            ["", "", ""]
            if own
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
