"""Validation: ranking metrics of the model on the held-out groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondpass.errors import ModelError
from secondpass.evaluate.calibrators import fit_platt
from secondpass.train.data.prepare import TrainingData
from secondpass.train.trainer.interface import Learner, autocast
from secondpass.train.trainer.settings import TrainSettings

Float64 = NDArray[np.float64]
Progress = Callable[[str, int, int], None]
# Held-out pairs that are scored together.
PAIRS_AT_ONCE = 256


def validate(
    learner: Learner,
    data: TrainingData,
    device: str,
    settings: TrainSettings,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return "rr" (mean reciprocal rank) and "ndcg" at 10, 0 to 1, of the held-out groups.

    Both are means over sources; "sources" has the reciprocal rank of each. "calibration" is
    what makes log-odds of scores, fitted on these groups (None if nothing fits). Raises
    ModelError if a score is not finite.
    """
    learner.module.eval()
    pairs = [pair for group in data.validation for pair in group.pairs]
    batches: list[Tensor] = []
    with torch.no_grad(), autocast(settings, device):
        for start in range(0, len(pairs), PAIRS_AT_ONCE):
            batches.append(learner.scores(pairs[start : start + PAIRS_AT_ONCE]).float().cpu())
            if progress is not None:
                progress("validate", min(start + PAIRS_AT_ONCE, len(pairs)), len(pairs))
    scores = torch.cat(batches).double().numpy()
    if not np.isfinite(scores).all():
        raise not_finite("a score", "the held-out queries")
    stops = np.cumsum([len(group.pairs) for group in data.validation])
    group_ranks = [
        ranks(group_scores, group.positives)
        for group_scores, group in zip(
            np.split(scores, stops[:-1]), data.validation, strict=True
        )
    ]
    sources = [group.source for group in data.validation]
    rr, rr_by_source = macro_mean(
        [reciprocal_rank(positions) for positions in group_ranks], sources
    )
    mean_ndcg, _ = macro_mean([ndcg(positions) for positions in group_ranks], sources)
    relevant = [np.arange(len(group.pairs)) < group.positives for group in data.validation]
    calibration = fit_platt(scores, np.concatenate(relevant))
    return {
        "rr": round(rr, 6),
        "ndcg": round(mean_ndcg, 6),
        "sources": {source: round(value, 5) for source, value in rr_by_source.items()},
        "calibration": None if calibration is None else calibration._asdict(),
    }


def not_finite(what: str, where: str) -> ModelError:
    """Return the error for training that has diverged."""
    return ModelError(
        f"Training failed: {what} is not a finite number",
        where=where,
        fix="Use a lower --learning-rate, or other weights to start from.",
    )


def ranks(scores: Float64, positives: int) -> NDArray[np.int64]:
    """Return the ranks, from 1, of the first `positives` items; in a tie the others win."""
    positive_scores, other_scores = scores[:positives], scores[positives:]
    others_before = (other_scores[None, :] >= positive_scores[:, None]).sum(axis=1)
    rank_among_positives = np.argsort(
        np.argsort(-positive_scores, kind="stable"), kind="stable"
    )
    return np.asarray(others_before + rank_among_positives + 1, dtype=np.int64)


def reciprocal_rank(positive_ranks: NDArray[np.int64]) -> float:
    """Return 1 over the rank of the first positive."""
    return 1 / int(positive_ranks.min())


def ndcg(positive_ranks: NDArray[np.int64], depth: int = 10) -> float:
    """Return nDCG, 0 to 1, at `depth`, of positives of equal gain."""
    dcg = sum(1 / np.log2(rank + 1) for rank in positive_ranks.tolist() if rank <= depth)
    ideal = range(1, min(depth, len(positive_ranks)) + 1)
    return float(dcg / sum(1 / np.log2(rank + 1) for rank in ideal))


def macro_mean(
    values: Sequence[float], sources: Sequence[str]
) -> tuple[float, dict[str, float]]:
    """Return the mean over sources of each source's mean, and the means by source."""
    by_source: dict[str, list[float]] = {}
    for value, source in zip(values, sources, strict=True):
        by_source.setdefault(source, []).append(value)
    means = {source: float(np.mean(items)) for source, items in sorted(by_source.items())}
    return float(np.mean(list(means.values()))), means
