"""A transformer for PyTerrier pipelines; needs no Java."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondpass.errors import InputError, MissingExtraError
from secondpass.integrations.shared import RerankerAdapter, RerankerLike, check_options
from secondpass.rerank.inputs import check_count
from secondpass.types import Document, RerankResponse

try:
    import pandas as pd
    import pyterrier as pt
except ImportError as error:
    raise MissingExtraError(__name__, package="pyterrier", extra="pyterrier") from error


class SecondpassReranker(pt.Transformer):
    """Ranks the documents of each query; returns a new frame.

    - `reranker`: a reranker, or the name of one (see `Reranker`).
    - `text_field`: the column with the text.
    - `top_n`: how many documents to return for each query, at least 1; None returns all.
    - `options`: further arguments of `BaseReranker.rerank`; `fields` and `template` can name
      any column ("text" is that of `text_field`).

    The input frame needs qid, query, docno and the text. The order of the first stage is that
    of rank, or else of score, or else of the rows. The output is sorted, with rank from 0,
    score and rerank_status ("fallback" if the scores only keep that order, "no text" for rows
    whose text is None or NaN, which are last). A number as text is read as its digits. Raises
    pt.validate.InputValidationError for a missing column, `InputError` for invalid arguments
    and `ModelError` if the reranker fails.
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
        checked = check_options(options, no_spans_in="result frames")
        self.adapter = RerankerAdapter(reranker, checked)

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """Return the rows in their new order, query by query."""
        pt.validate.result_frame(inp, extra_columns=["query", self.text_field], context=self)
        groups = [
            self._rerank(rows) for _, rows in inp.groupby("qid", sort=False, dropna=False)
        ]
        ranked = (
            pd.concat(groups) if groups else inp.assign(score=0.0, rank=0, rerank_status="")
        )
        return ranked.astype({"score": float, "rank": int}).reset_index(drop=True)

    def _rerank(self, rows: pd.DataFrame) -> pd.DataFrame:
        if rows["query"].nunique(dropna=False) > 1:
            raise InputError(f"The query {rows['qid'].iloc[0]!r} has more than one text")
        if "rank" in rows:
            rows = rows.sort_values("rank", kind="stable")
        elif "score" in rows:
            rows = rows.sort_values("score", kind="stable", ascending=False)
        candidates = _to_candidates(rows, self.text_field, self.adapter)
        response = self.adapter.rerank(rows["query"].iloc[0], candidates, self.top_n)
        textless = {i for i, candidate in enumerate(candidates) if candidate is None}
        return _to_ranked(rows, response, textless)


def _to_candidates(
    rows: pd.DataFrame, text_field: str, adapter: RerankerAdapter
) -> list[Document | None]:
    """Convert the rows; None stands for one without text, which pandas also writes as NaN."""
    documents: list[Document | None] = []
    for row in rows.to_dict("records"):
        text = row[text_field]
        text = None if pd.api.types.is_scalar(text) and pd.isna(text) else text
        # One number makes a column of mixed types of all texts.
        text = str(text) if pd.api.types.is_number(text) else text
        if adapter.missing_text(text):
            documents.append(None)
        else:
            text = "" if text is None else text
            documents.append(Document(text, str(row["docno"]), metadata=row))
    return documents


def _to_ranked(
    rows: pd.DataFrame, response: RerankResponse, textless: set[int]
) -> pd.DataFrame:
    """Return the rows in their new order, with the outcome."""
    results = response.results
    return rows.iloc[[r.index for r in results]].assign(
        score=[r.score for r in results],
        rank=range(len(results)),
        rerank_status=[
            "no text" if r.index in textless else response.status.value for r in results
        ],
    )
