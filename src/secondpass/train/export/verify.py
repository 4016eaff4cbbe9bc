"""Verification of an int8 model against its full-precision original, on held-out pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import ModelError
from secondpass.evaluate.rank_correlation import (
    kendall_tau,
    rank_biased_overlap,
    rank_order,
    top_overlap,
)
from secondpass.inference.tokenizer import Tokenizer, TokenSequence
from secondpass.train.export.calibrate import (
    Feeds,
    Pair,
    Progress,
    pair_sequences,
    text_sequences,
)
from secondpass.train.export.onnx_graph import open_session

if TYPE_CHECKING:
    import onnx_ir as ir

    from secondpass.train.export.trace import Kind

Float64 = NDArray[np.float64]
# Candidates ranked for each held-out question, and the number of questions.
CANDIDATES = 20
QUESTIONS = 30


@dataclass(frozen=True, slots=True)
class Scorer:
    """A graph ready to run: the names of its inputs, and a function from inputs to scores."""

    names: tuple[str, ...]
    run: Callable[[Feeds], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class VerificationSet:
    """The pairs that two models are compared on, and how to encode them.

    `questions`: of a cross-encoder, at most how many are ranked, with 20 candidates each.
    """

    tokenizer: Tokenizer
    kind: Kind
    max_length: int
    pairs: Sequence[Pair]
    progress: Progress | None = None
    questions: int = QUESTIONS


def make_scorer(model: ir.Model) -> Scorer:
    """Return a scorer of the graph as it is now; later changes to `model` have no effect."""
    session = open_session(model)
    return Scorer(
        tuple(value.name for value in session.get_inputs()),
        lambda batch: np.asarray(session.run(None, dict(batch))[0], dtype=np.float32),
    )


def make_graph_runner(model: ir.Model) -> Callable[[Feeds], Sequence[NDArray[Any]]]:
    """Return the graph as it is now, as a function from inputs to all outputs."""
    session = open_session(model)
    return lambda batch: [np.asarray(output) for output in session.run(None, dict(batch))]


def score(model: Scorer, trial: VerificationSet, stage: str = "verify") -> Float64:
    """Return the logits of the questions with their candidates, [pairs, labels].

    Of an embedder, the cosines of all questions and passages, [questions, passages]. Raises
    `ModelError` if there are too few held-out questions.
    """
    questions, passages = _questions_and_passages(trial)
    if trial.kind == "embedder":
        return _cosines(model, trial, questions, passages)
    _, sequences = _candidate_sequences(trial)
    return _outputs(model, sequences, trial.progress, stage)


def compare(
    before: Float64, after: Scorer, trial: VerificationSet, min_overlap: float
) -> dict[str, Any]:
    """Return the differences of a model from `before`; the keys name what is measured.

    `before` is what `score` returned of the original. Raises `ModelError` if the mean overlap
    of the top 10 is under `min_overlap`.
    """
    now = score(after, trial)
    if trial.kind == "embedder":
        original, changed = before, now
        report = error_statistics("cosine", original, changed)
    else:
        lists, sequences = _candidate_sequences(trial)
        report = error_statistics("logit", before, now)
        original, changed = relevance(before), relevance(now)
        report |= error_statistics("probability", probability(original), probability(changed))
        original, changed = (scores.reshape(len(lists), -1) for scores in (original, changed))
        report |= batch_effects(after, sequences[:32])
    report |= ranking_agreement(original, changed)
    if report["top_10_overlap"] < min_overlap:
        raise ranking_error(report["top_10_overlap"], min_overlap)
    return report


def _questions_and_passages(trial: VerificationSet) -> tuple[list[str], list[str]]:
    questions = list(dict.fromkeys(pair.query for pair in trial.pairs))
    passages = list(dict.fromkeys(pair.text for pair in trial.pairs))
    check_enough_pairs(questions, passages)
    return questions, passages


def _candidate_sequences(
    trial: VerificationSet,
) -> tuple[dict[str, list[str]], list[TokenSequence]]:
    questions, passages = _questions_and_passages(trial)
    lists = candidate_lists(trial.pairs, questions[: trial.questions], passages)
    pairs = [Pair(query, text) for query, texts in lists.items() for text in texts]
    return lists, pair_sequences(trial.tokenizer, pairs, trial.max_length)


def check_enough_pairs(questions: Sequence[str], passages: Sequence[str]) -> None:
    """Raise ModelError if there are too few pairs to compare two models on."""
    if len(questions) < 2 or len(passages) < 3:
        raise ModelError(
            "There are too few pairs to verify the int8 model with",
            why=f"{len(questions)} questions were held out",
            fix="Give --calibrate a file with at least 20 questions (200 is better).",
        )


def ranking_agreement(original: Float64, changed: Float64) -> dict[str, Any]:
    """Return how similarly two models rank, from their scores [questions, candidates]."""
    ranked = list(zip(original, changed, strict=True))
    return {
        "top_10_overlap": _mean([top_overlap(a, b, 10) for a, b in ranked]),
        "kendall_tau": _mean([kendall_tau(a, b) for a, b in ranked]),
        "rank_biased_overlap": _mean(
            [
                rank_biased_overlap(rank_order(a).tolist(), rank_order(b).tolist())
                for a, b in ranked
            ]
        ),
        "questions": int(original.shape[0]),
        "candidates": int(original.shape[1]),
    }


class RankingError(ModelError):
    """An int8 model ranks too differently from its original."""


def ranking_error(overlap: float, min_overlap: float) -> RankingError:
    """Return the error for an int8 model that keeps too little of the top 10."""
    return RankingError(
        "The int8 model ranks too differently from the original",
        why=f"it keeps {overlap:.3f} of the top 10, less than {min_overlap:.3f}",
        fix="Calibrate with pairs like those it will see, lower --min-overlap, or pass "
        "--precision fp32.",
    )


def batch_effects(model: Scorer, sequences: Sequence[TokenSequence]) -> dict[str, float]:
    """Return how much a pair's probability changes with the other rows and with padding.

    `batch_effect` is the largest change among rows truncated to one length, scored alone and
    in one batch; `padding_effect` the largest between a row alone and padded to the longest.
    """
    shortest = min(len(ids) for ids, _ in sequences)
    longest = max(len(ids) for ids, _ in sequences)
    truncated = [(ids[:shortest], types[:shortest]) for ids, types in sequences]
    effects = {}
    for name, rows, length in (
        ("batch", truncated, shortest),
        ("padding", list(sequences), longest),
    ):
        alone = _outputs(model, rows)
        together = model.run(_batch(rows, model.names, length)).astype(np.float64)
        change = np.abs(probability(relevance(alone)) - probability(relevance(together)))
        effects[f"{name}_effect"] = float(f"{float(change.max()):.2g}")
    return effects


def relevance(outputs: Float64) -> Float64:
    """Return a score for each row: the logit, or the log-odds of the last of several labels."""
    if outputs.shape[1] == 1:
        return outputs[:, 0]
    score: Float64 = outputs[:, -1] - np.log(np.exp(outputs[:, :-1]).sum(axis=1))
    return score


def probability(logits: Float64) -> Float64:
    """Return the sigmoid of logits of any shape."""
    probabilities: Float64 = 1 / (1 + np.exp(-logits))
    return probabilities


def _outputs(
    model: Scorer,
    sequences: Sequence[TokenSequence],
    progress: Progress | None = None,
    stage: str = "verify",
) -> Float64:
    rows = []
    for done, sequence in enumerate(sequences, start=1):
        rows.append(model.run(_batch([sequence], model.names, len(sequence[0]))))
        if progress is not None:
            progress(stage, done, len(sequences))
    return np.concatenate(rows).astype(np.float64)


def _batch(rows: Sequence[TokenSequence], names: Sequence[str], length: int) -> Feeds:
    """Return the graph's inputs for a batch of sequences, padded with 0 up to `length`."""
    shape = (len(rows), length)
    arrays = {name: np.zeros(shape, dtype=np.int64) for name in names}
    for row, (ids, types) in enumerate(rows):
        values: Mapping[str, Any] = {
            "input_ids": ids,
            "attention_mask": 1,
            "token_type_ids": types,
        }
        for name in names:
            arrays[name][row, : len(ids)] = values[name]
    return arrays


