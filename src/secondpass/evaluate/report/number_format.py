"""Numbers in reports: three decimals, no leading zero."""

from __future__ import annotations


def format_number(value: float) -> str:
    """Return a number as in ".812"."""
    text = f"{value:.3f}"
    return text[1:] if text.startswith("0.") else text.replace("-0.", "\N{MINUS SIGN}.")


def format_difference(value: float) -> str:
    """Return a difference with its sign, as in "+.041"."""
    rounded = round(value, 3)
    if rounded == 0:
        return "0"
    return ("\N{MINUS SIGN}" if rounded < 0 else "+") + format_number(abs(value))


def format_p_value(p: float) -> str:
    """Return a p-value as in "p = .013" or "p < .001"."""
    return "p < .001" if p < 0.001 else f"p = {format_number(p)}"
