"""A reranker for LanceDB's own searches: by vector, by words, or by both.

Rows that a search of LanceDB found as candidates, and both its searches as one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondpass.errors import InputError, MissingExtraError, nearest
from secondpass.integrations.shared import Adapted, RerankerLike, check_options
from secondpass.rerank.inputs import check_count
from secondpass.retrieve.fusion import rrf
from secondpass.types import Candidate, Document, RerankResponse

try:
    import pyarrow as pa
    from lancedb.rerankers import Reranker
except ImportError as error:
    raise MissingExtraError(__name__, package="lancedb", extra="lancedb") from error


class SecondpassReranker(Reranker):
    """Orders the rows that a search of LanceDB found.

    - `reranker`: a reranker, or the name of one (see `Reranker`). `Blend` finds BM25's scores,
      and the distances as vector scores.
    - `column`: the column that is read.
    - `return_score`: "relevance", or "all" to keep `_distance` and `_score`.
    - `top_n`: how many rows to keep, at least 1; None leaves it to the search's limit.
    - `options`: further arguments of `BaseReranker.rerank`; `fields` and `template` can name
      any column ("text" is that of `column`).

    `_relevance_score` is null where a row was not scored (as after a fallback, which keeps the
    order: by reciprocal rank where both searches found rows). The metadata of the table's
    schema has `secondpass.status`, and `.model` and `.reason` where there are any. Raises
    `InputError` for what cannot be used and `ModelError` if the reranker fails.
    """

    def __init__(
        self,
        reranker: RerankerLike = "bundled",
        column: str = "text",
        return_score: str = "relevance",
        top_n: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(return_score)
        self.column, self.top_n = column, check_count("top_n", top_n)
        self.adapted = Adapted(reranker, check_options(options))

    def rerank_hybrid(
        self, query: str, vector_results: pa.Table, fts_results: pa.Table
    ) -> pa.Table:
        """Return what either search found, once, in the new order."""
        return self._reranked(query, fused(vector_results, fts_results))

    def rerank_vector(self, query: str, vector_results: pa.Table) -> pa.Table:
        """Return what a search by vector found in the new order."""
        return self._reranked(query, vector_results)

    def rerank_fts(self, query: str, fts_results: pa.Table) -> pa.Table:
        """Return what a search by words found in the new order."""
        return self._reranked(query, fts_results)

    def _reranked(self, query: str, found: pa.Table) -> pa.Table:
        # Of a query by words that is an object (MatchQuery, PhraseQuery) its words are meant.
        words = query if isinstance(query, str) else getattr(query, "query", query)
        response = self.adapted.rerank(words, to_candidates(found, self.column), self.top_n)
        return to_table(found, response, keep_scores=self.score == "all")


def to_candidates(found: pa.Table, column: str) -> list[Candidate]:
    """Return the rows as candidates, without the columns that hold lists (vectors).

    `_score` is the score by words and minus `_distance` the one by vectors. Raises
    `InputError` where the column to read is not there.
    """
    if column not in found.column_names:
        raise InputError(
            f"The search returned no column {column!r}", fix=nearest(column, found.column_names)
        )
    plain = [f.name for f in found.schema if not _holds_lists(f.type)]
    return [_candidate(row, column) for row in found.select(plain).to_pylist()]


def fused(by_vector: pa.Table, by_words: pa.Table) -> pa.Table:
    """Return the rows of both once, with both scores, in order of reciprocal rank fusion."""
    if not len(by_vector) or not len(by_words):
        return by_words if len(by_words) else by_vector
    both = pa.concat_tables([by_vector, by_words], promote_options="default")
    ids = both["_rowid"].to_pylist()
    places = {row: place for place, row in reversed(list(enumerate(ids)))}
    words = dict(zip(ids[len(by_vector) :], by_words["_score"].to_pylist(), strict=True))
    rankings = [
        [(str(row), -place) for place, row in enumerate(table["_rowid"].to_pylist())]
        for table in (by_vector, by_words)
    ]
    order = [int(name) for name, _ in rrf(rankings)]
    scores = pa.array([words.get(row) for row in order], by_words["_score"].type)
    rows = both.take([places[row] for row in order])
    return rows.set_column(rows.column_names.index("_score"), "_score", scores)


def to_table(found: pa.Table, response: RerankResponse, *, keep_scores: bool) -> pa.Table:
    """Return the rows in their new order with `_relevance_score`, null where not scored.

    `_distance` and `_score` go unless they are to be kept.
    """
    results = response.results
    ranked = found.take(pa.array([r.index for r in results], pa.int64()))
    relevance = [r.score if r.scored else None for r in results]
    ranked = ranked.append_column("_relevance_score", pa.array(relevance, pa.float32()))
    if not keep_scores:
        held = [name for name in ("_distance", "_score") if name in ranked.column_names]
        ranked = ranked.drop_columns(held)
    said = {"status": response.status.value, "model": response.model, "reason": response.reason}
    told = {f"secondpass.{name}": text for name, text in said.items() if text is not None}
    return ranked.replace_schema_metadata({**(ranked.schema.metadata or {}), **told})


def _holds_lists(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
    )


def _candidate(row: dict[str, Any], column: str) -> Candidate:
    distance, words = row.get("_distance"), row.get("_score")
    return Candidate(
        Document(row[column], metadata=row),
        bm25=words,
        vector=None if distance is None else -distance,
    )
