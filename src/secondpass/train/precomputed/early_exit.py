"""Early-exit margins: how far below the best early scores a top result may be.

The early score (start.onnx) comes from stored states alone; candidates whose early score is
more than the margin below that of the last place of the results are not scored in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.rerank.policies.cascade import conformal_quantile
from secondpass.train.export import verify
from secondpass.train.export.calibrate import Pair, Progress
from secondpass.train.precomputed.export_check import EncodedTexts, score_feeds

Float64 = NDArray[np.float64]

DEPTHS = (1, 3, 5, 10, 20)
CONFIDENCE = 0.95


def fit_line(early: Float64, final: Float64) -> tuple[float, float]:
    """Return the scale and shift of early scores that fit final ones best, by least squares."""
    columns = np.stack([early, np.ones_like(early)], axis=1)
    scale, shift = np.linalg.lstsq(columns, final, rcond=None)[0].tolist()
    return float(scale), float(shift)


def required_margin(early: Float64, final: Float64, depths: Sequence[int] = DEPTHS) -> float:
    """Return the smallest margin that loses none of the top of one list, at any depth.

    Both are scores of the same candidates, [candidates]. Candidates within the margin of
    the k-th best early score are kept.
    """
    margin = 0.0
    for depth in depths:
        if depth < len(final):
            top = final >= np.sort(final)[-depth]
            margin = max(margin, float(np.sort(early)[-depth] - early[top].min()))
    return margin


def fit_margin(
    lists: Sequence[tuple[Float64, Float64]],
    *,
    depths: Sequence[int] = DEPTHS,
    confidence: float = CONFIDENCE,
) -> float | None:
    """Return a margin that keeps the whole top of a new list with that probability.

    See `conformal_quantile`; None if there are too few lists.
    """
    return conformal_quantile(
        [required_margin(early, final, depths) for early, final in lists], confidence
    )


# As many candidates as a first stage returns, and enough lists for the confidence.
_CANDIDATES, _LISTS = 50, 120
_AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class ScoredList:
    """A question's candidates, its early scores and its final ones, both as the graphs give.

    `right`: which of the candidates the question is paired with.
    """

    early: Float64
    final: Float64
    right: NDArray[np.bool_]


def score_lists(
    start: verify.Scorer,
    score: verify.Scorer,
    texts: EncodedTexts,
    pairs: Sequence[Pair],
    progress: Progress | None = None,
) -> list[ScoredList]:
    """Score a list of candidates for each of the first questions of the pairs.

    The candidates are the passages with the best early scores of all: as hard to distinguish
    as those of a first stage.
    """
    right: dict[str, set[str]] = {}
    for pair in pairs:
        right.setdefault(pair.query, set()).add(pair.text)
    questions = list(right)[:_LISTS]
    passages = sorted(
        dict.fromkeys(pair.text for pair in pairs),
        key=lambda text: len(texts.passages[text].scales),
    )
    lists = []
    for done, question in enumerate(questions, start=1):
        early = _scores(start, texts, question, passages)
        # In order of length, for little padding.
        first = np.sort(np.argsort(-early, kind="stable")[:_CANDIDATES])
        final = _scores(score, texts, question, [passages[i] for i in first])
        marked = np.array([passages[i] in right[question] for i in first])
        lists.append(ScoredList(early[first], final, marked))
        if progress is not None:
            progress("exit", done, len(questions))
    return lists


def fit_early_exit(
    lists: Sequence[ScoredList], calibration: tuple[float, float]
) -> dict[str, Any] | None:
    """Return the manifest's `exit`, or None if there are too few questions.

    `calibration` is the scale and the shift that make log-odds of final scores.
    """
    if not lists:
        return None
    finals = [calibration[0] * one.final + calibration[1] for one in lists]
    early = np.concatenate([one.early for one in lists])
    scale, shift = fit_line(early, np.concatenate(finals))
    margin = fit_margin(
        [(scale * one.early + shift, final) for one, final in zip(lists, finals, strict=True)]
    )
    if margin is None or scale <= 0:
        return None
    return {
        "scale": scale,
        "shift": shift,
        "margin": margin,
        "confidence": CONFIDENCE,
        "lists": len(lists),
    }


def _scores(
    graph: verify.Scorer, texts: EncodedTexts, question: str, passages: Sequence[str]
) -> Float64:
    batches = []
    for start in range(0, len(passages), _AT_ONCE):
        feeds = score_feeds(texts, question, passages[start : start + _AT_ONCE])
        batches.append(graph.run({name: feeds[name] for name in graph.names}))
    return np.concatenate(batches).astype(np.float64)
