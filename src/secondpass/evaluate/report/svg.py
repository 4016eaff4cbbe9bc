"""Drawing with SVG: scales, axes, lines with bands, and labels that keep apart.

A picture of a report as a file of its own.
"""

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
    """From values to pixels, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return where a value lies; values beyond the ends lie beyond them."""
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(max(value, 1e-9))
        part = 0.5 if high == low else (at - low) / (high - low)
        return round(self.start + part * (self.end - self.start), 1)


@dataclass
class Plot:
    """A drawing with a title and a description for those who cannot see it."""

    title: str
    description: str
    height: int = HEIGHT
    parts: list[str] = field(default_factory=list)

    def line(self, one: Point, other: Point, kind: str) -> None:
        """Draw a straight line of a class of the style sheet."""
        (x1, y1), (x2, y2) = one, other
        self.parts.append(
            f'<line class="{kind}" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>'
        )

    def path(self, points: Sequence[Point], kind: str) -> None:
        """Draw a line through points."""
        places = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.parts.append(f'<polyline class="{kind}" points="{places}"/>')

    def area(self, points: Sequence[Point], kind: str) -> None:
        """Fill the area within points."""
        places = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.parts.append(f'<polygon class="{kind}" points="{places}"/>')

    def text(self, at: Point, words: str, kind: str = "", anchor: str = "start") -> None:
        """Write words at a point."""
        self.parts.append(
            f'<text class="{kind}" x="{at[0]:g}" y="{at[1]:g}" text-anchor="{anchor}">'
            f"{escape(words)}</text>"
        )

    def mark(self, at: Point, series: int, hint: str, *, size: float = 4.5) -> None:
        """Draw the mark of a series, with words that show when it is pointed at."""
        x, y = at
        shape = MARKS[series % len(MARKS)]
        kind = f"mark s{series % 6}"
        drawn = {
            "circle": f'<circle cx="{x:g}" cy="{y:g}" r="{size:g}"/>',
            "square": f'<rect x="{x - size:g}" y="{y - size:g}" width="{2 * size:g}"'
            f' height="{2 * size:g}"/>',
            "diamond": f'<path d="M{x:g} {y - 1.4 * size:g}l{1.4 * size:g} {1.4 * size:g}'
            f'l{-1.4 * size:g} {1.4 * size:g}l{-1.4 * size:g} {-1.4 * size:g}z"/>',
            "triangle": f'<path d="M{x:g} {y - 1.3 * size:g}l{1.3 * size:g} {2.3 * size:g}'
            f'h{-2.6 * size:g}z"/>',
        }[shape]
        self.parts.append(f'<g class="{kind}"><title>{escape(hint)}</title>{drawn}</g>')

    def labels(self, x: float, wanted: Sequence[tuple[float, str, str]]) -> None:
        """Write (height, words, class) beside their lines, moved apart where they meet."""
        free = TOP - 8.0
        for y, words, kind in sorted(wanted):
            free = max(y + 4, free + 15)
            self.text((x, free), words, f"label {kind}")

    def svg(self) -> str:
        """Return the drawing as an element of a page."""
        return (
            f'<svg viewBox="0 0 {WIDTH} {self.height}" role="img"'
            f' xmlns="http://www.w3.org/2000/svg">'
            f"<title>{escape(self.title)}</title><desc>{escape(self.description)}</desc>"
            f"{''.join(self.parts)}</svg>"
        )


def horizontal(low: float, high: float, *, log: bool = True, right: int = RIGHT) -> Scale:
    """Return the scale of the horizontal axis."""
    return Scale(low, high, LEFT, WIDTH - right, log)


def vertical(low: float, high: float, height: int = HEIGHT) -> Scale:
    """Return the scale of the vertical axis, with some room above and below."""
    room = 0.06 * (high - low) if high > low else 0.05
    return Scale(low - room, high + room, height - BOTTOM, TOP)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round values between two ends."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def frame(
    plot: Plot,
    x: Scale,
    y: Scale,
    *,
    at: Sequence[float],
    below: str,
    written: Callable[[float], str],
) -> None:
    """Draw grid lines and axes: `at` are the values named below, `below` what they are."""
    for value in ticks(y.low, y.high):
        plot.line((x.start, y(value)), (x.end, y(value)), "grid")
        plot.text((x.start - 10, y(value) + 4), written(value), "tick", "end")
    for value in at:
        plot.line((x(value), y.start), (x(value), y.start + 5), "axis")
        plot.text((x(value), y.start + 20), f"{value:g}", "tick", "middle")
    plot.line((x.start, y.start), (x.end, y.start), "axis")
    plot.text(((x.start + x.end) / 2, y.start + 38), below, "axis-name", "middle")


def style() -> str:
    """Return the style sheet of pages and pictures."""
    return files("secondpass.evaluate.report").joinpath("style.css").read_text("utf-8")


def standalone(svg: str) -> str:
    """Return an SVG element with its style inside, light or dark as the viewer is."""
    return f"{svg.removesuffix('</svg>')}<style>{style()}</style></svg>\n"
