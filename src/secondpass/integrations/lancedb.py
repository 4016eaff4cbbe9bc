"""A reranker for LanceDB's own searches: by vector, by words, or by both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondpass.errors import MissingExtraError
from secondpass.integrations.shared import Adapted, RerankerLike, check_options
from secondpass.rerank.inputs import check_count

try:
    import pyarrow as pa
    from lancedb.rerankers import Reranker

    from secondpass.integrations.lancedb_rows import fused, to_candidates, to_table
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
