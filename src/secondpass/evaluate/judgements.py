"""Grades of (query, document) pairs, and the queries, as files have them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from secondpass.errors import InputError

Grades = dict[str, dict[str, int]]
"""Query id → document id → grade."""

HEADER = "query-id\tcorpus-id\tscore"


def read_queries(file: Path) -> dict[str, str]:
    """Return the queries of a file by id: JSON lines, `id TAB text`, or one a line.

    JSON lines have `_id` (or `id`) and `text` (or `query`). A query without an id has its
    line number, as in "q3". Raises `InputError` for a line that cannot be used, a repeated
    id, or no query at all.
    """
    found: dict[str, str] = {}
    for number, line in _lines(file):
        name, text = _query(file, number, line)
        if not text.strip():
            raise InputError("A query is empty", where=f"{file}, line {number}")
        if name in found:
            raise InputError(f"The query id {name!r} is there twice", where=str(file))
        found[name] = text.strip()
    if not found:
        raise InputError("There are no queries", where=str(file))
    return found


def read_grades(file: Path) -> Grades:
    """Return the grades of a file: BEIR (three columns, tabs) or TREC (four columns).

    Of a pair that is there more than once, the last grade counts, as when a judgement is
    taken back. Raises `InputError` for a line that cannot be used.
    """
    found: Grades = {}
    for number, line in _lines(file):
        cells = line.split("\t") if "\t" in line else line.split()
        if number == 1 and cells[-1].strip().lower() in ("score", "relevance", "grade"):
            continue
        if len(cells) not in (3, 4):
            raise _bad(file, number, line)
        query, document, grade = cells[0], cells[-2], cells[-1]
        try:
            value = float(grade)
            if value != int(value):
                raise ValueError(grade)
        except (ValueError, OverflowError) as error:
            raise _bad(file, number, line) from error
        found.setdefault(query, {})[document] = int(value)
    return found


def _bad(file: Path, number: int, line: str) -> InputError:
    return InputError(
        "A grade cannot be read",
        where=f"{file}, line {number}",
        why=f"the line is {line[:80]!r}",
        fix="Each line must be: query id, document id, a whole number, separated by tabs.",
    )


def _query(file: Path, number: int, line: str) -> tuple[str, str]:
    if line.lstrip().startswith("{"):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(
                "A query is not JSON", where=f"{file}, line {number}", why=str(error)
            ) from error
        text = row.get("text", row.get("query"))
        name = row.get("_id", row.get("id", f"q{number}"))
        if not isinstance(text, str) or not isinstance(name, str | int):
            raise InputError(
                "A query cannot be read",
                where=f"{file}, line {number}",
                fix='Each line must be like {"_id": "q1", "text": "…"}.',
            )
        return str(name), text
    name, tab, text = line.partition("\t")
    return (name.strip(), text) if tab else (f"q{number}", line)


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        data = file.read_bytes()
        text = (gzip.decompress(data) if file.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError("The file cannot be read", where=str(file), why=str(error)) from error
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.rstrip("\r")
