"""Runs: what a system found for each query, with scores; TREC files and JSON lines.

All queries of a collection through an index, as a run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from secondpass.errors import InputError
from secondpass.evaluate.first_stage import judged_id
from secondpass.evaluate.text_files import check_cells, is_json, split_lines, write_lines
from secondpass.inference.tokenizer import clean
from secondpass.retrieve.loaders.jsonl import rows
from secondpass.types import Document

if TYPE_CHECKING:
    from secondpass.index.index import Index, SearchOptions


_FIX = "Each line must be: query id, Q0, document id, rank, score, name of the run."


@dataclass(frozen=True)
class Run:
    """The documents that a system found for each query, with their scores.

    Documents stand by falling score, ties by falling id, as trec_eval orders them; scores
    count as it reads them, in single precision. Ranks that a file states are not used.
    Raises InputError for a score that is not finite.
    """

    name: str
    scores: Mapping[str, Mapping[str, float]] = field(repr=False)

    def __post_init__(self) -> None:
        for query, found in self.scores.items():
            for document, score in found.items():
                if not math.isfinite(score):
                    raise InputError(
                        f"run {self.name!r}: document {document!r} of query {query!r} has"
                        f" the score {score}",
                        fix="Every score must be a finite number.",
                    )

    @classmethod
    def from_rankings(cls, name: str, rankings: Mapping[str, Sequence[str]]) -> Run:
        """Return a run of ranked ids, best first; a document that stands twice counts once."""
        return cls(
            name,
            {
                query: {d: -float(rank) for rank, d in enumerate(dict.fromkeys(ids), 1)}
                for query, ids in rankings.items()
            },
        )

    @classmethod
    def read(cls, path: str | Path, *, name: str | None = None) -> Run:
        """Read a TREC run or JSON lines with `query_id`, `doc_id` and `score`, or gzipped.

        The name is that of the file unless it is given. Raises InputError naming the line
        for a document that stands twice or a score that is no finite number, and for a
        file without lines; ReadError for a damaged file.
        """
        path = Path(path)
        found: dict[str, dict[str, float]] = {}
        for where, query, document, score in _from_json(path) if is_json(path) else _trec(path):
            ranked = found.setdefault(query, {})
            if document in ranked:
                raise InputError(
                    f"document {document!r} stands twice for query {query!r}", where=where
                )
            ranked[document] = score
        if not found:
            raise InputError("the run is empty", where=str(path), fix=_FIX)
        stem = path.name.removesuffix(".gz").rpartition(".")
        return cls((stem[0] if stem[0] else stem[2]) if name is None else name, found)

    def write(self, path: str | Path) -> None:
        """Write JSON lines to a name that ends in `.jsonl`, else TREC; `.gz` is compressed.

        Scores are written in full, so that a run that is read again is the same. Raises
        InputError for an id or a name with white space in a TREC file.
        """
        path = Path(path)
        ranked = [
            (query, document, rank, self.scores[query][document])
            for query in self.scores
            for rank, document in enumerate(self.ranking(query), 1)
        ]
        if is_json(path):
            objects = ({"query_id": q, "doc_id": d, "score": s} for q, d, _, s in ranked)
            write_lines(path, (json.dumps(one, ensure_ascii=False) for one in objects))
            return
        name = "-".join(self.name.split()) or "run"
        for query, document, _, _ in ranked:
            check_cells("run", query, document)
        write_lines(path, (f"{q} Q0 {d} {rank} {s!r} {name}" for q, d, rank, s in ranked))

    def ranking(self, query: str) -> list[str]:
        """Return the ids found for a query, best first; empty for an unknown query."""
        found = self.scores.get(query, {})
        order = sorted(found, reverse=True)
        return sorted(order, key=lambda document: -_single(found[document]))

    @property
    def ties(self) -> int:
        """How many documents share their score with another one of the same query."""
        total = 0
        for found in self.scores.values():
            values = [_single(score) for score in found.values()]
            total += len(values) - len(set(values))
        return total


def apart(scores: Sequence[float]) -> list[float]:
    """Return falling scores of an order, moved apart as little as single precision needs.

    So a run keeps the order that a response had, ties included.
    """
    moved: list[float] = []
    for score in scores:
        value = np.float32(score)
        if moved and value >= moved[-1]:
            value = np.nextafter(np.float32(moved[-1]), np.float32(-np.inf))
        moved.append(float(value))
    return moved


def _single(score: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(score))


def _from_json(path: Path) -> Iterator[tuple[str, str, str, float]]:
    for row in rows(path):
        score: Any = row.values.get("score")
        number = isinstance(score, int | float) and not isinstance(score, bool)
        if not number or not math.isfinite(float(score)):
            raise row.wrong(f"'score' is {score!r}, and must be a finite number")
        yield row.where, clean(row.name("query_id")), clean(row.name("doc_id")), float(score)


def _trec(path: Path) -> Iterator[tuple[str, str, str, float]]:
    for line in split_lines(path, None):
        if len(line.cells) != 6:
            raise line.wrong(f"it has {len(line.cells)} columns, not 6", _FIX)
        query, _, document, _, text, _ = line.cells
        try:
            score = float(text)
        except ValueError:
            raise line.wrong(f"the score {text!r} is no number", _FIX) from None
        if not math.isfinite(score):
            raise line.wrong(f"the score is {text}, and must be finite", _FIX)
        yield line.where, query, document, score


def search_all(
    index: Index,
    queries: Mapping[str, str],
    *,
    name: str = "search",
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[SearchOptions],
) -> Run:
    """Return what `Index.search` finds for every query with these options.

    All candidates are kept unless `top_k` is given. A document stands once, where its best
    passage is; scores that tie are moved apart so that the order of the search stays.
    `progress` is called with (done, total).
    """
    scores: dict[str, dict[str, float]] = {}
    wanted: SearchOptions = {"top_k": None, **options}
    for done, (query, text) in enumerate(queries.items(), 1):
        response = index.search(text, **wanted)
        found: dict[str, float] = {}
        for result in response.results:
            document = (
                Document("", id=result.id) if result.document is None else result.document
            )
            found.setdefault(judged_id(document), result.score)
        moved = apart(list(found.values()))
        scores[query] = dict(zip(found, moved, strict=True))
        if progress is not None:
            progress(done, len(queries))
    return Run(name, scores)
