"""The picture of what probabilities promise and what is relevant."""

from __future__ import annotations

from secondpass.evaluate.probabilities import Probabilities
from secondpass.evaluate.reliability import Reliability
from secondpass.evaluate.report.svg import TOP, Plot, frame, horizontal, ticks, vertical
from secondpass.evaluate.verdict import plain


def reliability_plot(found: Probabilities) -> str:
    """Return the share that is relevant by the promised one; at least one is measured."""
    both = (("as they are", found.shipped), ("calibrated here", found.calibrated))
    curves = [(name, one) for name, one in both if one is not None]
    described = "; ".join(f"{name}: {_described(one)}" for name, one in curves)
    plot = Plot(f"Reliability of the probabilities of {found.model}", described)
    x, y = horizontal(0.0, 1.0, log=False), vertical(0.0, 1.0)
    at = ticks(0.0, 1.0)
    frame(plot, x, y, at=at, below="probability that was promised", written=plain)
    plot.text((x.start, TOP - 8), "share that is relevant", "axis-name")
    plot.line((x(0.0), y(0.0)), (x(1.0), y(1.0)), "zero")
    labels = [(y(1.0), "as promised", "quiet")]
    for number, (name, one) in enumerate(curves):
        places = [(x(b.promised), y(b.share)) for b in one.bins]
        for inside, (across, _) in zip(one.bins, places, strict=True):
            ends = (across, y(inside.share_low)), (across, y(inside.share_high))
            plot.line(*ends, f"line thin s{number}")
        plot.path(places, f"line s{number}")
        for inside, place in zip(one.bins, places, strict=True):
            hint = (
                f"{name}: {inside.pairs} candidates promised {plain(inside.promised)},"
                f" {plain(inside.share)} relevant, 95 % from {plain(inside.share_low)} to"
                f" {plain(inside.share_high)}"
            )
            plot.mark(place, number, hint)
        labels.append((places[-1][1], name, f"s{number}"))
    plot.labels(x.end + 12, labels)
    return plot.svg()


def _described(one: Reliability) -> str:
    points = ", ".join(f"{plain(b.share)} of those near {plain(b.promised)}" for b in one.bins)
    return f"calibration error {plain(one.error)}; relevant were {points}"
