"""Numbers as reports write them: three decimals, no leading zero."""

from __future__ import annotations


def signed(value: float) -> str:
    """Return a difference with three decimals and its sign, such as "+.041"."""
    if round(value, 3) == 0:
        return "0"
    return ("\N{MINUS SIGN}" if round(value, 3) < 0 else "+") + plain(abs(value))


def plain(value: float) -> str:
    """Return a number with three decimals and no leading zero, such as ".812"."""
    text = f"{value:.3f}"
    return text[1:] if text.startswith("0.") else text.replace("-0.", "\N{MINUS SIGN}.")


def probability(p: float) -> str:
    """Return a p-value as it is written, such as "p = .013"."""
    return "p < .001" if p < 0.001 else f"p = {plain(p)}"
