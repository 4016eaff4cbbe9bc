"""Texts as the tokens that filters compare, by the tokenizations of the database."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

BETWEEN = "\x1f"
"""Stands before, between and after the tokens of a stored value, and within none."""

_WORD = re.compile(r"[^\W_]+")
_PATTERN = re.compile(r"(?:[^\W_]|[*?])+")


def _field(text: str) -> list[str]:
    token = text.strip().replace(BETWEEN, " ")
    return [token] if token else []


TOKENIZATIONS: Mapping[str, Callable[[str], list[str]]] = {
    "word": lambda text: [w.lower() for w in _WORD.findall(text)],
    "lowercase": lambda text: text.lower().split(),
    "whitespace": str.split,
    "field": _field,
}
"""Words of letters and digits in lower case; pieces between spaces; the whole text."""


def tokens(text: str, tokenization: str) -> list[str]:
    """Return the tokens of a text in order; the tokenization is one of TOKENIZATIONS."""
    return TOKENIZATIONS[tokenization](text)


def pattern_tokens(pattern: str, tokenization: str) -> list[str]:
    """Return the tokens of a pattern, whose wildcards * and ? are part of them."""
    if tokenization == "word":
        return [w.lower() for w in _PATTERN.findall(pattern)]
    return tokens(pattern, tokenization)


def stored(found: Iterable[str]) -> str:
    """Return tokens as a column holds them: `contains` finds each whole."""
    return BETWEEN + "".join(token + BETWEEN for token in found)
