"""A document compressor for LangChain, for use in `ContextualCompressionRetriever`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from secondpass.errors import MissingExtraError
from secondpass.integrations.shared import (
    RerankerAdapter,
    RerankerLike,
    add_rerank_metadata,
    check_options,
)
from secondpass.rerank.inputs import check_count
from secondpass.types import Document as Text
from secondpass.types import RankedDocument, RerankResponse

try:
    from langchain_core.callbacks import Callbacks
    from langchain_core.documents import BaseDocumentCompressor, Document
    from pydantic import ConfigDict, Field, PrivateAttr
except ImportError as error:
    raise MissingExtraError(__name__, package="langchain-core", extra="langchain") from error


class SecondpassRerank(BaseDocumentCompressor):
    """Ranks documents by relevance to the query; the given documents are copied, not changed.

    - `reranker`: a reranker, or the name of one (see `Reranker`).
    - `top_n`: how many documents to return, at least 1; None returns all.
    - `options`: further arguments of `BaseReranker.rerank`. The text alone is read unless
      `fields` or `template` name metadata.

    Adds `relevance_score` to the metadata of each document that was scored (not after a
    fallback), and what `add_rerank_metadata` says. Raises `InputError` for invalid arguments
    and `ModelError` if the reranker fails.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")
    reranker: RerankerLike = Field(frozen=True)
    top_n: int | None
    options: dict[str, Any] = Field(frozen=True)
    _adapter: RerankerAdapter = PrivateAttr()

    def __init__(
        self,
        reranker: RerankerLike = "bundled",
        top_n: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        top_n, options = check_count("top_n", top_n), check_options(options)
        adapter = RerankerAdapter(reranker, options)
        super().__init__(reranker=reranker, top_n=top_n, options=options)
        self._adapter = adapter

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return copies of the documents in their new order."""
        response = self._adapter.rerank(query, _to_candidates(documents), self.top_n)
        return _to_ranked(documents, response)

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return the same as `compress_documents`, without blocking the event loop."""
        response = await self._adapter.arerank(query, _to_candidates(documents), self.top_n)
        return _to_ranked(documents, response)


def _to_candidates(documents: Sequence[Document]) -> list[Text]:
    return [Text(d.page_content, d.id, metadata=d.metadata) for d in documents]


def _to_ranked(documents: Sequence[Document], response: RerankResponse) -> list[Document]:
    """Return copies of the documents in their new order, with the outcome in `metadata`."""
    return [_ranked(documents[r.index], response, r) for r in response.results]


def _ranked(document: Document, response: RerankResponse, result: RankedDocument) -> Document:
    metadata = add_rerank_metadata(document.metadata, response, result)
    if result.scored:
        metadata["relevance_score"] = result.score
    return document.model_copy(update={"metadata": metadata})
