"""A reranker for LanceDB's vector, full-text and hybrid searches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondpass.errors import InputError, MissingExtraError, nearest
from secondpass.integrations.shared import RerankerAdapter, RerankerLike, check_options
from secondpass.rerank.inputs import check_count
from secondpass.retrieve.fusion import rrf
from secondpass.types import Candidate, Document, RerankResponse

try:
    import pyarrow as pa
    from lancedb.rerankers import Reranker
except ImportError as error:
    raise MissingExtraError(__name__, package="lancedb", extra="lancedb") from error


class SecondpassReranker(Reranker):
    """Ranks the rows that a search of LanceDB returns.

    - `reranker`: a reranker, or the name of one (see `Reranker`). `Blend` gets
      `_score` as BM25 score, and minus `_distance` as vector score.
    - `column`: the column with the text.
    - `return_score`: "relevance", or "all" to keep `_distance` and `_score`.
    - `top_n`: how many rows to return, at least 1; None leaves that to the search's limit.
    - `options`: further arguments of `BaseReranker.rerank`; `fields` and `template` can name
      any column ("text" is that of `column`).

    `_relevance_score` is null for rows that were not scored; rows whose text is null are last,
    and their number is in `secondpass.reason`. A fallback keeps the order, that
    of reciprocal rank fusion for a hybrid search. The metadata of the table's schema has
    `secondpass.status`, and where known `secondpass.model` and `secondpass.reason`. Raises
    `InputError` for invalid arguments and `ModelError` if the reranker fails.
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
        checked = check_options(options, no_spans_in="result tables")
        self.adapter = RerankerAdapter(reranker, checked)

    def rerank_hybrid(
        self, query: str, vector_results: pa.Table, fts_results: pa.Table
    ) -> pa.Table:
        """Return the rows of either search, each once, in their new order."""
        return self._rerank(query, _fuse(vector_results, fts_results))

    def rerank_vector(self, query: str, vector_results: pa.Table) -> pa.Table:
        """Return the rows of a vector search in their new order."""
        return self._rerank(query, vector_results)

    def rerank_fts(self, query: str, fts_results: pa.Table) -> pa.Table:
        """Return the rows of a full-text search in their new order."""
        return self._rerank(query, fts_results)

    def _rerank(self, query: str, rows: pa.Table) -> pa.Table:
        # A full-text query may be an object (MatchQuery, PhraseQuery) that holds the text.
        text = query if isinstance(query, str) else getattr(query, "query", query)
        candidates = _to_candidates(rows, self.column, self.adapter)
        response = self.adapter.rerank(text, candidates, self.top_n)
        return _to_ranked(rows, response, keep_scores=self.score == "all")


def _to_candidates(
    rows: pa.Table, column: str, adapter: RerankerAdapter
) -> list[Candidate | None]:
    """Return the rows as candidates, without the columns that hold lists (vectors).

    None stands for a row without text.
    `_score` is the BM25 score, and minus `_distance` the vector score. Raises `InputError` if
    the column with the text is missing.
    """
    if column not in rows.column_names:
        raise InputError(
            f"The search returned no column {column!r}", fix=nearest(column, rows.column_names)
        )
    columns = [field.name for field in rows.schema if not _is_list(field.type)]
    return [
        None if adapter.missing_text(row[column]) else _to_candidate(row, column)
        for row in rows.select(columns).to_pylist()
    ]


def _to_candidate(row: dict[str, Any], column: str) -> Candidate:
    distance, text = row.get("_distance"), row[column]
    return Candidate(
        Document("" if text is None else text, metadata=row),
        bm25=row.get("_score"),
        vector=None if distance is None else -distance,
    )


def _to_ranked(rows: pa.Table, response: RerankResponse, *, keep_scores: bool) -> pa.Table:
    """Return the rows in their new order with `_relevance_score`, null if not scored.

    Drops `_distance` and `_score` unless `keep_scores`.
    """
    results = response.results
    ranked = rows.take(pa.array([r.index for r in results], pa.int64()))
    relevance = [r.score if r.scored else None for r in results]
    ranked = ranked.append_column("_relevance_score", pa.array(relevance, pa.float32()))
    if not keep_scores:
        scores = [name for name in ("_distance", "_score") if name in ranked.column_names]
        ranked = ranked.drop_columns(scores)
    outcome = {
        "secondpass.status": response.status.value,
        "secondpass.model": response.model,
        "secondpass.reason": response.reason,
    }
    metadata = {name: value for name, value in outcome.items() if value is not None}
    return ranked.replace_schema_metadata({**(ranked.schema.metadata or {}), **metadata})


def _fuse(vector_rows: pa.Table, fts_rows: pa.Table) -> pa.Table:
    """Return the rows of both once, with both scores, in order of reciprocal rank fusion."""
    if not len(vector_rows) or not len(fts_rows):
        return fts_rows if len(fts_rows) else vector_rows
    rows = pa.concat_tables([vector_rows, fts_rows], promote_options="default")
    ids = rows["_rowid"].to_pylist()
    # The first position of each row.
    positions = {id_: position for position, id_ in reversed(list(enumerate(ids)))}
    bm25 = dict(zip(ids[len(vector_rows) :], fts_rows["_score"].to_pylist(), strict=True))
    rankings = [
        [(str(id_), -rank) for rank, id_ in enumerate(table["_rowid"].to_pylist())]
        for table in (vector_rows, fts_rows)
    ]
    order = [int(id_) for id_, _ in rrf(rankings)]
    scores = pa.array([bm25.get(id_) for id_ in order], fts_rows["_score"].type)
    fused = rows.take([positions[id_] for id_ in order])
    return fused.set_column(fused.column_names.index("_score"), "_score", scores)


def _is_list(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(type_)
        or pa.types.is_large_list(type_)
        or pa.types.is_fixed_size_list(type_)
    )
