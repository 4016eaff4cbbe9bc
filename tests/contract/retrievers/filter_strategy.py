"""Filters as text, each with what plain Python says of a row: True, False or None."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import date, timedelta

from hypothesis import strategies as st

from secondpass.retrieve.metadata import quoted
from tests.contract.retrievers.databases import LANGS, Row

Predicate = Callable[[Row], bool | None]
Pair = tuple[str, Predicate]

VALUES = (*LANGS, "", "x' OR '1'='1", "--")
_COMPARE = {
    "=": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):
        return f"date '{value.isoformat()}'"
    return quoted(value) if isinstance(value, str) else repr(value)


def _values(field: str) -> st.SearchStrategy[object]:
    return {
        "year": st.integers(1988, 2032),
        "price": st.sampled_from([0.0, 0.5, -1.25, 3.75, 1e6, 2.0]),
        "lang": st.sampled_from(VALUES),
        "day": st.integers(-5, 1005).map(lambda n: date(2020, 1, 1) + timedelta(days=n)),
        "fresh": st.booleans(),
    }[field]


def _unknown(field: str, test: Callable[[object], bool]) -> Predicate:
    def predicate(row: Row) -> bool | None:
        value = getattr(row, field)
        return None if value is None else test(value)

    return predicate


@st.composite
def _leaf(draw: st.DrawFn, lacks: frozenset[str]) -> Pair:
    fields = [f for f in ("year", "price", "lang", "day", "fresh") if f not in lacks]
    field = draw(st.sampled_from(fields))
    kinds = ["compare", "in", "null", "between", *([] if "like" in lacks else ["like"])]
    if field in ("fresh", "lang"):
        kinds.remove("between")
    kind = draw(st.sampled_from(kinds))
    name = draw(st.sampled_from([field, f'"{field}"', f"`{field}`", field.upper()]))
    if kind == "null":
        inverse = draw(st.booleans())
        text = f"{name} IS {'NOT ' if inverse else ''}NULL"
        return text, lambda row: (getattr(row, field) is None) != inverse
    if kind == "in":
        values = draw(st.lists(_values(field), min_size=1, max_size=4))
        inverse = draw(st.booleans())
        text = f"{name} {'NOT ' if inverse else ''}IN ({', '.join(map(_literal, values))})"
        return text, _unknown(field, lambda value: (value in values) != inverse)
    if kind == "between":
        low, high = draw(_values(field)), draw(_values(field))
        text = f"{name} BETWEEN {_literal(low)} AND {_literal(high)}"
        return text, _unknown(field, lambda value: low <= value <= high)  # type: ignore
    if kind == "like":
        start = draw(st.sampled_from(["e", "O'", "50", "a", "", "Ä", "back"]))
        text = f"lang LIKE {quoted(start + '%')}"
        return text, _unknown("lang", lambda value: str(value).startswith(start))
    unordered = field == "fresh" or (field == "lang" and "text_order" in lacks)
    sign = draw(st.sampled_from(["=", "!=", "<>"] if unordered else list(_COMPARE)))
    value = draw(_values(field))
    text = f"{name} {sign} {_literal(value)}"
    return text, _unknown(field, lambda actual: _COMPARE[sign](actual, value))


def _negated(pair: Pair) -> Pair:
    def predicate(row: Row) -> bool | None:
        held = pair[1](row)
        return None if held is None else not held

    return f"NOT ({pair[0]})", predicate


def _joined(pairs: list[Pair], word: str) -> Pair:
    decisive = word == "OR"

    def predicate(row: Row) -> bool | None:
        results = [p[1](row) for p in pairs]
        if decisive in results:
            return decisive
        return None if None in results else not decisive

    return f" {word} ".join(f"({p[0]})" for p in pairs), predicate


def filters(lacks: frozenset[str] = frozenset()) -> st.SearchStrategy[Pair]:
    """Return a strategy of filters without what an engine lacks."""
    words = st.sampled_from(["AND", "OR"])
    return st.recursive(
        _leaf(lacks),
        lambda inner: st.one_of(
            inner.map(_negated),
            st.builds(_joined, st.lists(inner, min_size=2, max_size=3), words),
        ),
        max_leaves=5,
    )
