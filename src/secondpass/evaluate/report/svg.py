"""SVG plots: scales, axes, lines with bands, and labels that do not overlap."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files

WIDTH, HEIGHT = 760, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 165, 28, 46
MARKS = ("circle", "square", "diamond", "triangle")

Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic map from values to pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; values outside the scale lie outside its ends."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(max(value, 1e-9))
        fraction = 0.5 if high == low else (value - low) / (high - low)
        return round(self.start + fraction * (self.end - self.start), 1)


@dataclass
class Plot:
    """An SVG drawing with a title and a description for screen readers."""

    title: str
    description: str
    height: int = HEIGHT
    parts: list[str] = field(default_factory=list)

    def line(self, start: Point, end: Point, css_class: str) -> None:
        """Draw a straight line."""
        (x1, y1), (x2, y2) = start, end
        self.parts.append(
            f'<line class="{css_class}" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>'
        )

    def path(self, points: Sequence[Point], css_class: str) -> None:
        """Draw a line through points."""
        coordinates = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.parts.append(f'<polyline class="{css_class}" points="{coordinates}"/>')

    def area(self, points: Sequence[Point], css_class: str) -> None:
        """Fill the polygon of points."""
        coordinates = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.parts.append(f'<polygon class="{css_class}" points="{coordinates}"/>')

    def text(self, point: Point, text: str, css_class: str = "", anchor: str = "start") -> None:
        """Write text at a point."""
        self.parts.append(
            f'<text class="{css_class}" x="{point[0]:g}" y="{point[1]:g}"'
            f' text-anchor="{anchor}">{escape(text)}</text>'
        )

    def mark(self, point: Point, series: int, hint: str, *, size: float = 4.5) -> None:
        """Draw the mark of a series, with a hint that shows on hover."""
        x, y = point
        shape = {
            "circle": f'<circle cx="{x:g}" cy="{y:g}" r="{size:g}"/>',
            "square": f'<rect x="{x - size:g}" y="{y - size:g}" width="{2 * size:g}"'
            f' height="{2 * size:g}"/>',
            "diamond": f'<path d="M{x:g} {y - 1.4 * size:g}l{1.4 * size:g} {1.4 * size:g}'
            f'l{-1.4 * size:g} {1.4 * size:g}l{-1.4 * size:g} {-1.4 * size:g}z"/>',
            "triangle": f'<path d="M{x:g} {y - 1.3 * size:g}l{1.3 * size:g} {2.3 * size:g}'
            f'h{-2.6 * size:g}z"/>',
        }[MARKS[series % len(MARKS)]]
        css_class = f"mark s{series % 6}"
        self.parts.append(f'<g class="{css_class}"><title>{escape(hint)}</title>{shape}</g>')

    def labels(self, x: float, labels: Sequence[tuple[float, str, str]]) -> None:
        """Write labels, as (y, text, class), beside their lines without overlap."""
        label_y = TOP - 8.0
        for y, text, css_class in sorted(labels):
            label_y = max(y + 4, label_y + 15)
            self.text((x, label_y), text, f"label {css_class}")

    def svg(self) -> str:
        """Return the drawing as an SVG element."""
        return (
            f'<svg viewBox="0 0 {WIDTH} {self.height}" role="img"'
            f' xmlns="http://www.w3.org/2000/svg">'
            f"<title>{escape(self.title)}</title><desc>{escape(self.description)}</desc>"
            f"{''.join(self.parts)}</svg>"
        )


def horizontal_scale(low: float, high: float, *, log: bool = True, right: int = RIGHT) -> Scale:
    """Return the scale of the horizontal axis."""
    return Scale(low, high, LEFT, WIDTH - right, log)


def vertical_scale(low: float, high: float, height: int = HEIGHT) -> Scale:
    """Return the scale of the vertical axis, with some room above and below."""
    room = 0.06 * (high - low) if high > low else 0.05
    return Scale(low - room, high + room, height - BOTTOM, TOP)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round values between two ends."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def draw_axes(
    plot: Plot,
    x: Scale,
    y: Scale,
    *,
    marks: Sequence[float],
    label: str,
    format_value: Callable[[float], str],
) -> None:
    """Draw grid lines and axes: `marks` and `label` are those of the horizontal axis."""
    for value in ticks(y.low, y.high):
        plot.line((x.start, y(value)), (x.end, y(value)), "grid")
        plot.text((x.start - 10, y(value) + 4), format_value(value), "tick", "end")
    for value in marks:
        plot.line((x(value), y.start), (x(value), y.start + 5), "axis")
        plot.text((x(value), y.start + 20), f"{value:g}", "tick", "middle")
    plot.line((x.start, y.start), (x.end, y.start), "axis")
    plot.text(((x.start + x.end) / 2, y.start + 38), label, "axis-name", "middle")


def style_sheet() -> str:
    """Return the style sheet of pages and figures."""
    return files("secondpass.evaluate.report").joinpath("style.css").read_text("utf-8")


def standalone_svg(svg: str) -> str:
    """Return an SVG file with its style inside, for light and dark mode."""
    return f"{svg.removesuffix('</svg>')}<style>{style_sheet()}</style></svg>\n"
