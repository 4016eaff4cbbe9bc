"""A ranker for Haystack pipelines.

Haystack's documents as candidates, and back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from secondpass.errors import InputError, MissingExtraError
from secondpass.integrations import shared
from secondpass.integrations.shared import with_outcome
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
    """Orders documents by relevance to the query; the given ones are copied, not changed.

    - `reranker`: a reranker, or the name of one (see `Reranker`), which is loaded by
      `warm_up` or the first run. A pipeline can be saved only with a name.
    - `top_k`: how many documents to keep, at least 1; None keeps all.
    - `options`: further arguments of `BaseReranker.rerank`. The text alone is read unless
      `fields` or `template` name metadata.

    Of documents with the same id the first is kept. Those that were not scored (as after a
    fallback) keep the score that they came with; `with_outcome` says what `meta` gets.
    Raises `InputError` for what cannot be used and `ModelError` if the reranker fails.
    """

    def __init__(
        self,
        reranker: shared.RerankerLike = "bundled",
        top_k: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        shared.check_reranker(reranker)
        self.reranker, self.top_k = reranker, check_count("top_k", top_k)
        self.options = shared.check_options(options)
        self._adapted: shared.Adapted | None = None

    def warm_up(self) -> None:
        """Load the reranker, if it is not yet."""
        self._ready()

    def _ready(self) -> shared.Adapted:
        if self._adapted is None:
            self._adapted = shared.Adapted(self.reranker, self.options)
        return self._adapted

    def to_dict(self) -> dict[str, Any]:
        """Return what a pipeline saves; raises `InputError` for a reranker without a name."""
        if isinstance(self.reranker, BaseReranker):
            raise InputError("A reranker that is an object cannot be saved", fix="Name it.")
        settings = {"reranker": str(self.reranker), "top_k": self.top_k}
        return dict(default_to_dict(self, **settings, options=self.options))

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Return copies of the documents in their new order."""
        given, kept = unique(documents), self.top_k if top_k is None else top_k
        response = self._ready().rerank(query, map(to_candidate, given), kept)
        return {"documents": to_ranked(given, response)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Do as `run`, without blocking the event loop."""
        given, kept = unique(documents), self.top_k if top_k is None else top_k
        response = await self._ready().arerank(query, map(to_candidate, given), kept)
        return {"documents": to_ranked(given, response)}


def unique(documents: Sequence[Document]) -> list[Document]:
    """Return the documents without those whose id came before."""
    first: dict[str, Document] = {}
    for document in documents:
        first.setdefault(document.id, document)
    return list(first.values())


def to_candidate(document: Document) -> Candidate:
    """Return the document with its score; raises `InputError` for one that has no text."""
    if document.content is None:
        raise InputError(f"Document {document.id!r} has no text", why="its content is None")
    text = Text(document.content, document.id, metadata=document.meta)
    return Candidate(text, document.score)


def to_ranked(documents: Sequence[Document], response: RerankResponse) -> list[Document]:
    """Return copies of the documents in their new order, with what happened in `meta`."""
    return [
        dataclasses.replace(
            (given := documents[result.index]),
            score=result.score if result.scored else given.score,
            meta=with_outcome(given.meta, response, result),
        )
        for result in response.results
    ]
