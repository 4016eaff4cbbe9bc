"""The figures of a report, as SVG."""

from __future__ import annotations

from secondpass.evaluate.calibration_check import CalibrationCheck
from secondpass.evaluate.reliability import Reliability
from secondpass.evaluate.report.number_format import format_difference, format_number
from secondpass.evaluate.report.svg import (
    LEFT,
    TOP,
    WIDTH,
    Plot,
    Scale,
    draw_axes,
    horizontal_scale,
    ticks,
    vertical_scale,
)
from secondpass.evaluate.study import Study, VariantResult


def depth_plot(study: Study) -> str:
    """Plot the gain over tuned fusion by the number of candidates, with its interval."""
    curves = {model: study.curve(model) for model in study.models}
    effects = [r.effect for curve in curves.values() for r in curve]
    description = "; ".join(
        f"{model}: "
        + ", ".join(f"{format_difference(r.effect.mean)} at {r.variant.depth}" for r in curve)
        for model, curve in curves.items()
    )
    plot = Plot(f"Gain in {study.measure} over tuned fusion, by depth", description)
    x = horizontal_scale(study.depths[0], study.depths[-1])
    y = vertical_scale(
        min([0.0, *(e.low for e in effects)]), max([0.0, *(e.high for e in effects)])
    )
    draw_axes(
        plot,
        x,
        y,
        marks=study.depths,
        label="candidates that are reranked",
        format_value=format_difference,
    )
    labels = [(y(0.0), f"tuned fusion {format_number(study.baseline.mean)}", "quiet")]
    plot.line((x.start, y(0.0)), (x.end, y(0.0)), "zero")
    for number, (model, curve) in enumerate(curves.items()):
        points = [(x(r.variant.depth), y(r.effect.mean)) for r in curve]
        band = [(x(r.variant.depth), y(r.effect.low)) for r in curve]
        band += [(x(r.variant.depth), y(r.effect.high)) for r in reversed(curve)]
        plot.area(band, f"band s{number % 6}")
        plot.path(points, f"line s{number % 6}")
        for result, point in zip(curve, points, strict=True):
            gain = result.effect
            hint = (
                f"{model}, {result.variant.depth} candidates: {format_difference(gain.mean)},"
                f" 95 % from {format_difference(gain.low)} to {format_difference(gain.high)}"
            )
            plot.mark(point, number, hint, size=6.5 if result is study.choice else 4)
        labels.append((points[-1][1], model, f"s{number % 6}"))
    plot.labels(x.end + 12, labels)
    return plot.svg()


def bound_plot(study: Study) -> str:
    """Plot the measure by depth of each model, below that of a perfect second pass."""
    perfect = [(b.depth, b.perfect) for b in study.bounds]
    curves = {model: study.curve(model) for model in study.models}
    description = ", ".join(f"{format_number(value)} at {depth}" for depth, value in perfect)
    plot = Plot(f"{study.measure} by depth, and its upper bound", f"Perfect: {description}")
    values = [value for _, value in perfect] + [r.mean for c in curves.values() for r in c]
    x = horizontal_scale(study.depths[0], study.depths[-1])
    y = vertical_scale(min([study.baseline.mean, *values]), max([study.baseline.mean, *values]))
    draw_axes(
        plot,
        x,
        y,
        marks=study.depths,
        label="candidates that are reranked",
        format_value=format_number,
    )
    level = y(study.baseline.mean)
    plot.line((x.start, level), (x.end, level), "zero")
    plot.path([(x(d), y(v)) for d, v in perfect], "line perfect")
    labels = [
        (y(perfect[-1][1]), "perfect second pass", "strong"),
        (level, "tuned fusion", "quiet"),
    ]
    for number, (model, curve) in enumerate(curves.items()):
        points = [(x(r.variant.depth), y(r.mean)) for r in curve]
        plot.path(points, f"line s{number % 6}")
        for result, point in zip(curve, points, strict=True):
            hint = f"{model}, {result.variant.depth} candidates: {format_number(result.mean)}"
            plot.mark(point, number, hint, size=4)
        labels.append((points[-1][1], model, f"s{number % 6}"))
    plot.labels(x.end + 12, labels)
    return plot.svg()


def latency_plot(study: Study) -> str:
    """Plot quality against milliseconds, with the Pareto frontier."""
    curves = {model: study.curve(model) for model in study.models}
    first_passes = [*study.first_stages]
    if study.baseline.variant.order == "fusion":
        first_passes.append(study.baseline)
    results = [*first_passes, *(r for curve in curves.values() for r in curve)]
    front = pareto_frontier(results)
    front_labels = ", ".join(
        f"{r.variant.label} {format_number(r.mean)} in {r.ms:.0f} ms" for r in front
    )
    plot = Plot(f"{study.measure} against time", f"Pareto frontier: {front_labels}", 400)
    # Room on the left for the labels of the fast ones.
    x = horizontal_scale(min(r.ms for r in results) * 0.6, max(r.ms for r in results) * 1.05)
    y = vertical_scale(min(r.mean for r in results), max(r.mean for r in results), 400)
    marks = [v for v in _round_milliseconds() if x.low <= v <= x.high]
    draw_axes(
        plot,
        x,
        y,
        marks=marks,
        label="milliseconds of a search, median",
        format_value=format_number,
    )
    steps = [(x(front[0].ms), y(front[0].mean))]
    for result in front[1:]:
        steps += [(x(result.ms), steps[-1][1]), (x(result.ms), y(result.mean))]
    plot.path([*steps, (x.end, steps[-1][1])], "front")
    label_y = float("inf")
    for result in sorted(first_passes, key=lambda r: r.mean):
        point = (x(result.ms), y(result.mean))
        plot.parts.append(f'<circle class="first" cx="{point[0]:g}" cy="{point[1]:g}" r="5"/>')
        label_y = min(point[1] + 4, label_y - 15)
        name = result.variant.label.removesuffix(", default fusion")
        plot.text((point[0] - 10, label_y), name, "label quiet halo", "end")
    for number, (model, curve) in enumerate(curves.items()):
        points = [(x(r.ms), y(r.mean)) for r in curve]
        plot.path(points, f"line thin s{number % 6}")
        for result, point in zip(curve, points, strict=True):
            hint = f"{result.variant.label}: {format_number(result.mean)} in {result.ms:.0f} ms"
            plot.mark(point, number, hint)
            plot.text((point[0], point[1] - 10), str(result.variant.depth), "depth", "middle")
        plot.text((points[-1][0] + 12, points[-1][1] + 4), model, f"label s{number % 6}")
    return plot.svg()


