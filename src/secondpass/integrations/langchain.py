"""A document compressor for LangChain, such as `ContextualCompressionRetriever` takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from secondpass.errors import MissingExtraError
from secondpass.integrations.shared import Adapted, RerankerLike, check_options, with_outcome
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
    """Orders documents by relevance to the query; the given ones are copied, not changed.

    - `reranker`: a reranker, or the name of one (see `Reranker`).
    - `top_n`: how many documents to keep, at least 1; None keeps all.
    - `options`: further arguments of `BaseReranker.rerank`. The text alone is read unless
      `fields` or `template` name metadata.

    Metadata gets `relevance_score`, except where the document was not scored (as after a
    fallback), and what `with_outcome` says. Raises `InputError` for what cannot be used and
    `ModelError` if the reranker fails.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")
    reranker: RerankerLike = Field(frozen=True)
    top_n: int | None
    options: dict[str, Any] = Field(frozen=True)
    _adapted: Adapted = PrivateAttr()

    def __init__(
        self,
        reranker: RerankerLike = "bundled",
        top_n: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        top_n, options = check_count("top_n", top_n), check_options(options)
        adapted = Adapted(reranker, options)
        super().__init__(reranker=reranker, top_n=top_n, options=options)
        self._adapted = adapted

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return copies of the documents in their new order."""
        response = self._adapted.rerank(query, _texts(documents), self.top_n)
        return [_ranked(documents[r.index], response, r) for r in response.results]

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Do as `compress_documents`, without blocking the event loop."""
        response = await self._adapted.arerank(query, _texts(documents), self.top_n)
        return [_ranked(documents[r.index], response, r) for r in response.results]


def _texts(documents: Sequence[Document]) -> list[Text]:
    return [Text(d.page_content, d.id, metadata=d.metadata) for d in documents]


def _ranked(given: Document, response: RerankResponse, result: RankedDocument) -> Document:
    metadata = with_outcome(given.metadata, response, result)
    if result.scored:
        metadata["relevance_score"] = result.score
    return given.model_copy(update={"metadata": metadata})
