"""A stand-in for a model: the same pair gets the same score, whatever else is there."""

from __future__ import annotations

import math
import re
import zlib


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def logit(query: str, text: str) -> float:
    """Log-odds from the share of the query's words in the text; no two texts tie."""
    asked, said = set(words(query)), words(text)
    shared = len(asked & set(said)) / max(1, len(asked))
    return 8 * shared - 4 + zlib.crc32(text.encode()) / 2**32 / 10


def chance(query: str, text: str) -> float:
    return 1 / (1 + math.exp(-logit(query, text)))


def tokens(query: str, texts: list[str]) -> int:
    return sum(len(words(query)) + len(words(t)) + 3 for t in texts)