def pareto_frontier(results: list[VariantResult]) -> list[VariantResult]:
    """Return the results that no other one beats in both time and quality, by rising time."""
    frontier: list[VariantResult] = []
    for result in sorted(results, key=lambda r: (r.ms, -r.mean)):
        if not frontier or result.mean > frontier[-1].mean:
            frontier.append(result)
    return frontier


def record_plot(study: Study) -> str:
    """Plot the change of every query, best first."""
    change = sorted(study.gain_by_query.tolist(), reverse=True)
    gain, height = study.gain, 260
    plot = Plot(
        f"Change in {study.measure} of each query",
        f"{gain.won} win, {gain.tied} tie, {gain.lost} lose",
        height,
    )
    reach = max(0.05, *(abs(c) for c in change))
    x = Scale(0, len(change), LEFT, WIDTH - 20)
    y = vertical_scale(-reach, reach, height)
    for value in ticks(-reach, reach, 4):
        plot.line((x.start, y(value)), (x.end, y(value)), "grid")
        plot.text((x.start - 10, y(value) + 4), format_difference(value), "tick", "end")
    width = max(0.5, (x.end - x.start) / len(change) * 0.85)
    for position, value in enumerate(change):
        top, bottom = sorted((y(value), y(0.0)))
        if bottom - top > 0:
            kind = "win" if value > 0 else "loss"
            plot.parts.append(
                f'<rect class="{kind}" x="{x(position):g}" y="{top:g}" width="{width:.2f}"'
                f' height="{bottom - top:.1f}"/>'
            )
    plot.line((x.start, y(0.0)), (x.end, y(0.0)), "zero")
    plot.text((x.start + 6, TOP - 8), f"{gain.won} win", "label win-text")
    middle = x(gain.won + gain.tied / 2)
    plot.text((middle, y(0.0) - 8), f"{gain.tied} tie", "label quiet", "middle")
    plot.text((x.end, height - 12), f"{gain.lost} lose", "label loss-text", "end")
    return plot.svg()


def _round_milliseconds() -> list[float]:
    return [m * 10.0**p for p in range(-1, 6) for m in (1, 2, 5)]


def reliability_plot(check: CalibrationCheck) -> str:
    """Plot the share of relevant pairs by their probability; something must be measured."""
    both = (("as they are", check.shipped), ("calibrated here", check.calibrated))
    curves = [(name, reliability) for name, reliability in both if reliability is not None]
    description = "; ".join(f"{name}: {_describe(curve)}" for name, curve in curves)
    plot = Plot(f"Reliability of the probabilities of {check.model}", description)
    x, y = horizontal_scale(0.0, 1.0, log=False), vertical_scale(0.0, 1.0)
    marks = ticks(0.0, 1.0)
    draw_axes(
        plot, x, y, marks=marks, label="predicted probability", format_value=format_number
    )
    plot.text((x.start, TOP - 8), "share that is relevant", "axis-name")
    plot.line((x(0.0), y(0.0)), (x(1.0), y(1.0)), "zero")
    labels = [(y(1.0), "perfect calibration", "quiet")]
    for number, (name, curve) in enumerate(curves):
        points = [(x(b.promised), y(b.share)) for b in curve.bins]
        for each_bin, (center, _) in zip(curve.bins, points, strict=True):
            ends = (center, y(each_bin.share_low)), (center, y(each_bin.share_high))
            plot.line(*ends, f"line thin s{number}")
        plot.path(points, f"line s{number}")
        for each_bin, point in zip(curve.bins, points, strict=True):
            hint = (
                f"{name}: {each_bin.pairs} candidates at {format_number(each_bin.promised)},"
                f" {format_number(each_bin.share)} relevant, 95 % from"
                f" {format_number(each_bin.share_low)} to {format_number(each_bin.share_high)}"
            )
            plot.mark(point, number, hint)
        labels.append((points[-1][1], name, f"s{number}"))
    plot.labels(x.end + 12, labels)
    return plot.svg()


def _describe(reliability: Reliability) -> str:
    points = ", ".join(
        f"{format_number(b.share)} of those near {format_number(b.promised)}"
        for b in reliability.bins
    )
    return f"calibration error {format_number(reliability.error)}; relevant are {points}"
