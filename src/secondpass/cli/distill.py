"""`secondpass distill`: a small reranker that learns from a larger one."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated

import typer

from secondpass.cli import options
from secondpass.cli import train as training

SCORES = "teacher-scores.jsonl"


def distill(
    data: training.Data,
    out: training.Out,
    teacher: Annotated[
        str,
        typer.Option(
            help='Model that scores: "bundled", a model folder, or OWNER/MODEL.',
            show_default=False,
        ),
    ],
    share: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Share of the teacher's scores in the target."),
    ] = 0.7,
    architecture: training.Architecture = training.ArchitectureChoice.READER,
    base: training.Base = None,
    encoder: training.Encoder = None,
    epochs: training.Epochs = None,
    minutes: training.Minutes = None,
    group: training.GroupSize = 12,
    batch: training.Batch = 20,
    learning_rate: training.LearningRate = 1e-4,
    distillation: training.Distillation = training.DistillationChoice.LISTWISE,
    temperature: training.Temperature = 1.0,
    variants: training.Variants = 1,
    hold_out: training.HoldOut = 0.02,
    validate_every: training.ValidateEvery = None,
    patience: training.Patience = None,
    query_tokens: training.QueryTokens = 48,
    document_tokens: training.DocumentTokens = 160,
    layers: training.Layers = 2,
    codes: training.Codes = 128,
    matching: training.Matching = 128,
    seed: training.Seed = 0,
    threads: training.Threads = None,
    cache: training.Cache = None,
    resume: training.Resume = False,
    force: training.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Score the passages of every query with a teacher, then train on its scores.

    The scores are stored beside the run, so that an interrupted run can continue.

    Example:  secondpass distill pairs.jsonl --teacher ./large-model --out run
    """
    arguments = dict(locals())
    from secondpass.cli.output import stages
    from secondpass.reranker import Reranker
    from secondpass.train.data.files import read_examples
    from secondpass.train.data.teacher_scores import add_teacher_scores

    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(training.train).parameters.items()
    }
    # No random passages: they would be the only ones without a teacher's score.
    settings = training.build_settings(
        {**defaults, **arguments, "teacher": share, "strangers": 0}
    )
    examples = read_examples(data)
    scores = scores_path(out, cache)
    with stages() as progress:
        scored = add_teacher_scores(
            examples, Reranker(teacher), scores, size=group, seed=seed, progress=progress
        )
    training.run_training(scored, settings, training.build_location(arguments), as_json)


def scores_path(out: Path, cache: Path | None) -> Path:
    """Return the path of the file that stores a teacher's scores."""
    return out.with_name(f"{out.name}.{SCORES}") if cache is None else cache / SCORES
