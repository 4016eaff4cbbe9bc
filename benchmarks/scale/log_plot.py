"""A plot with two logarithmic axes, as SVG: points are measured, dashed lines are fitted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLORS = ("#1f6fb4", "#2a9d4a", "#c8702a", "#8054a8", "#555555")
WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 200, 20, 55

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A named line: measured points, and a fitted line through others; all above 0."""

    name: str
    measured: Sequence[Point]
    fitted: Sequence[Point]


def log_plot(series: Sequence[Series], x_title: str, y_title: str) -> str:
    """Return the plot as an SVG document."""
    points = [p for s in series for p in (*s.measured, *s.fitted) if min(p) > 0]
    low_x, high_x = decades([x for x, _ in points])
    low_y, high_y = decades([y for _, y in points])

    def place(point: Point) -> Point:
        x = (math.log10(point[0]) - low_x) / (high_x - low_x)
        y = (math.log10(point[1]) - low_y) / (high_y - low_y)
        return (
            LEFT + x * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for power in range(low_x, high_x + 1):
        x, y = place((10.0**power, 10.0**low_y))
        parts.append(line(x, TOP, x, y, "#dddddd"))
        parts.append(text(x, y + 18, label(power), "middle"))
    for power in range(low_y, high_y + 1):
        x, y = place((10.0**low_x, 10.0**power))
        parts.append(line(x, y, WIDTH - RIGHT, y, "#dddddd"))
        parts.append(text(x - 8, y + 4, label(power), "end"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_title, "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text transform="translate(16 {middle:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_title)}</text>"
    )
    for number, one in enumerate(series):
        color = COLORS[number % len(COLORS)]
        fitted = " ".join("{:.1f},{:.1f}".format(*place(p)) for p in one.fitted if min(p) > 0)
        parts.append(
            f'<polyline points="{fitted}" fill="none" stroke="{color}" stroke-dasharray="4 4"/>'
        )
        for point in one.measured:
            x, y = place(point)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}"/>')
        y = TOP + 16 + 20 * number
        parts.append(f'<circle cx="{WIDTH - RIGHT + 16}" cy="{y - 4}" r="4" fill="{color}"/>')
        parts.append(text(WIDTH - RIGHT + 26, y, one.name, "start"))
    y = TOP + 16 + 20 * len(series)
    parts.append(text(WIDTH - RIGHT + 10, y, "dots measured, lines fitted", "start"))
    return "\n".join([*parts, "</svg>", ""])


def decades(values: Sequence[float]) -> tuple[int, int]:
    """Return the powers of ten around values, at least one apart; 0 and 1 for none."""
    if not values:
        return 0, 1
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def label(power: int) -> str:
    """Return a power of ten as people write it."""
    return f"{10**power:,}" if 0 <= power <= 5 else f"1e{power}"


def line(x: float, y: float, to_x: float, to_y: float, color: str) -> str:
    """Return a line."""
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{color}"/>'


def text(x: float, y: float, content: str, anchor: str) -> str:
    """Return a text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'
