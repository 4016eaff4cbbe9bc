"""A picture of a report as a file of its own."""

from __future__ import annotations

from importlib.resources import files


def style() -> str:
    """Return the style sheet of pages and pictures."""
    return files("secondpass.evaluate.report").joinpath("style.css").read_text("utf-8")


def standalone(svg: str) -> str:
    """Return an SVG element with its style inside, light or dark as the viewer is."""
    return f"{svg.removesuffix('</svg>')}<style>{style()}</style></svg>\n"
