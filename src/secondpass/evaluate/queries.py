"""Query files: JSON lines, tab-separated, one query a line, or a BEIR folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from secondpass.errors import InputError
from secondpass.evaluate.text_files import is_json, split_lines
from secondpass.inference.tokenizer import clean
from secondpass.retrieve.loaders.jsonl import plain_or_gzipped, rows

_ID_KEYS = ("_id", "id", "query_id", "qid")
_TEXT_KEYS = ("text", "query", "question", "title")


def read_queries(path: Path) -> dict[str, str]:
    """Return the text of each query by id, in the order of the file.

    Reads a BEIR folder (its `queries.jsonl`), JSON lines with `_id` (or `id`, `query_id`)
    and `text` (or `query`), lines of id, tab, text, or, where no line has a tab, one query
    a line, whose id is the number of its line, as in "q3"; all of them gzipped or not. A
    query that is repeated with the same text counts once. Raises InputError for two texts
    of one id, a query without text, or a file without queries; ReadError for a damaged
    file.
    """
    file = plain_or_gzipped(path / "queries.jsonl") if path.is_dir() else path
    if file is None:
        raise InputError("there is no queries.jsonl or queries.jsonl.gz", where=str(path))
    queries: dict[str, str] = {}
    for where, name, text in _from_json(file) if is_json(file) else _from_columns(file):
        if queries.setdefault(name, text) != text:
            raise InputError(f"query {name!r} has two texts", where=where)
    if not queries:
        raise InputError("there are no queries", where=str(file))
    return queries


def _from_json(file: Path) -> Iterator[tuple[str, str, str]]:
    for row in rows(file):
        id_key = next((key for key in _ID_KEYS if key in row.values), _ID_KEYS[0])
        text_key = next((key for key in _TEXT_KEYS if key in row.values), _TEXT_KEYS[0])
        yield row.where, clean(row.name(id_key)), clean(row.text(text_key))


def _from_columns(file: Path) -> Iterator[tuple[str, str, str]]:
    lines = list(split_lines(file, "\t"))
    if all(len(line.cells) == 1 for line in lines):
        for line in lines:
            yield line.where, f"q{line.number}", line.text.strip()
        return
    for line in lines:
        if len(line.cells) != 2 or not all(cell.strip() for cell in line.cells):
            raise line.error("it is not id, tab, text", "Name a .jsonl file, or use tabs.")
        yield line.where, line.cells[0].strip(), line.cells[1].strip()
