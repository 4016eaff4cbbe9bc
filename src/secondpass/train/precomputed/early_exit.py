"""How far the score that reading starts from may be trusted, fitted on lists of passages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.train.export import verify
from secondpass.train.export.calibrate import Pair, Progress
from secondpass.train.precomputed.export_check import Prepared, feeds_of
from secondpass.train.precomputed.margin import CONFIDENCE, fit_line, fit_margin

Float64 = NDArray[np.float64]

# As many candidates as a first stage hands over, and enough lists for the confidence.
_CANDIDATES, _LISTS = 50, 120
_AT_ONCE = 10


def fit_exit(
    start: verify.Scorer,
    score: verify.Scorer,
    texts: Prepared,
    pairs: Sequence[Pair],
    calibration: tuple[float, float],
    progress: Progress | None = None,
) -> dict[str, Any] | None:
    """Return the manifest's `exit`, or None where there are too few questions.

    A question's list is the passages that the starting score puts first, of all there
    are: as hard to tell apart as what a first stage finds. `calibration` is the scale and
    the shift that make log-odds of `score`.
    """
    questions = list(dict.fromkeys(pair.query for pair in pairs))[:_LISTS]
    passages = sorted(
        dict.fromkeys(pair.text for pair in pairs),
        key=lambda text: len(texts.passages[text].scales),
    )
    lists = []
    for done, question in enumerate(questions, start=1):
        early = _scores(start, texts, question, passages)
        # In the order of their lengths, so that little is padding.
        first = np.sort(np.argsort(-early, kind="stable")[:_CANDIDATES])
        final = _scores(score, texts, question, [passages[i] for i in first])
        lists.append((early[first], calibration[0] * final + calibration[1]))
        if progress is not None:
            progress("exit", done, len(questions))
    if not lists:
        return None
    both = [np.concatenate(part) for part in zip(*lists, strict=True)]
    scale, shift = fit_line(both[0], both[1])
    margin = fit_margin([(scale * early + shift, final) for early, final in lists])
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
    graph: verify.Scorer, texts: Prepared, question: str, passages: Sequence[str]
) -> Float64:
    found = []
    for start in range(0, len(passages), _AT_ONCE):
        feeds = feeds_of(texts, question, passages[start : start + _AT_ONCE])
        found.append(graph.run({name: feeds[name] for name in graph.names}))
    return np.concatenate(found).astype(np.float64)
