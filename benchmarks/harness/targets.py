"""Targets of the reranker, and published figures that the first stages must match."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.results import (
    CONTROL,
    FIRST,
    FUSED,
    READ_AGAIN,
    WITH_NEIGHBORS,
    QualityResults,
    mean,
    union,
)
from harness.suite import SETTINGS
from secondpass.evaluate.significance import randomization_test

MIN_GAIN = 0.02
MAX_P = 0.01
MAX_LOSS = 0.01
MIN_NDCG = {"scifact": 0.688, "nfcorpus": 0.340, "trec-dl19-rerank": 0.62}
"""Minimum nDCG@10 of the fused reranker over BM25's candidates."""

PUBLISHED = {
    ("scifact", "bm25"): (0.665, 0.679),
    ("nfcorpus", "bm25"): (0.322, 0.325),
    ("trec-dl19-rerank", "bm25"): (0.5058, 0.5058),
    ("scifact", "vector"): (0.645, 0.645),
    ("nfcorpus", "vector"): (0.316, 0.316),
}
TOLERANCE = 0.01


@dataclass(frozen=True)
class Target:
    """A target, and whether it was met; None for a note."""

    text: str
    met: bool | None

    def __str__(self) -> str:
        mark = "note" if self.met is None else "met" if self.met else "MISSED"
        return f"{mark:6} {self.text}"


def reranker_targets(results: QualityResults) -> Iterator[Target]:
    """Yield the targets of the fused reranker, in both settings.

    Notes say how much of the gain comes from cosine and BM25 alone, and what neighbors change.
    """
    names = results.names
    for setting, title in SETTINGS.items():
        values = results.values[setting]
        first, ours, control = values[FIRST], values[FUSED], values[CONTROL]
        gain = mean(ours, names) - mean(first, names)
        yield Target(f"{title}: mean gain {gain:+.4f}, at least {MIN_GAIN}", gain >= MIN_GAIN)
        change = union(ours, names) - union(first, names)
        p = randomization_test(change)
        yield Target(
            f"{title}: better on the union of questions, p = {p:.5f}, under {MAX_P}",
            float(change.mean()) > 0 and p < MAX_P,
        )
        gains = {name: float(ours[name].mean() - first[name].mean()) for name in names}
        worst = min(gains, key=lambda name: gains[name])
        yield Target(
            f"{title}: worst collection {worst} {gains[worst]:+.4f}, loses at most {MAX_LOSS}",
            gains[worst] >= -MAX_LOSS,
        )
        alone = mean(control, names) - mean(first, names)
        p = randomization_test(union(ours, names) - union(control, names))
        yield Target(
            f"{title}: of that gain {alone:+.4f} comes without a reranker;"
            f" the reranker adds {gain - alone:+.4f}, p = {p:.5f}",
            None,
        )
        for system, what in (
            (READ_AGAIN, "questions read again"),
            (WITH_NEIGHBORS, "neighbors"),
        ):
            if system not in values:
                continue
            changed = values[system]
            moved = mean(changed, names) - mean(ours, names)
            p = randomization_test(union(changed, names) - union(ours, names))
            changes = {n: float(changed[n].mean() - ours[n].mean()) for n in names}
            worst = min(changes, key=lambda name: changes[name])
            over = mean(changed, names) - mean(control, names)
            yield Target(
                f"{title}: {what} change the fused mean by {moved:+.4f}, p = {p:.5f}, to"
                f" {over:+.4f} over no reranker; worst collection {worst}"
                f" {changes[worst]:+.4f}",
                None,
            )
    searched = results.searched
    if searched and len(searched) < len(names):
        hybrid = results.values["hybrid"]
        gain = mean(hybrid[FUSED], searched) - mean(hybrid[FIRST], searched)
        yield Target(
            f"{SETTINGS['hybrid']}: mean gain {gain:+.4f} on the {len(searched)} collections"
            " that hybrid search was done on",
            None,
        )
    for name, minimum in MIN_NDCG.items():
        if name in results.names:
            reached = float(results.values["bm25"][FUSED][name].mean())
            yield Target(
                f"BM25, fused, {name}: {reached:.4f}, at least {minimum}", reached >= minimum
            )


def first_stage_targets(results: QualityResults) -> Iterator[Target]:
    """Yield whether the first stages match published figures, within TOLERANCE."""
    for (name, stage), (low, high) in PUBLISHED.items():
        values = results.vector if stage == "vector" else results.values[stage][FIRST]
        if name in values:
            reached = float(values[name].mean())
            yield Target(
                f"first stage {stage}, {name}: {reached:.4f},"
                f" published {published(name, stage)}, tolerance {TOLERANCE}",
                low - TOLERANCE <= reached <= high + TOLERANCE,
            )


def published(name: str, stage: str) -> str | None:
    """Return the published figure as text, or None if there is none."""
    if (name, stage) not in PUBLISHED:
        return None
    low, high = PUBLISHED[name, stage]
    return f"{low:.3f}" if low == high else f"{low:.3f} to {high:.3f}"
