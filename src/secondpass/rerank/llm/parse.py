"""Parsers of a language model's answers: an order, a choice or a grade. They never fail.

The rule for an order: text between <think> and </think> is left out. If there is a JSON list
with an id in it, the last such list is the answer; else, if ids are joined by ">", the longest
such chain; else all ids in the order of the text. An id counts once, at its first position;
other words are left out; missing ids follow in the order in which they were shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)
_LIST = re.compile(r"\[[^\[\]]*\]")
_WORD = re.compile(r"[A-Za-z0-9]+")
_NUMBER = re.compile(r"(?<![\w.,])-?\d{1,6}(?:\.\d{1,6})?(?![\w])")
_MAX_CHARACTERS = 100_000


@dataclass(frozen=True, slots=True)
class Repairs:
    """What had to be repaired in an answer.

    `missing`: ids that it left out; `repeated`: entries with an id that came before; `unknown`:
    entries of a list or chain that are not ids; `prose`: whether there was neither a list nor a
    chain.
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
    """Positions of all documents shown, best first; `named` is how many the model named."""

    positions: tuple[int, ...]
    named: int
    repairs: Repairs


def parse_order(text: str, ids: Sequence[str]) -> Order:
    """Return the order that a model gave of the documents with these distinct ids."""
    position_of = {name.lower(): position for position, name in enumerate(ids)}
    entries, prose = _entries(_strip_thinking(text), position_of)
    known = [position_of[e] for e in entries if e in position_of]
    named = list(dict.fromkeys(known))
    missing = [position for position in range(len(ids)) if position not in set(named)]
    unknown = 0 if prose else len(entries) - len(known)
    repairs = Repairs(len(missing), len(known) - len(named), unknown, prose)
    return Order((*named, *missing), len(named), repairs)


def parse_choice(text: str, ids: Sequence[str]) -> tuple[int | None, Repairs]:
    """Return the position of the document that a model chose, or None.

    In JSON it is the value of the last object that is an id, else the first id in the text.
    """
    text = _strip_thinking(text)
    position_of = {name.lower(): position for position, name in enumerate(ids)}
    for value in reversed(_objects(text)):
        for item in value.values():
            if isinstance(item, str) and item.strip().lower() in position_of:
                return position_of[item.strip().lower()], Repairs()
    for word in _WORD.findall(text):
        if word.lower() in position_of:
            return position_of[word.lower()], Repairs(prose=True)
    return None, Repairs(missing=1, prose=True)


def parse_grade(text: str, max_grade: int) -> tuple[float | None, Repairs]:
    """Return a grade from 0 to `max_grade`, or None where the text has none.

    In JSON it is the last number that is the value of an object, else the first number in
    the text. A number out of range is not a grade.
    """
    text = _strip_thinking(text)
    prose = False
    grade: float | None = None
    for value in _objects(text):
        for item in value.values():
            if isinstance(item, int | float) and not isinstance(item, bool):
                grade = item
            elif isinstance(item, str) and _NUMBER.fullmatch(item.strip()):
                grade = float(item)
    if grade is None:
        prose = True
        grade = next((float(number) for number in _NUMBER.findall(text)), None)
    if grade is None:
        return None, Repairs(missing=1, prose=True)
    if not 0 <= grade <= max_grade:
        return None, Repairs(unknown=1, prose=prose)
    return float(grade), Repairs(prose=prose)


def _strip_thinking(text: str) -> str:
    return _THINKING.sub(" ", text[:_MAX_CHARACTERS])


def _entries(text: str, position_of: dict[str, int]) -> tuple[list[str], bool]:
    """Return the entries of an order, and whether they were taken from prose."""
    for list_text in reversed(_LIST.findall(text)):
        entries = _words(_items(list_text))
        # A single id in brackets is how prose names a document, as in "[a] > [b]".
        if len(entries) > 1 and any(e in position_of for e in entries):
            return entries, False
    chains = [_words(line.split(">")) for line in text.split("\n") if ">" in line]
    chains = [c for c in chains if any(e in position_of for e in c)]
    if chains:
        return max(chains, key=lambda chain: sum(e in position_of for e in chain)), False
    words = [w.lower() for w in _WORD.findall(text)]
    ids = [w for w in words if w in position_of]
    # The one id of a one-document list is a complete answer in any form.
    return ids, len(position_of) > 1 or not ids


def _items(list_text: str) -> list[Any]:
    try:
        items = json.loads(list_text)
    except (ValueError, RecursionError):
        return list_text[1:-1].split(",")
    return items if isinstance(items, list) else []


def _words(items: Sequence[Any]) -> list[str]:
    """Return the last word of each item that has any, in lower case."""
    result = []
    for item in items:
        words = _WORD.findall(item) if isinstance(item, str) else [str(item)]
        if words:
            result.append(words[-1].lower())
    return result


def _objects(text: str) -> list[dict[str, Any]]:
    objects = []
    for object_text in re.findall(r"\{[^{}]*\}", text):
        try:
            value = json.loads(object_text)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            objects.append(value)
    return objects
