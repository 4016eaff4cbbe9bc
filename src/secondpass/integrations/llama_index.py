"""A node postprocessor for LlamaIndex."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondpass.errors import MissingExtraError
from secondpass.integrations.shared import Adapted, RerankerLike, check_options
from secondpass.rerank.inputs import check_count

try:
    from llama_index.core.bridge.pydantic import Field, PrivateAttr
    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import NodeWithScore, QueryBundle

    from secondpass.integrations.llama_index_events import reranking
    from secondpass.integrations.llama_index_nodes import to_candidates, to_ranked
except ImportError as error:
    raise MissingExtraError(
        __name__, package="llama-index-core", extra="llama-index"
    ) from error


class SecondpassRerank(BaseNodePostprocessor):
    """Orders nodes by relevance to the query; the given ones are copied, not changed.

    - `reranker`: a reranker, or the name of one (see `Reranker`).
    - `top_n`: how many nodes to keep, at least 1; None keeps all.
    - `options`: further arguments of `BaseReranker.rerank`. A node is read as it would be
      embedded, unless `fields` or `template` name what to read of its text and metadata.

    Nodes that were not scored (as after a fallback) keep the score that they came with;
    `with_outcome` says what metadata gets. Raises `InputError` for what cannot be used, a
    missing query above all, and `ModelError` if the reranker fails.
    """

    reranker: RerankerLike = Field(frozen=True)
    top_n: int | None
    options: dict[str, Any] = Field(frozen=True)
    _adapted: Adapted = PrivateAttr()

    def __init__(
        self,
        reranker: RerankerLike = "bundled",
        top_n: int | None = None,
        options: Mapping[str, Any] | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        told = {} if callback_manager is None else {"callback_manager": callback_manager}
        top_n, options = check_count("top_n", top_n), check_options(options)
        super().__init__(reranker=reranker, top_n=top_n, options=options, **told)
        self._adapted = Adapted(reranker, options)

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex writes for this class."""
        return "SecondpassRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        model = self._adapted.reranker.model
        told = reranking(self.callback_manager, query_bundle, nodes, model, self.top_n)
        with told as (query, ranked):
            given = to_candidates(nodes, self.options)
            ranked += to_ranked(nodes, self._adapted.rerank(query, given, self.top_n))
        return ranked

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        model = self._adapted.reranker.model
        told = reranking(self.callback_manager, query_bundle, nodes, model, self.top_n)
        with told as (query, ranked):
            given = to_candidates(nodes, self.options)
            ranked += to_ranked(nodes, await self._adapted.arerank(query, given, self.top_n))
        return ranked
