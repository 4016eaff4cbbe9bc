"""How far an int8 model is from its full-precision original, on pairs it never saw."""

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

if TYPE_CHECKING:
    import onnx_ir as ir

    from secondpass.train.export.trace import Kind

Float64 = NDArray[np.float64]
# Candidates that each held-out question ranks, and how many questions do.
CANDIDATES = 20
QUESTIONS = 30


@dataclass(frozen=True, slots=True)
class Scorer:
    """A graph ready to run: the names of its inputs, and a function of them."""

    names: tuple[str, ...]
    run: Callable[[Feeds], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Trial:
    """What two models are compared on."""

    tokeniser: Tokenizer
    kind: Kind
    max_length: int
    pairs: Sequence[Pair]
    progress: Progress | None = None


def scorer(model: ir.Model) -> Scorer:
    """Return the graph as it is now; later changes to `model` do not touch it."""
    session = _session(model)
    return Scorer(
        tuple(one.name for one in session.get_inputs()),
        lambda batch: np.asarray(session.run(None, dict(batch))[0], dtype=np.float32),
    )


def scorer_outputs(model: ir.Model) -> Callable[[Feeds], Sequence[NDArray[Any]]]:
    """Return the graph as it is now, as a function from its inputs to all its outputs."""
    session = _session(model)
    return lambda batch: [np.asarray(one) for one in session.run(None, dict(batch))]


def _session(model: ir.Model) -> Any:
    import onnx_ir as ir
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(
        ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def compare(before: Scorer, after: Scorer, trial: Trial, min_overlap: float) -> dict[str, Any]:
    """Return the differences between two models; keys say what is measured.

    Raises `ModelError` if the mean overlap of the top 10 is under `min_overlap`, or there
    are too few held-out questions to tell.
    """
    questions = list(dict.fromkeys(pair.query for pair in trial.pairs))
    passages = list(dict.fromkeys(pair.text for pair in trial.pairs))
    check_enough(questions, passages)
    if trial.kind == "embedder":
        one, other = (_cosines(s, trial, questions, passages) for s in (before, after))
        report = errors("cosine", one, other)
    else:
        lists = candidates(trial.pairs, questions[:QUESTIONS], passages)
        pairs = [Pair(q, p) for q, found in lists.items() for p in found]
        sequences = pair_sequences(trial.tokeniser, pairs, trial.max_length)
        wide, narrow = (_outputs(s, sequences, trial.progress) for s in (before, after))
        report = errors("logit", wide, narrow)
        one, other = (relevance(x) for x in (wide, narrow))
        report |= errors("probability", probability(one), probability(other))
        one, other = (x.reshape(len(lists), -1) for x in (one, other))
        report |= batch_effects(after, sequences[:32])
    report |= rankings(one, other)
    if report["top_10_overlap"] < min_overlap:
        raise too_different(report["top_10_overlap"], min_overlap)
    return report


def check_enough(questions: Sequence[str], passages: Sequence[str]) -> None:
    """Raise ModelError where there is too little to tell two models apart on."""
    if len(questions) < 2 or len(passages) < 3:
        raise ModelError(
            "There are too few pairs to verify the int8 model with",
            why=f"{len(questions)} questions were held out",
            fix="Give --calibrate a file with at least 20 questions (200 is better).",
        )


def rankings(one: Float64, other: Float64) -> dict[str, Any]:
    """Return how alike two models rank, from their scores [questions, candidates]."""
    ranked = list(zip(one, other, strict=True))
    return {
        "top_10_overlap": _mean([top_overlap(a, b, 10) for a, b in ranked]),
        "kendall_tau": _mean([kendall_tau(a, b) for a, b in ranked]),
        "rank_biased_overlap": _mean(
            [
                rank_biased_overlap(rank_order(a).tolist(), rank_order(b).tolist())
                for a, b in ranked
            ]
        ),
        "questions": int(one.shape[0]),
        "candidates": int(one.shape[1]),
    }


def too_different(overlap: float, least: float) -> ModelError:
    """Return the error for an int8 model that keeps too little of the top 10."""
    return ModelError(
        "The int8 model ranks too differently from the original",
        why=f"it keeps {overlap:.3f} of the top 10, less than {least:.3f}",
        fix="Calibrate with pairs like those it will see, lower --min-overlap, or pass "
        "--precision fp32.",
    )


def batch_effects(model: Scorer, sequences: Sequence[TokenSequence]) -> dict[str, float]:
    """Return how much a pair's probability changes with its neighbours and with padding.

    `batch_effect` is the largest change among rows cut to one length, scored alone and
    together; `padding_effect` the largest between a row alone and padded to the longest.
    """
    shortest = min(len(ids) for ids, _ in sequences)
    longest = max(len(ids) for ids, _ in sequences)
    cut = [(ids[:shortest], types[:shortest]) for ids, types in sequences]
    effects = {}
    for name, rows, width in (("batch", cut, shortest), ("padding", list(sequences), longest)):
        alone = _outputs(model, rows)
        together = model.run(_together(rows, model.names, width))
        other = relevance(together.astype(np.float64))
        change = np.abs(probability(relevance(alone)) - probability(other))
        effects[f"{name}_effect"] = float(f"{float(change.max()):.2g}")
    return effects


def relevance(outputs: Float64) -> Float64:
    """Return one score for each row: the logit, or what the last label has over the others."""
    if outputs.shape[1] == 1:
        return outputs[:, 0]
    score: Float64 = outputs[:, -1] - np.log(np.exp(outputs[:, :-1]).sum(axis=1))
    return score


def probability(logits: Float64) -> Float64:
    """Return the sigmoid of logits of any shape."""
    found: Float64 = 1 / (1 + np.exp(-logits))
    return found


def _outputs(
    model: Scorer, sequences: Sequence[TokenSequence], progress: Progress | None = None
) -> Float64:
    rows = []
    for done, sequence in enumerate(sequences, start=1):
        rows.append(model.run(_together([sequence], model.names, len(sequence[0]))))
        if progress is not None:
            progress("verify", done, len(sequences))
    return np.concatenate(rows).astype(np.float64)


def _together(rows: Sequence[TokenSequence], names: Sequence[str], width: int) -> Feeds:
    shape = (len(rows), width)
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
    model: Scorer, trial: Trial, questions: Sequence[str], passages: Sequence[str]
) -> Float64:
    vectors = [
        _outputs(
            model,
            text_sequences(trial.tokeniser, texts, trial.max_length),
            trial.progress,
        )
        for texts in (questions, passages)
    ]
    return np.asarray(vectors[0] @ vectors[1].T, dtype=np.float64)


def candidates(
    pairs: Sequence[Pair], questions: Sequence[str], passages: Sequence[str]
) -> dict[str, list[str]]:
    """Return each question's own passages, filled up with others in a fixed turn."""
    wanted = min(CANDIDATES, len(passages))
    lists = {}
    for turn, question in enumerate(questions):
        own = [pair.text for pair in pairs if pair.query == question]
        start = turn * 7 % len(passages)
        found = dict.fromkeys([*own, *passages[start:], *passages[:start]])
        lists[question] = list(found)[:wanted]
    return lists


def errors(name: str, one: Float64, other: Float64) -> dict[str, Any]:
    """Return mean, 95th percentile and largest absolute difference."""
    error = np.abs(one - other)
    return {
        f"{name}_error_mean": round(float(error.mean()), 5),
        f"{name}_error_p95": round(float(np.quantile(error, 0.95)), 5),
        f"{name}_error_max": round(float(error.max()), 5),
    }


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4)
