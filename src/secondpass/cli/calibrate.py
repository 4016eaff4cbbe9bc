"""`secondpass calibrate`: probabilities that hold on the user's own data."""

from __future__ import annotations

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
    from secondpass.index.index import Index


class Asked(NamedTuple):
    """Where the labels of an index come from."""

    folder: Path | None
    queries: str | None
    qrels: str | None
    split: str
    limit: int | None
    candidates: int
    least_grade: int
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
            "--queries and, where they are no BEIR folder, --qrels.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("calibration.json"),
    index: Annotated[Path | None, typer.Option(help="The folder of the index.")] = None,
    queries: options.MaybeQueries = None,
    qrels: options.Qrels = None,
    candidates: Annotated[
        int, typer.Option(help="How many of each query the first pass hands over.")
    ] = 50,
    method: Annotated[
        MethodChoice, typer.Option(help="isotonic needs four times as many labels.")
    ] = MethodChoice.PLATT,
    model: options.Model = "bundled",
    least_grade: Annotated[
        int, typer.Option(help="From which grade on a pair is relevant.")
    ] = 1,
    judged_only: Annotated[
        bool,
        typer.Option("--judged-only", help="Leave out candidates that nobody judged."),
    ] = False,
    fields: options.Fields = None,
    template: options.Template = None,
    max_length: options.MaxLength = None,
    passages: options.PassagesOption = "max",
    split: options.Split = "test",
    limit: options.Limit = None,
    seed: Annotated[int, typer.Option(help="Of the split into judged and fitted.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Fit what turns a model's scores into the chance of being relevant.

    Candidates that nobody judged count as irrelevant, unless --judged-only. Exits with 2,
    and says how many labels are needed, if there are too few.

    Example:  secondpass calibrate --index my-index --queries queries.jsonl --qrels qrels.tsv
    """
    from secondpass.cli.output import print_json, stages
    from secondpass.evaluate.calibration import calibrate, write_calibration
    from secondpass.rerank.scoring_options import ScoringOptions
    from secondpass.rerank.windowing import parse_aggregation
    from secondpass.reranker import Reranker

    names = options.split_names(fields)
    reading = ScoringOptions(
        None if names is None else tuple(names),
        template,
        max_length,
        parse_aggregation(passages),
    )
    with ExitStack() as closing:
        progress = closing.enter_context(stages())
        asked = Asked(index, queries, qrels, split, limit, candidates, least_grade, judged_only)
        opened = _opened(pairs, asked)
        if opened is not None:
            closing.enter_context(opened)
        labelled = _labelled(pairs, opened, asked, progress)
        report = calibrate(
            Reranker(model) if opened is None else opened.reranker(model),
            labelled,
            method=method.value,
            options=reading,
            seed=seed,
            progress=progress,
        )
    write_calibration(out, report.calibration)
    if as_json:
        print_json({"path": str(out), "calibration": report.calibration.as_object()})
    else:
        _print(report, out)


def _opened(pairs: Path | None, asked: Asked) -> Index | None:
    """Return the index, or None where the labels are in a file of pairs."""
    from secondpass.index.index import Index

    places = (asked.folder, asked.queries, asked.qrels)
    if pairs is not None:
        if any(one is not None for one in places):
            raise InputError(
                "Give a file of pairs, or --index, --queries and --qrels, not both"
            )
        return None
    if asked.folder is None or asked.queries is None:
        raise InputError(
            "There are no labels to calibrate on",
            fix="Give a file of pairs, or --index, --queries and --qrels.",
        )
    return Index.open(asked.folder, create=False)


def _labelled(
    pairs: Path | None, opened: Index | None, asked: Asked, progress: Stages
) -> list[LabelledQuery]:
    from secondpass.evaluate.qrels import label_candidates, read_pairs

    if pairs is not None:
        return read_pairs(pairs, min_grade=asked.least_grade)
    assert opened is not None
    assert asked.queries is not None
    collection = options.read(asked.queries, asked.qrels, asked.split, asked.limit)
    return label_candidates(
        opened,
        collection.queries,
        collection.qrels,
        candidates=asked.candidates,
        min_grade=asked.least_grade,
        judged_only=asked.judged_only,
        progress=progress,
    )


def _print(report: CalibrationReport, out: Path) -> None:
    labels = f"{report.relevant} relevant and {report.irrelevant} irrelevant pairs"
    typer.echo(f"{out}: {report.calibration.method}, {report.calibration.model}")
    typer.echo(f"    fitted on {labels} of {report.queries} queries")
    if report.assumed:
        typer.echo(f"    {report.assumed} of them unjudged, taken for irrelevant")
    for name, found in (("before", report.before), ("after, held out", report.after)):
        if found is not None:
            typer.echo(
                f"    {name}: calibration error {found.error:.3f} "
                f"({found.error_low:.3f} to {found.error_high:.3f}), "
                f"log loss {found.log_loss:.3f}"
            )
    typer.echo("")
    for line in diagram(report.after):
        typer.echo(line)
    typer.echo(
        f'Next: secondpass search "…" --calibration {out} --min-probability 0.3', err=True
    )


def diagram(found: Reliability, width: int = 40) -> list[str]:
    """Return a reliability diagram as lines: a bar for what came true, ┃ for the promise."""
    lines = ["promised   relevant  pairs"]
    for one in found.bins:
        bar = ["█"] * round(one.share * width)
        bar += ["·"] * (width - len(bar))
        bar[min(width - 1, int(one.promised * width))] = "┃"
        lines.append(
            f"{one.low:.1f} to {one.high:.1f}   {one.share:6.1%} {one.pairs:6d}  {''.join(bar)}"
        )
    return lines
