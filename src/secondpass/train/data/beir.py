"""Test collections in BEIR layout, read as training examples.

BEIR is Thakur et al., 2021, arXiv 2104.08663.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from secondpass.errors import InputError, nearest
from secondpass.retrieve.loaders.base import lines
from secondpass.retrieve.loaders.jsonl import plain_or_gzipped, rows
from secondpass.retrieve.store_protocol import searchable
from secondpass.train.data.examples import Examples, ExamplesBuilder


def read_beir(folder: Path, split: str) -> Examples:
    """Read `corpus.jsonl`, `queries.jsonl` and `qrels/SPLIT.tsv`, each gzipped or not.

    A grade above 0 makes a positive, any other a negative. All passages of the corpus are
    kept; those without text are skipped, with their judgments. Raises InputError that names
    the invalid line, or the missing file.
    """
    qrels = plain_or_gzipped(folder / "qrels" / f"{split}.tsv")
    if qrels is None:
        files = (folder / "qrels").glob("*.tsv*")
        splits = sorted({file.name.partition(".tsv")[0] for file in files})
        raise InputError(
            f"there is no split {split!r}",
            where=str(folder / "qrels"),
            fix=nearest(split, splits) if splits else "Name a folder that has qrels.",
        )
    builder = ExamplesBuilder()
    passages: dict[str, int | None] = {}
    for row in rows(_file(folder, "corpus.jsonl")):
        title, text = row.optional("title"), row.optional("text")
        passage = searchable(title if title else None, text)
        passages[row.name("_id")] = builder.add_passage(passage) if passage.strip() else None
    queries = {
        row.name("_id"): row.text("text") for row in rows(_file(folder, "queries.jsonl"))
    }
    for where, query_id, passage_id, grade in _judgments(qrels):
        for kind, name, known_ids in (
            ("query", query_id, queries),
            ("passage", passage_id, passages),
        ):
            if name not in known_ids:
                raise InputError(
                    f"a judgment is for {kind} {name!r}",
                    where=where,
                    why=f"there is no {kind} with that id",
                )
        index = passages[passage_id]
        if index is not None:
            builder.add_judgment(
                queries[query_id], index, positive=grade > 0, source=folder.name
            )
    return builder.build()


def _file(folder: Path, name: str) -> Path:
    file = plain_or_gzipped(folder / name)
    if file is None:
        raise InputError(f"there is no {name} or {name}.gz", where=str(folder))
    return file


def _judgments(file: Path) -> Iterator[tuple[str, str, str, float]]:
    """Yield where each judgment is, its query id, its passage id and its grade."""
    for number, line in lines(file):
        cells = line.rstrip("\r\n").split("\t")
        # The first line may be a header.
        if cells == [""] or (number == 1 and _number(cells[-1]) is None):
            continue
        grade = _number(cells[-1])
        where = f"{file}, line {number}"
        if len(cells) != 3 or grade is None:
            raise InputError(
                "a judgment cannot be read",
                where=where,
                why=f"the line is {line.strip()[:80]!r}",
                fix="Each line must be: query id, tab, passage id, tab, a number.",
            )
        yield where, cells[0], cells[1], grade


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
