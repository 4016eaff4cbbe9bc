"""A node postprocessor for LlamaIndex.

What LlamaIndex is told about a reranking: its callbacks and its instrumentation.

LlamaIndex's nodes as candidates, and back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from secondpass.errors import InputError, MissingExtraError
from secondpass.integrations.shared import (
    Adapted,
    RerankerLike,
    check_options,
    names_fields,
    with_outcome,
)
from secondpass.rerank.inputs import check_count
from secondpass.types import Candidate, Document, RankedDocument, RerankResponse

try:
    from llama_index.core.bridge.pydantic import Field, PrivateAttr
    from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
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


_dispatcher = get_dispatcher(__name__)


@contextmanager
def reranking(
    callbacks: CallbackManager,
    query: QueryBundle | None,
    nodes: list[NodeWithScore],
    model: str,
    top_n: int | None,
) -> Iterator[tuple[str, list[NodeWithScore]]]:
    """Tell of the start, give the query and a list for the ranked nodes, tell of the end.

    Where an error comes instead, the callbacks are told of it. Raises `InputError` if there
    is no query.
    """
    if query is None:
        raise InputError(
            "There is no query to rerank by", fix="Pass query_bundle or query_str."
        )
    count = len(nodes) if top_n is None else top_n
    ranked: list[NodeWithScore] = []
    start = ReRankStartEvent(query=query, nodes=nodes, top_n=count, model_name=model)
    _dispatcher.event(start)
    payload: dict[str, Any] = {
        EventPayload.NODES: nodes,
        EventPayload.MODEL_NAME: model,
        EventPayload.QUERY_STR: query.query_str,
        EventPayload.TOP_K: count,
    }
    with callbacks.event(CBEventType.RERANKING, payload=payload) as event:
        yield query.query_str, ranked
        event.on_end(payload={EventPayload.NODES: ranked})
    _dispatcher.event(ReRankEndEvent(nodes=ranked))


def to_candidates(
    nodes: Sequence[NodeWithScore], options: Mapping[str, Any]
) -> list[Candidate]:
    """Return the nodes as they would be embedded, or bare where options name what to read."""
    mode = MetadataMode.NONE if names_fields(options) else MetadataMode.EMBED
    return [
        Candidate(
            Document(n.node.get_content(mode), n.node.node_id, metadata=n.node.metadata),
            score=n.score,
        )
        for n in nodes
    ]


def to_ranked(nodes: Sequence[NodeWithScore], response: RerankResponse) -> list[NodeWithScore]:
    """Return copies of the nodes that say what happened, to programs but not to models."""
    return [_ranked(nodes[result.index], response, result) for result in response.results]


def _ranked(
    given: NodeWithScore, response: RerankResponse, result: RankedDocument
) -> NodeWithScore:
    node = given.node
    metadata = with_outcome(node.metadata, response, result)
    new = [name for name in metadata if name not in node.metadata]
    hidden = {
        "excluded_llm_metadata_keys": [*node.excluded_llm_metadata_keys, *new],
        "excluded_embed_metadata_keys": [*node.excluded_embed_metadata_keys, *new],
    }
    copied = node.model_copy(update={"metadata": metadata, **hidden})
    return NodeWithScore(node=copied, score=result.score if result.scored else given.score)
