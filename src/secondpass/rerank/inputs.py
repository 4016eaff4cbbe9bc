"""Validation of arguments, and documents of any accepted type as candidates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from secondpass.errors import InputError
from secondpass.types import Candidate, Document, is_missing, to_id

DocumentLike = str | Mapping[str, Any] | Document | Candidate
"""A text, a mapping with "text" (and "id", "title", any others), a document or a candidate.

An id is a text, a whole number of any type (7.0 is "7") or a UUID, and becomes text. An id or
title that is None, NaN or pandas' NA is absent."""


_ROWS = {
    "to_dicts": "to_dicts()",
    "to_pylist": "to_pylist()",
    "to_dict": 'to_dict("records")',
}
"""Methods that give the rows of a frame of polars, pyarrow and pandas, and how to call them."""


def check_query(query: object) -> str:
    """Return the query, or raise `InputError` if it is not text or blank."""
    if not isinstance(query, str):
        raise InputError(f"The query must be text, not {type(query).__name__}")
    if not query.strip():
        raise InputError("The query is empty", fix="Pass the words to search for.")
    return query


def check_count(name: str, value: object) -> int | None:
    """Return a count of at least 1 or None, or raise `InputError` naming the argument."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{name} must be a whole number, not {value!r}")
    if value < 1:
        raise InputError(f"{name} must be at least 1, not {value}")
    return value


def require_count(name: str, value: object) -> int:
    """Return a count of at least 1, or raise `InputError` naming the argument."""
    count = check_count(name, value)
    if count is None:
        raise InputError(f"{name} must be a whole number, not None")
    return count


def check_number(name: str, value: object) -> float | None:
    """Return a number that is not NaN, or None, or raise `InputError`."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise InputError(f"{name} must be a number, not {value!r}")
    return float(value)


def check_probability(name: str, value: object) -> float | None:
    """Return a number from 0 to 1 or None, or raise `InputError` naming the argument."""
    number = check_number(name, value)
    if number is not None and not 0 <= number <= 1:
        raise InputError(f"{name} must be from 0 to 1, not {value!r}")
    return number


def check_ids(name: str, ids: Iterable[object]) -> list[str]:
    """Return ids as text, each once, or raise `InputError` naming the argument."""
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        given = "a single text" if isinstance(ids, str) else f"{ids!r:.80}"
        raise InputError(f"{name} must be a list", why=f"{given} was given")
    names: dict[str, None] = {}
    for value in ids:
        text = to_id(value)
        if not isinstance(text, str):
            raise InputError(
                f"{value!r:.80} is not an id", why="an id is text, a whole number or a UUID"
            )
        names[text] = None
    return list(names)


def check_fields(fields: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the field names or None, or raise `InputError` if it is not a list of names."""
    if fields is None:
        return None
    if isinstance(fields, str) or not all(isinstance(f, str) for f in fields) or not fields:
        raise InputError(f"fields must be a list of one or more names, not {fields!r}")
    return tuple(fields)


def to_candidates(
    documents: Iterable[DocumentLike], *, text_needed: bool = True
) -> list[Candidate]:
    """Return the documents as candidates, in the given order; nothing of theirs is changed.

    `text_needed=False` accepts mappings without "text", for when other fields are read. Raises
    `InputError` with the position of the first document that is not valid.
    """
    if isinstance(documents, str | Mapping | Document | Candidate):
        raise InputError(
            "documents must be a list", why=f"it is a single {type(documents).__name__}"
        )
    if hasattr(documents, "columns"):
        # Iterating over a frame gives the names of its columns, or the columns.
        rows = next((name for name in _ROWS if hasattr(documents, name)), None)
        if rows is not None:
            raise InputError(
                "documents must be a list", why="it is a frame", fix=f"Pass df.{_ROWS[rows]}."
            )
    try:
        items = list(documents)
    except TypeError as error:
        raise InputError(f"documents must be a list, not {type(documents).__name__}") from error
    return [_candidate(item, position, text_needed) for position, item in enumerate(items)]


def to_document(item: object, position: int = 0, text_needed: bool = True) -> Document:
    """Return a text, mapping or document as a `Document`; `position` is for errors."""
    if isinstance(item, str):
        return Document(item)
    if isinstance(item, Mapping):
        return _from_mapping(item, position, text_needed)
    if isinstance(item, Document):
        return _check_types(item, position)
    raise InputError(
        f"Document {position} is {'None' if item is None else 'a ' + type(item).__name__}",
        fix="Pass a text, a mapping with 'text', a Document or a Candidate.",
    )


def _candidate(item: object, position: int, text_needed: bool) -> Candidate:
    if not isinstance(item, Candidate):
        return Candidate(to_document(item, position, text_needed))
    document = _check_types(item.document, position)
    for name in ("score", "bm25", "vector"):
        value = getattr(item, name)
        if value is not None and not math.isfinite(value):
            raise InputError(f"Candidate {position} has {name} = {value}")
    return item if document is item.document else replace(item, document=document)


def _from_mapping(item: Mapping[Any, Any], position: int, text_needed: bool) -> Document:
    rest = {str(k): v for k, v in item.items() if k not in ("id", "_id", "title", "text")}
    nested = rest.get("metadata")
    if isinstance(nested, Mapping):
        rest = {**{str(k): v for k, v in nested.items()}, **rest}
        del rest["metadata"]
    key = item.get("id")
    if is_missing(key):
        key = item.get("_id")
    if text_needed and "text" not in item:
        raise InputError(
            f"Document {position} has no 'text'",
            why=f"its keys are {sorted(map(str, item))}",
            fix="Name the fields to read with fields=[…].",
        )
    return _check_types(Document(item.get("text", ""), key, item.get("title"), rest), position)


def _check_types(document: Document, position: int) -> Document:
    """Return the document with its id as text, and without a missing title."""
    id_: Any = to_id(document.id)
    title = None if is_missing(document.title) else document.title
    for name, value, allowed in (
        ("text", document.text, "text"),
        ("id", id_, "text, a whole number or a UUID"),
        ("title", title, "text"),
    ):
        if not isinstance(value, str) and (name == "text" or value is not None):
            raise InputError(
                f"Document {position} has {name} = {value!r:.80}", why=f"it must be {allowed}"
            )
    if id_ is document.id and title is document.title:
        return document
    return replace(document, id=id_, title=title)
