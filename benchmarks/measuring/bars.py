"""What the reranker has to reach, and the published figures that the first stage must meet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from measuring.suite import SETTINGS
from measuring.values import CONTROL, FIRST, FUSED, Measured, mean, union
from secondpass.evaluate.significance import randomization_test

LEAST_GAIN = 0.02
LARGEST_P = 0.01
LARGEST_LOSS = 0.01
LEAST = {"scifact": 0.688, "nfcorpus": 0.340, "trec-dl19-rerank": 0.62}
"""nDCG@10 that fusing has to reach over BM25's candidates."""

PUBLISHED = {
    ("scifact", "bm25"): (0.665, 0.679),
    ("nfcorpus", "bm25"): (0.322, 0.325),
    ("trec-dl19-rerank", "bm25"): (0.5058, 0.5058),
    ("scifact", "vector"): (0.645, 0.645),
    ("nfcorpus", "vector"): (0.316, 0.316),
}
TOLERANCE = 0.01


@dataclass(frozen=True)
class Bar:
    """One thing that had to be reached, and whether it was; None for a mere remark."""

    text: str
    met: bool | None

    def __str__(self) -> str:
        mark = "note" if self.met is None else "met" if self.met else "MISSED"
        return f"{mark:6} {self.text}"


def reranker_bars(measured: Measured) -> Iterator[Bar]:
    """Yield what the fused reranker has to reach, in both settings.

    Cosine and BM25 alone may reach some of it; the notes say how much of the gain is theirs.
    """
    names = measured.names
    for setting, title in SETTINGS.items():
        values = measured.values[setting]
        first, ours, control = values[FIRST], values[FUSED], values[CONTROL]
        gain = mean(ours, names) - mean(first, names)
        yield Bar(f"{title}: mean gain {gain:+.4f}, at least {LEAST_GAIN}", gain >= LEAST_GAIN)
        change = union(ours, names) - union(first, names)
        p = randomization_test(change)
        yield Bar(
            f"{title}: better on the union of questions, p = {p:.5f}, under {LARGEST_P}",
            float(change.mean()) > 0 and p < LARGEST_P,
        )
        gains = {name: float(ours[name].mean() - first[name].mean()) for name in names}
        worst = min(gains, key=lambda name: gains[name])
        yield Bar(
            f"{title}: worst collection {worst} {gains[worst]:+.4f},"
            f" loses at most {LARGEST_LOSS}",
            gains[worst] >= -LARGEST_LOSS,
        )
        alone = mean(control, names) - mean(first, names)
        p = randomization_test(union(ours, names) - union(control, names))
        yield Bar(
            f"{title}: of that gain {alone:+.4f} comes without a reranker;"
            f" the reranker adds {gain - alone:+.4f}, p = {p:.5f}",
            None,
        )
    searched = measured.searched
    if searched and len(searched) < len(names):
        hybrid = measured.values["hybrid"]
        gain = mean(hybrid[FUSED], searched) - mean(hybrid[FIRST], searched)
        yield Bar(
            f"{SETTINGS['hybrid']}: mean gain {gain:+.4f} on the {len(searched)} collections"
            " that hybrid search was done on",
            None,
        )
    for name, least in LEAST.items():
        if name in measured.names:
            reached = float(measured.values["bm25"][FUSED][name].mean())
            yield Bar(f"BM25, fused, {name}: {reached:.4f}, at least {least}", reached >= least)


def first_stage_bars(measured: Measured) -> Iterator[Bar]:
    """Yield whether the first stages are what others measured, to within TOLERANCE."""
    for (name, stage), (low, high) in PUBLISHED.items():
        values = measured.vector if stage == "vector" else measured.values[stage][FIRST]
        if name in values:
            reached = float(values[name].mean())
            yield Bar(
                f"first stage {stage}, {name}: {reached:.4f},"
                f" published {published(name, stage)}, tolerance {TOLERANCE}",
                low - TOLERANCE <= reached <= high + TOLERANCE,
            )


def published(name: str, stage: str) -> str | None:
    """Return what others measured, as text, or None where nothing is known."""
    if (name, stage) not in PUBLISHED:
        return None
    low, high = PUBLISHED[name, stage]
    return f"{low:.3f}" if low == high else f"{low:.3f} to {high:.3f}"
