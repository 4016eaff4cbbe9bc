"""The pictures of a report.

The picture of what probabilities promise and what is relevant.
"""

from __future__ import annotations

from secondpass.evaluate.calibration_check import Probabilities
from secondpass.evaluate.reliability import Reliability
from secondpass.evaluate.report.number_format import plain, signed
from secondpass.evaluate.report.svg import (
    LEFT,
    TOP,
    WIDTH,
    Plot,
    Scale,
    frame,
    horizontal,
    ticks,
    vertical,
)
from secondpass.evaluate.study import Result, Study


def depth_plot(study: Study) -> str:
    """Return the gain over tuned fusion by the number of candidates, with its band."""
    curves = {model: study.curve(model) for model in study.models}
    every = [r.effect for curve in curves.values() for r in curve]
    described = "; ".join(
        f"{model}: " + ", ".join(f"{signed(r.effect.mean)} at {r.family.depth}" for r in curve)
        for model, curve in curves.items()
    )
    plot = Plot(f"Gain in {study.measure} over tuned fusion, by depth", described)
    x = horizontal(study.depths[0], study.depths[-1])
    y = vertical(min([0.0, *(e.low for e in every)]), max([0.0, *(e.high for e in every)]))
    frame(plot, x, y, at=study.depths, below="candidates handed over", written=signed)
    labels = [(y(0.0), f"tuned fusion {plain(study.baseline.mean)}", "quiet")]
    plot.line((x.start, y(0.0)), (x.end, y(0.0)), "zero")
    for number, (model, curve) in enumerate(curves.items()):
        places = [(x(r.family.depth), y(r.effect.mean)) for r in curve]
        band = [(x(r.family.depth), y(r.effect.low)) for r in curve]
        band += [(x(r.family.depth), y(r.effect.high)) for r in reversed(curve)]
        plot.area(band, f"band s{number % 6}")
        plot.path(places, f"line s{number % 6}")
        for result, place in zip(curve, places, strict=True):
            gain = result.effect
            hint = (
                f"{model}, {result.family.depth} candidates: {signed(gain.mean)}, 95 % from"
                f" {signed(gain.low)} to {signed(gain.high)}"
            )
            plot.mark(place, number, hint, size=6.5 if result is study.choice else 4)
        labels.append((places[-1][1], model, f"s{number % 6}"))
    plot.labels(x.end + 12, labels)
    return plot.svg()


def bound_plot(study: Study) -> str:
    """Return what each model reaches by depth, under what a perfect second pass would."""
    perfect = [(b.depth, b.perfect) for b in study.bounds]
    curves = {model: study.curve(model) for model in study.models}
    described = ", ".join(f"{plain(value)} at {depth}" for depth, value in perfect)
    plot = Plot(f"{study.measure} by depth, and its upper bound", f"Perfect: {described}")
    every = [value for _, value in perfect] + [r.mean for c in curves.values() for r in c]
    x = horizontal(study.depths[0], study.depths[-1])
    y = vertical(min([study.baseline.mean, *every]), max([study.baseline.mean, *every]))
    frame(plot, x, y, at=study.depths, below="candidates handed over", written=plain)
    level = y(study.baseline.mean)
    plot.line((x.start, level), (x.end, level), "zero")
    plot.path([(x(d), y(v)) for d, v in perfect], "line perfect")
    labels = [
        (y(perfect[-1][1]), "perfect second pass", "strong"),
        (level, "tuned fusion", "quiet"),
    ]
    for number, (model, curve) in enumerate(curves.items()):
        places = [(x(r.family.depth), y(r.mean)) for r in curve]
        plot.path(places, f"line s{number % 6}")
        for result, place in zip(curve, places, strict=True):
            hint = f"{model}, {result.family.depth} candidates: {plain(result.mean)}"
            plot.mark(place, number, hint, size=4)
        labels.append((places[-1][1], model, f"s{number % 6}"))
    plot.labels(x.end + 12, labels)
    return plot.svg()


