"""From whatever a model wrote to an order, a choice or a grade; nothing here ever fails.

The rule for an order. What stands between <think> and </think> is left out. If the text
holds a JSON list with an id in it, the last such list is the answer; else, if ids are
joined by ">" somewhere, the longest such chain; else all ids in the order in which they
stand. An id counts once, where it stands first; what is no id is left out; ids that are
missing follow in the order in which they were shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)
_LIST = re.compile(r"\[[^\[\]]*\]")
_WORD = re.compile(r"[A-Za-z0-9]+")
_NUMBER = re.compile(r"(?<![\w.,])-?\d{1,6}(?:\.\d{1,6})?(?![\w])")
_MOST_CHARACTERS = 100_000


@dataclass(frozen=True, slots=True)
class Repairs:
    """What had to be repaired in an answer.

    `missing`: ids it left out; `repeated`: places with an id that had stood before;
    `unknown`: entries of a list or chain that are no ids; `prose`: whether there was
    neither a list nor a chain.
    """

    missing: int = 0
    repeated: int = 0
    unknown: int = 0
    prose: bool = False

    def __bool__(self) -> bool:
        return self != Repairs()

    def __str__(self) -> str:
        parts = [
            f"{number} ids {name}"
            for name in ("missing", "repeated", "unknown")
            if (number := getattr(self, name))
        ]
        return ", ".join(parts + ["prose instead of a list"] * self.prose)


@dataclass(frozen=True, slots=True)
class Order:
    """Positions of all that was shown, best first; `found` of them the model named."""

    positions: tuple[int, ...]
    found: int
    repairs: Repairs


def parse_order(text: str, ids: Sequence[str]) -> Order:
    """Return the order that a model gave of the documents with these distinct ids."""
    places = {name.lower(): position for position, name in enumerate(ids)}
    entries, prose = _entries(_said(text), places)
    known = [places[e] for e in entries if e in places]
    named = list(dict.fromkeys(known))
    missing = [position for position in range(len(ids)) if position not in set(named)]
    unknown = 0 if prose else len(entries) - len(known)
    repairs = Repairs(len(missing), len(known) - len(named), unknown, prose)
    return Order((*named, *missing), len(named), repairs)


def parse_choice(text: str, ids: Sequence[str]) -> tuple[int | None, Repairs]:
    """Return the position of the one document that a model chose, or None.

    In JSON it is the value of the last object that is an id, else the first id in the text.
    """
    said = _said(text)
    places = {name.lower(): position for position, name in enumerate(ids)}
    for value in reversed(_objects(said)):
        for item in value.values():
            if isinstance(item, str) and item.strip().lower() in places:
                return places[item.strip().lower()], Repairs()
    for word in _WORD.findall(said):
        if word.lower() in places:
            return places[word.lower()], Repairs(prose=True)
    return None, Repairs(missing=1, prose=True)


def parse_grade(text: str, most: int) -> tuple[float | None, Repairs]:
    """Return a grade from 0 to `most`, or None where the text has none.

    In JSON it is the last number that is the value of an object, else the first number in
    the text. One that is out of range is no grade.
    """
    said = _said(text)
    prose = False
    found: list[float] = []
    for value in _objects(said):
        for item in value.values():
            if isinstance(item, int | float) and not isinstance(item, bool):
                found = [item]
            elif isinstance(item, str) and _NUMBER.fullmatch(item.strip()):
                found = [float(item)]
    if not found:
        prose = True
        found = [float(number) for number in _NUMBER.findall(said)[:1]]
    if not found:
        return None, Repairs(missing=1, prose=True)
    if not 0 <= found[0] <= most:
        return None, Repairs(unknown=1, prose=prose)
    return float(found[0]), Repairs(prose=prose)


def _said(text: str) -> str:
    return _THOUGHT.sub(" ", text[:_MOST_CHARACTERS])


def _entries(said: str, places: dict[str, int]) -> tuple[list[str], bool]:
    for found in reversed(_LIST.findall(said)):
        entries = _words(_items(found))
        # A lone id in brackets is how prose names a document, as in "[a] > [b]".
        if len(entries) > 1 and any(e in places for e in entries):
            return entries, False
    chains = [_words(chain.split(">")) for chain in re.findall(r"[^\n>]*(?:>[^\n>]*)+", said)]
    chains = [c for c in chains if any(e in places for e in c)]
    if chains:
        return max(chains, key=lambda chain: sum(e in places for e in chain)), False
    words = [w.lower() for w in _WORD.findall(said)]
    only = [w for w in words if w in places]
    # The one id of a one-document list is a whole answer, however it is written.
    return only, len(places) > 1 or not only


def _items(found: str) -> list[Any]:
    try:
        items = json.loads(found)
    except (ValueError, RecursionError):
        return found[1:-1].split(",")
    return items if isinstance(items, list) else []


def _words(items: Sequence[Any]) -> list[str]:
    """Return the first word of each item that has one, the last of the first of a chain."""
    found = []
    for item in items:
        words = _WORD.findall(item) if isinstance(item, str) else [str(item)]
        if words:
            found.append(words[-1].lower() if len(words) > 1 else words[0].lower())
    return found


def _objects(said: str) -> list[dict[str, Any]]:
    found = []
    for text in re.findall(r"\{[^{}]*\}", said):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
