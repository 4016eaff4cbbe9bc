"""`secondpass calibrate`: a calibration of scores to probabilities on own labels."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from secondpass.cli import options
from secondpass.errors import InputError

if TYPE_CHECKING:
    from secondpass.cli.output import Stages
    from secondpass.evaluate.calibration import CalibrationReport
    from secondpass.evaluate.qrels import LabelledQuery
    from secondpass.evaluate.reliability import Reliability
    from secondpass.index.search import Search


class LabelSource(NamedTuple):
    """The queries and judgments that label the candidates of an index or a database."""

    place: str | None
    over: str | None
    queries: str | None
    qrels: str | None
    split: str
    limit: int | None
    candidates: int
    min_grade: int
    judged_only: bool


class MethodChoice(StrEnum):
    """How scores become probabilities."""

    PLATT = "platt"
    TEMPERATURE = "temperature"
    ISOTONIC = "isotonic"


def calibrate(
    pairs: Annotated[
        Path | None,
        typer.Argument(
            help='JSON lines like {"query": "…", "text": "…", "label": 1}; or --index, '
            "--queries and, unless they are a BEIR folder, --qrels.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Calibration file to write.")] = Path(
        "calibration.json"
    ),
    index: options.SearchedIndex = None,
    over: options.Over = None,
    queries: options.OptionalQueries = None,
    qrels: options.Qrels = None,
    candidates: options.FirstStageDepth = 50,
    method: Annotated[
        MethodChoice,
        typer.Option(help="Calibration method; isotonic needs four times as many labels."),
    ] = MethodChoice.PLATT,
    model: options.Model = "bundled",
    least_grade: Annotated[int, typer.Option(help="Lowest grade that counts as relevant.")] = 1,
    judged_only: Annotated[
        bool,
        typer.Option("--judged-only", help="Leave out unjudged candidates."),
    ] = False,
    fields: options.Fields = None,
    template: options.Template = None,
    max_length: options.MaxLength = None,
    passages: options.PassagesOption = "max",
    split: options.Split = "test",
    limit: options.Limit = None,
    seed: Annotated[
        int, typer.Option(help="Random seed of the split into fitted and held-out queries.")
    ] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Fit a calibration that converts a model's scores to probabilities of relevance.

    Unjudged candidates count as irrelevant, unless --judged-only. With too few labels,
    exits with 2 and prints how many are needed.

    Example:  secondpass calibrate --index my-index --queries queries.jsonl --qrels qrels.tsv
    """
    from secondpass.cli.output import print_json, stages
    from secondpass.evaluate.calibration import calibrate, write_calibration
    from secondpass.rerank.scoring_options import ScoringOptions
    from secondpass.rerank.windowing import parse_aggregation
    from secondpass.reranker import Reranker

    names = options.split_names(fields)
    scoring_options = ScoringOptions(
        None if names is None else tuple(names),
        template,
        max_length,
        parse_aggregation(passages),
    )
    with ExitStack() as stack:
        progress = stack.enter_context(stages())
        source = LabelSource(
            index, over, queries, qrels, split, limit, candidates, least_grade, judged_only
        )
        opened = _open_index(pairs, source)
        if opened is not None:
            stack.enter_context(opened)
        labelled = _read_labels(pairs, opened, source, progress)
        report = calibrate(
            Reranker(model) if opened is None else opened.reranker(model),
            labelled,
            method=method.value,
            options=scoring_options,
            seed=seed,
            progress=progress,
        )
    write_calibration(out, report.calibration)
    if as_json:
        print_json({"path": str(out), "calibration": report.calibration.as_object()})
    else:
        _print(report, out)


def _open_index(pairs: Path | None, source: LabelSource) -> Search | None:
    """Open what is searched, or return None if the labels are in a file of pairs."""
    if pairs is not None:
        given = (source.place, source.over, source.queries, source.qrels)
        if any(value is not None for value in given):
            raise InputError(
                "Give a file of pairs, or --index, --queries and --qrels, not both"
            )
        return None
    if (source.place is None and source.over is None) or source.queries is None:
        raise InputError(
            "There are no labels to calibrate on",
            fix="Give a file of pairs, or --index, --queries and --qrels.",
        )
    return options.open_source(source.place, source.over)


def _read_labels(
    pairs: Path | None, opened: Search | None, source: LabelSource, progress: Stages
) -> list[LabelledQuery]:
    from secondpass.evaluate.qrels import label_candidates, read_pairs

    if pairs is not None:
        return read_pairs(pairs, min_grade=source.min_grade)
    assert opened is not None
    assert source.queries is not None
    collection = options.read_collection(
        source.queries, source.qrels, source.split, source.limit
    )
    return label_candidates(
        opened,
        collection.queries,
        collection.qrels,
        candidates=source.candidates,
        min_grade=source.min_grade,
        judged_only=source.judged_only,
        progress=progress,
    )


def _print(report: CalibrationReport, out: Path) -> None:
    labels = f"{report.relevant} relevant and {report.irrelevant} irrelevant pairs"
    typer.echo(f"{out}: {report.calibration.method}, {report.calibration.model}")
    typer.echo(f"    fitted on {labels} of {report.queries} queries")
    if report.assumed:
        typer.echo(f"    {report.assumed} of them unjudged, counted as irrelevant")
    for name, fit in (("before", report.before), ("after, held out", report.after)):
        if fit is not None:
            typer.echo(
                f"    {name}: calibration error {fit.error:.3f} "
                f"({fit.error_low:.3f} to {fit.error_high:.3f}), "
                f"log loss {fit.log_loss:.3f}"
            )
    typer.echo("")
    for line in diagram(report.after):
        typer.echo(line)
    typer.echo(
        f'Next: secondpass search "…" --calibration {shlex.quote(str(out))} '
        "--min-probability 0.3",
        err=True,
    )


def diagram(reliability: Reliability, width: int = 40) -> list[str]:
    """Return a reliability diagram as lines: bars are relevant shares, ┃ predicted ones."""
    lines = ["promised   relevant  pairs"]
    for bin_ in reliability.bins:
        bar = ["█"] * round(bin_.share * width)
        bar += ["·"] * (width - len(bar))
        bar[min(width - 1, int(bin_.promised * width))] = "┃"
        bounds = f"{bin_.low:.1f} to {bin_.high:.1f}"
        lines.append(f"{bounds}   {bin_.share:6.1%} {bin_.pairs:6d}  {''.join(bar)}")
    return lines
