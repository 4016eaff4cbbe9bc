"""A transformer for PyTerrier pipelines, which needs no Java."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondpass.errors import InputError, MissingExtraError
from secondpass.integrations.shared import Adapted, RerankerLike, check_options
from secondpass.rerank.inputs import check_count
from secondpass.types import Document

try:
    import pandas as pd
    import pyterrier as pt
except ImportError as error:
    raise MissingExtraError(__name__, package="pyterrier", extra="pyterrier") from error


class SecondpassReranker(pt.Transformer):
    """Orders the documents of each query; takes and gives a frame, and changes none.

    - `reranker`: a reranker, or the name of one (see `Reranker`).
    - `text_field`: the column that is read.
    - `top_n`: how many documents to keep of each query, at least 1; None keeps all.
    - `options`: further arguments of `BaseReranker.rerank`; `fields` and `template` can name
      any column ("text" is that of `text_field`).

    The frame has qid, query, docno and the text. Its first-stage order is that of rank, or
    else of score, or else of the rows. Comes back with rank from 0, score and
    rerank_status ("fallback" where the scores only keep the first stage's order), sorted.
    Raises pt.validate.InputValidationError for a missing column, `InputError` for what cannot
    be used and `ModelError` if the reranker fails.
    """

    def __init__(
        self,
        reranker: RerankerLike = "bundled",
        *,
        text_field: str = "text",
        top_n: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.text_field, self.top_n = text_field, check_count("top_n", top_n)
        self.adapted = Adapted(reranker, check_options(options))

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """Return the rows in their new order, query by query."""
        pt.validate.result_frame(inp, extra_columns=["query", self.text_field], context=self)
        groups = [
            self._ranked(rows) for _, rows in inp.groupby("qid", sort=False, dropna=False)
        ]
        ranked = (
            pd.concat(groups) if groups else inp.assign(score=0.0, rank=0, rerank_status="")
        )
        return ranked.astype({"score": float, "rank": int}).reset_index(drop=True)

    def _ranked(self, rows: pd.DataFrame) -> pd.DataFrame:
        if rows["query"].nunique(dropna=False) > 1:
            raise InputError(f"The query {rows['qid'].iloc[0]!r} has more than one text")
        if "rank" in rows:
            rows = rows.sort_values("rank", kind="stable")
        elif "score" in rows:
            rows = rows.sort_values("score", kind="stable", ascending=False)
        given = [
            Document(row[self.text_field], str(row["docno"]), metadata=row)
            for row in rows.to_dict("records")
        ]
        response = self.adapted.rerank(rows["query"].iloc[0], given, self.top_n)
        results = response.results
        return rows.iloc[[r.index for r in results]].assign(
            score=[r.score for r in results],
            rank=range(len(results)),
            rerank_status=response.status.value,
        )