def latency_plot(study: Study) -> str:
    """Return quality against milliseconds, with the frontier that nothing else beats."""
    curves = {model: study.curve(model) for model in study.models}
    still = [*study.firsts]
    if study.baseline.family.order == "fusion":
        still.append(study.baseline)
    points = [*still, *(r for curve in curves.values() for r in curve)]
    front = frontier(points)
    named = ", ".join(f"{r.family.label} {plain(r.mean)} in {r.ms:.0f} ms" for r in front)
    plot = Plot(f"{study.measure} against time", f"Not beaten in both: {named}", 400)
    slowest = max(r.ms for r in points)
    # Room on the left for the names of the quick ones.
    x = horizontal(min(r.ms for r in points) * 0.6, slowest * 1.05)
    y = vertical(min(r.mean for r in points), max(r.mean for r in points), 400)
    at = [v for v in _decades() if x.low <= v <= x.high]
    frame(plot, x, y, at=at, below="milliseconds of a search, median", written=plain)
    steps = [(x(front[0].ms), y(front[0].mean))]
    for result in front[1:]:
        steps += [(x(result.ms), steps[-1][1]), (x(result.ms), y(result.mean))]
    plot.path([*steps, (x.end, steps[-1][1])], "front")
    free = float("inf")
    for result in sorted(still, key=lambda r: r.mean):
        place = (x(result.ms), y(result.mean))
        plot.parts.append(f'<circle class="first" cx="{place[0]:g}" cy="{place[1]:g}" r="5"/>')
        free = min(place[1] + 4, free - 15)
        name = result.family.label.removesuffix(", default fusion")
        plot.text((place[0] - 10, free), name, "label quiet halo", "end")
    for number, (model, curve) in enumerate(curves.items()):
        places = [(x(r.ms), y(r.mean)) for r in curve]
        plot.path(places, f"line thin s{number % 6}")
        for result, place in zip(curve, places, strict=True):
            hint = f"{result.family.label}: {plain(result.mean)} in {result.ms:.0f} ms"
            plot.mark(place, number, hint)
            plot.text((place[0], place[1] - 10), str(result.family.depth), "depth", "middle")
        plot.text((places[-1][0] + 12, places[-1][1] + 4), model, f"label s{number % 6}")
    return plot.svg()


def frontier(results: list[Result]) -> list[Result]:
    """Return those that no other one beats in both time and quality, by rising time."""
    best: list[Result] = []
    for result in sorted(results, key=lambda r: (r.ms, -r.mean)):
        if not best or result.mean > best[-1].mean:
            best.append(result)
    return best


def record_plot(study: Study) -> str:
    """Return the change of every query, best first."""
    change = sorted(study.change.tolist(), reverse=True)
    gain, height = study.honest, 260
    plot = Plot(
        f"Change in {study.measure} of each query",
        f"{gain.won} win, {gain.tied} tie, {gain.lost} lose",
        height,
    )
    reach = max(0.05, *(abs(c) for c in change))
    x = Scale(0, len(change), LEFT, WIDTH - 20)
    y = vertical(-reach, reach, height)
    for value in ticks(-reach, reach, 4):
        plot.line((x.start, y(value)), (x.end, y(value)), "grid")
        plot.text((x.start - 10, y(value) + 4), signed(value), "tick", "end")
    width = max(0.5, (x.end - x.start) / len(change) * 0.85)
    for place, value in enumerate(change):
        top, bottom = sorted((y(value), y(0.0)))
        if bottom - top > 0:
            kind = "win" if value > 0 else "loss"
            plot.parts.append(
                f'<rect class="{kind}" x="{x(place):g}" y="{top:g}" width="{width:.2f}"'
                f' height="{bottom - top:.1f}"/>'
            )
    plot.line((x.start, y(0.0)), (x.end, y(0.0)), "zero")
    plot.text((x.start + 6, TOP - 8), f"{gain.won} win", "label win-text")
    middle = x(gain.won + gain.tied / 2)
    plot.text((middle, y(0.0) - 8), f"{gain.tied} tie", "label quiet", "middle")
    plot.text((x.end, height - 12), f"{gain.lost} lose", "label loss-text", "end")
    return plot.svg()


def _decades() -> list[float]:
    return [m * 10.0**p for p in range(-1, 6) for m in (1, 2, 5)]


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
