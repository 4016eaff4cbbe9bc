"""Runs: the documents that a system retrieved for each query; TREC files and JSON lines."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from secondpass.errors import InputError
from secondpass.evaluate.text_files import check_trec_ids, is_json, split_lines, write_lines
from secondpass.inference.unicode import clean
from secondpass.retrieve.loaders.jsonl import rows

if TYPE_CHECKING:
    from secondpass.index.search import Search
    from secondpass.options import SearchOptions


_FIX = "Each line must be: query id, Q0, document id, rank, score, name of the run."


@dataclass(frozen=True)
class Run:
    """The documents that a system retrieved for each query, with their scores.

    Documents are ordered by falling score, ties by falling id, as in trec_eval; scores are
    compared in single precision, as it reads them. Ranks in a file are not used. Raises
    InputError for a score that is not finite.
    """

    name: str
    scores: Mapping[str, Mapping[str, float]] = field(repr=False)

    def __post_init__(self) -> None:
        for query, scores in self.scores.items():
            for document, score in scores.items():
                if not math.isfinite(score):
                    raise InputError(
                        f"run {self.name!r}: document {document!r} of query {query!r} has"
                        f" the score {score}",
                        fix="Every score must be a finite number.",
                    )

    @classmethod
    def from_rankings(cls, name: str, rankings: Mapping[str, Sequence[str]]) -> Run:
        """Return a run of ranked ids, best first; a repeated document counts once."""
        return cls(
            name,
            {
                query: {d: -float(rank) for rank, d in enumerate(dict.fromkeys(ids), 1)}
                for query, ids in rankings.items()
            },
        )

    @classmethod
    def read(cls, path: str | Path, *, name: str | None = None) -> Run:
        """Read a TREC run or JSON lines with `query_id`, `doc_id` and `score`.

        The file may be gzipped; its name is that of the run unless `name` is given. Raises
        InputError with the line for a repeated document or a score that is not a finite
        number, and for an empty file; ReadError for a damaged file.
        """
        path = Path(path)
        scores: dict[str, dict[str, float]] = {}
        rows = _read_json(path) if is_json(path) else _read_trec(path)
        for where, query, document, score in rows:
            query_scores = scores.setdefault(query, {})
            if document in query_scores:
                raise InputError(
                    f"document {document!r} is repeated for query {query!r}", where=where
                )
            query_scores[document] = score
        if not scores:
            raise InputError("the run is empty", where=str(path), fix=_FIX)
        if name is None:
            file_name = path.name.removesuffix(".gz")
            stem = file_name.rpartition(".")[0]
            name = stem if stem else file_name
        return cls(name, scores)

    def write(self, path: str | Path) -> None:
        """Write JSON lines to a name that ends in `.jsonl`, else TREC; `.gz` is compressed.

        Scores are written in full, so that reading the file gives the same run. Raises
        InputError for an id with white space in a TREC file.
        """
        path = Path(path)
        ranked = [
            (query, document, rank, self.scores[query][document])
            for query in self.scores
            for rank, document in enumerate(self.ranking(query), 1)
        ]
        if is_json(path):
            objects = ({"query_id": q, "doc_id": d, "score": s} for q, d, _, s in ranked)
            write_lines(path, (json.dumps(row, ensure_ascii=False) for row in objects))
            return
        name = "-".join(self.name.split()) or "run"
        for query, document, _, _ in ranked:
            check_trec_ids("run", query, document)
        write_lines(path, (f"{q} Q0 {d} {rank} {s!r} {name}" for q, d, rank, s in ranked))

    def ranking(self, query: str) -> list[str]:
        """Return the ids retrieved for a query, best first; empty for an unknown query."""
        scores = self.scores.get(query, {})
        by_falling_id = sorted(scores, reverse=True)
        return sorted(by_falling_id, key=lambda document: -_single(scores[document]))

    @property
    def ties(self) -> int:
        """How many documents share their score with another one of the same query."""
        total = 0
        for scores in self.scores.values():
            values = [_single(score) for score in scores.values()]
            total += len(values) - len(set(values))
        return total


def separate_ties(scores: Sequence[float]) -> list[float]:
    """Return strictly falling scores, changed as little as single precision needs.

    So a run keeps the order of a response, where ties would be reordered by id.
    """
    separated: list[float] = []
    for score in scores:
        value = np.float32(score)
        if separated and value >= separated[-1]:
            value = np.nextafter(np.float32(separated[-1]), np.float32(-np.inf))
        separated.append(float(value))
    return separated


def _single(score: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(score))


def _read_json(path: Path) -> Iterator[tuple[str, str, str, float]]:
    for row in rows(path):
        score: Any = row.values.get("score")
        number = isinstance(score, int | float) and not isinstance(score, bool)
        if not number or not math.isfinite(float(score)):
            raise row.wrong(f"'score' is {score!r}, and must be a finite number")
        yield row.where, clean(row.name("query_id")), clean(row.name("doc_id")), float(score)


def _read_trec(path: Path) -> Iterator[tuple[str, str, str, float]]:
    for line in split_lines(path, None):
        if len(line.cells) != 6:
            raise line.error(f"it has {len(line.cells)} columns, not 6", _FIX)
        query, _, document, _, text, _ = line.cells
        try:
            score = float(text)
        except ValueError:
            raise line.error(f"the score {text!r} is not a number", _FIX) from None
        if not math.isfinite(score):
            raise line.error(f"the score is {text}, and must be finite", _FIX)
        yield line.where, query, document, score


def search_all(
    index: Search,
    queries: Mapping[str, str],
    *,
    name: str = "search",
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[SearchOptions],
) -> Run:
    """Search an index for every query, with the options of `Index.search`.

    All candidates are kept unless `top_k` is given. A document has the rank of its best
    passage; tied scores are separated so that the order of the search stays. `progress` is
    called with (done, total).
    """
    scores: dict[str, dict[str, float]] = {}
    search_options: SearchOptions = {"top_k": None, **options}
    for done, (query, text) in enumerate(queries.items(), 1):
        response = index.search(text, **search_options)
        document_scores: dict[str, float] = {}
        for result in response.results:
            document_scores.setdefault(str(result.document_id), result.score)
        separated = separate_ties(list(document_scores.values()))
        scores[query] = dict(zip(document_scores, separated, strict=True))
        if progress is not None:
            progress(done, len(queries))
    return Run(name, scores)
