"""A ranker component for Haystack pipelines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from secondpass.errors import InputError, MissingExtraError
from secondpass.integrations.shared import (
    RerankerAdapter,
    RerankerLike,
    add_rerank_metadata,
    check_options,
    check_reranker,
)
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.inputs import check_count
from secondpass.types import Candidate, RerankResponse
from secondpass.types import Document as Text

try:
    from haystack import Document, component, default_to_dict
except ImportError as error:
    raise MissingExtraError(__name__, package="haystack-ai", extra="haystack") from error


@component
class SecondpassRanker:
    """Ranks documents by relevance to the query; the given documents are copied, not changed.

    - `reranker`: a reranker, or the name of one (see `Reranker`), which is loaded by
      `warm_up` or the first run. Only a pipeline with a name can be saved.
    - `top_k`: how many documents to return, at least 1; None returns all.
    - `options`: further arguments of `BaseReranker.rerank`. The text alone is read unless
      `fields` or `template` name metadata.

    Of documents with the same id the first is ranked. Documents without text are last, and
    their number is in `rerank_reason`. Documents that were not scored (these, and all after a
    fallback) keep their score. `add_rerank_metadata` says what is added to `meta`. Raises
    `InputError` for invalid arguments and `ModelError` if the reranker fails.
    """

    def __init__(
        self,
        reranker: RerankerLike = "bundled",
        top_k: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        check_reranker(reranker)
        self.reranker, self.top_k = reranker, check_count("top_k", top_k)
        self.options = check_options(options)
        self._adapter: RerankerAdapter | None = None

    def warm_up(self) -> None:
        """Load the reranker, unless it is loaded."""
        self._load()

    def _load(self) -> RerankerAdapter:
        if self._adapter is None:
            self._adapter = RerankerAdapter(self.reranker, self.options)
        return self._adapter

    def to_dict(self) -> dict[str, Any]:
        """Return the settings that a pipeline saves; raises `InputError` without a name."""
        if isinstance(self.reranker, BaseReranker):
            raise InputError(
                "A reranker object cannot be saved",
                fix="Pass the name of one, such as 'bundled'.",
            )
        settings = {"reranker": str(self.reranker), "top_k": self.top_k}
        return dict(default_to_dict(self, **settings, options=self.options))

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Return copies of the documents in their new order."""
        unique, top_k = _drop_duplicates(documents), self.top_k if top_k is None else top_k
        adapter = self._load()
        response = adapter.rerank(query, _to_candidates(unique, adapter), top_k)
        return {"documents": _to_ranked(unique, response)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Return the same as `run`, without blocking the event loop."""
        unique, top_k = _drop_duplicates(documents), self.top_k if top_k is None else top_k
        adapter = self._load()
        response = await adapter.arerank(query, _to_candidates(unique, adapter), top_k)
        return {"documents": _to_ranked(unique, response)}


def _drop_duplicates(documents: Sequence[Document]) -> list[Document]:
    """Return the first document of each id."""
    first: dict[str, Document] = {}
    for document in documents:
        first.setdefault(document.id, document)
    return list(first.values())


def _to_candidates(
    documents: Sequence[Document], adapter: RerankerAdapter
) -> list[Candidate | None]:
    """Convert the documents; None stands for one without text."""
    return [
        None if adapter.missing_text(document.content) else _to_candidate(document)
        for document in documents
    ]


def _to_candidate(document: Document) -> Candidate:
    content = "" if document.content is None else document.content
    return Candidate(Text(content, document.id, metadata=document.meta), document.score)


def _to_ranked(documents: Sequence[Document], response: RerankResponse) -> list[Document]:
    """Return copies of the documents in their new order, with the outcome in `meta`."""
    return [
        dataclasses.replace(
            (given := documents[result.index]),
            score=result.score if result.scored else given.score,
            meta=add_rerank_metadata(given.meta, response, result),
        )
        for result in response.results
    ]