def _cosines(
    model: Scorer, trial: VerificationSet, questions: Sequence[str], passages: Sequence[str]
) -> Float64:
    vectors = [
        _outputs(
            model,
            text_sequences(trial.tokenizer, texts, trial.max_length),
            trial.progress,
        )
        for texts in (questions, passages)
    ]
    return np.asarray(vectors[0] @ vectors[1].T, dtype=np.float64)


def candidate_lists(
    pairs: Sequence[Pair], questions: Sequence[str], passages: Sequence[str]
) -> dict[str, list[str]]:
    """Return each question's own passages, filled up with others in a fixed order."""
    count = min(CANDIDATES, len(passages))
    lists = {}
    for number, question in enumerate(questions):
        own = [pair.text for pair in pairs if pair.query == question]
        start = number * 7 % len(passages)
        ordered = dict.fromkeys([*own, *passages[start:], *passages[:start]])
        lists[question] = list(ordered)[:count]
    return lists


def error_statistics(name: str, original: Float64, changed: Float64) -> dict[str, Any]:
    """Return mean, 95th percentile and largest absolute difference."""
    error = np.abs(original - changed)
    return {
        f"{name}_error_mean": round(float(error.mean()), 5),
        f"{name}_error_p95": round(float(np.quantile(error, 0.95)), 5),
        f"{name}_error_max": round(float(error.max()), 5),
    }


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4)
