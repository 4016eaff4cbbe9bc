"""Reading and writing of training examples, and the split into training and held-out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from secondpass.errors import InputError
from secondpass.inference.unicode import clean
from secondpass.retrieve.loaders.jsonl import plain_or_gzipped, rows
from secondpass.train.data.beir import read_beir
from secondpass.train.data.examples import (
    Examples,
    Group,
    check_indices,
    normalize_text,
    read_pairs,
)
from secondpass.train.export.atomic_folder import replace_folder

__all__ = ["GROUPS", "Examples", "Group", "read_examples", "split_groups", "write_examples"]

PASSAGES = "passages.jsonl"
GROUPS = "groups.jsonl"


def read_examples(path: str | Path, *, split: str = "train") -> Examples:
    """Read pairs, a collection in BEIR layout, or what `write_examples` wrote.

    - A file: JSON lines, gzipped or not, with `query`, `positive` and optional `title` (of
      the positive), `negatives` (a list of texts) and `source`. Rows with the same query
      become one group.
    - A folder with `corpus.jsonl`, `queries.jsonl` and `qrels/`: `split` names the file in
      `qrels/`. A grade above 0 makes a positive, any other a negative.
    - A folder with `passages.jsonl` and `groups.jsonl`.

    In the first two, identical passages are stored once. Raises InputError, with file and
    line, for an invalid row, and if there is no group at all; ReadError for a file that is
    damaged or not UTF-8.
    """
    path = Path(path)
    if path.is_file():
        examples = read_pairs(path)
    elif (path / GROUPS).is_file():
        examples = _read_folder(path)
    elif plain_or_gzipped(path / "corpus.jsonl") is not None:
        examples = read_beir(path, split)
    else:
        raise InputError(
            "there are no examples",
            where=str(path),
            why="the folder has no corpus.jsonl or groups.jsonl"
            if path.is_dir()
            else "there is no such file or folder",
            fix='Give JSON lines like {"query": "…", "positive": "…"}, or a BEIR folder.',
        )
    if not examples.groups:
        raise InputError(
            "there are no examples", where=str(path), why="no query has a positive"
        )
    return examples


def write_examples(examples: Examples, folder: str | Path, *, force: bool = False) -> None:
    """Write `passages.jsonl` and `groups.jsonl` to a folder, both or neither.

    Lone surrogates become U+FFFD. Raises InputError if the folder is not empty; with `force`,
    a folder of examples is replaced.
    """
    with replace_folder(Path(folder), GROUPS, force=force) as temporary:
        _write_lines(
            temporary / PASSAGES, ({"text": clean(text)} for text in examples.passages)
        )
        _write_lines(temporary / GROUPS, (_group_row(group) for group in examples.groups))


def split_groups(examples: Examples, share: float, seed: int) -> tuple[Examples, Examples]:
    """Return the examples to train on and the held-out ones, about `share` (0 to 1) of all.

    A hash of the query's words and the seed decides, so that a query stays on its side
    whatever other queries there are, together with its near duplicates (case, punctuation,
    spacing). Both sides keep all passages. Raises InputError for a share outside 0 to 1.
    """
    if not 0 <= share <= 1:
        raise InputError("the share to hold out is not between 0 and 1", why=f"it is {share!r}")
    sides: tuple[list[Group], list[Group]] = ([], [])
    for group in examples.groups:
        text = f"{seed}\n{normalize_text(clean(group.query))}"
        digest = hashlib.sha256(text.encode()).digest()
        sides[int.from_bytes(digest[:8]) < share * 2**64].append(group)
    passages = examples.passages
    return Examples(passages, sides[0]), Examples(passages, sides[1])


def _read_folder(folder: Path) -> Examples:
    file = folder / PASSAGES
    if not file.is_file():
        raise InputError(f"there is no {PASSAGES}", where=str(folder))
    passages = [clean(row.text("text")) for row in rows(file)]
    groups = []
    for row in rows(folder / GROUPS):
        try:
            group = Group(
                clean(row.text("query")),
                row.places("positives"),
                row.places("negatives"),
                clean(row.optional("source")),
                row.numbers("scores"),
            )
            check_indices(group, len(passages))
        except InputError as error:
            if error.where == row.where:
                raise
            raise row.wrong(str(error)) from error
        groups.append(group)
    return Examples(passages, groups)


def _group_row(group: Group) -> dict[str, Any]:
    row: dict[str, Any] = {
        "query": clean(group.query),
        "positives": group.positives,
        "negatives": group.negatives,
    }
    if group.source:
        row["source"] = clean(group.source)
    if group.scores is not None:
        row["scores"] = group.scores
    return row


def _write_lines(file: Path, values: Iterable[Mapping[str, Any]]) -> None:
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        for value in values:
            stream.write(json.dumps(value, ensure_ascii=False) + "\n")
