"""Answers of servers, which are not trusted: every score, for every document, once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def scores_by_index(
    rows: object, count: int, *, score: str, index: str = "index", low: float = -math.inf
) -> list[float]:
    """Return the scores in the order of the request from rows of {index, score}.

    Raises `ValueError` unless each of the `count` documents has exactly one finite score
    of at least `low` (and, where `low` is 0, at most 1).
    """
    if not isinstance(rows, list):
        raise ValueError("it holds no list of results")
    found: dict[int, float] = {}
    for row in rows:
        if not isinstance(row, Mapping):
            raise ValueError("a result is not an object")
        position = row.get(index)
        if isinstance(position, bool) or not isinstance(position, int):
            raise ValueError(f"a result has {index} {position!r:.40}")
        if not 0 <= position < count:
            raise ValueError(f"a result has {index} {position}, of {count} documents")
        if position in found:
            raise ValueError(f"two results have {index} {position}")
        found[position] = number(row.get(score), score)
    if len(found) != count:
        raise ValueError(f"it has {len(found)} results for {count} documents")
    values = [found[i] for i in range(count)]
    if low == 0 and not all(0 <= v <= 1 for v in values):
        raise ValueError("a score is not between 0 and 1")
    return values


def number(value: object, name: str) -> float:
    """Return a finite number, or raise `ValueError` naming it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a result has {name} {value!r:.40}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise ValueError(f"a result has {name} {found}")
    return found


def member(body: object, *path: str) -> Any:
    """Return what stands at a path of keys, or None where any of them is missing."""
    for key in path:
        if not isinstance(body, Mapping):
            return None
        body = body.get(key)
    return body


def count_of(value: object) -> int | None:
    """Return a number of tokens, or None for anything that is none.

    What was counted is no reason to refuse sound scores.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if math.isfinite(value) and 0 <= value < 2**53 else None


def amount_of(value: object) -> float | None:
    """Return a billed amount, or None for anything that is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 2**53 else None


def message_of(body: object) -> str | None:
    """Return the message in an error's body, in any of the shapes that providers use."""
    if isinstance(body, str):
        return body
    if isinstance(body, Sequence):
        return message_of(body[0]) if body else None
    if not isinstance(body, Mapping):
        return None
    for key in ("message", "detail", "error", "errors", "msg"):
        if body.get(key):
            return message_of(body[key])
    return None
