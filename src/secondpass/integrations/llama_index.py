"""A node postprocessor for LlamaIndex, with its callbacks and instrumentation events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from secondpass.errors import InputError, MissingExtraError
from secondpass.integrations.shared import (
    RerankerAdapter,
    RerankerLike,
    add_rerank_metadata,
    check_options,
    selects_fields,
)
from secondpass.rerank.inputs import check_count
from secondpass.types import Candidate, Document, RankedDocument, RerankResponse, Span

try:
    from llama_index.core.bridge.pydantic import Field, PrivateAttr
    from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle
except ImportError as error:
    raise MissingExtraError(
        __name__, package="llama-index-core", extra="llama-index"
    ) from error


class SecondpassRerank(BaseNodePostprocessor):
    """Ranks nodes by relevance to the query; the given nodes are copied, not changed.

    - `reranker`: a reranker, or the name of one (see `Reranker`).
    - `top_n`: how many nodes to return, at least 1; None returns all.
    - `options`: further arguments of `BaseReranker.rerank`. A node is read as it would be
      embedded, unless `fields` or `template` name what to read of its text and metadata.

    Nodes that were not scored (as after a fallback) keep their score. `add_rerank_metadata`
    says what is added to metadata. Raises `InputError` for invalid arguments, among them a
    missing query, and `ModelError` if the reranker fails.
    """

    reranker: RerankerLike = Field(frozen=True)
    top_n: int | None
    options: dict[str, Any] = Field(frozen=True)
    _adapter: RerankerAdapter = PrivateAttr()

    def __init__(
        self,
        reranker: RerankerLike = "bundled",
        top_n: int | None = None,
        options: Mapping[str, Any] | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        callbacks = {} if callback_manager is None else {"callback_manager": callback_manager}
        top_n, options = check_count("top_n", top_n), check_options(options)
        super().__init__(reranker=reranker, top_n=top_n, options=options, **callbacks)
        self._adapter = RerankerAdapter(reranker, options)

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which LlamaIndex serializes this class."""
        return "SecondpassRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        with self._events(nodes, query_bundle) as (query, ranked):
            candidates = _to_candidates(nodes, self.options)
            response = self._adapter.rerank(query, candidates, self.top_n)
            ranked += _to_ranked(nodes, response)
        return ranked

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        with self._events(nodes, query_bundle) as (query, ranked):
            candidates = _to_candidates(nodes, self.options)
            response = await self._adapter.arerank(query, candidates, self.top_n)
            ranked += _to_ranked(nodes, response)
        return ranked

    def _events(
        self, nodes: list[NodeWithScore], query: QueryBundle | None
    ) -> AbstractContextManager[tuple[str, list[NodeWithScore]]]:
        model = self._adapter.reranker.model
        return _rerank_events(self.callback_manager, query, nodes, model, self.top_n)


_dispatcher = get_dispatcher(__name__)


@contextmanager
def _rerank_events(
    callbacks: CallbackManager,
    query: QueryBundle | None,
    nodes: list[NodeWithScore],
    model: str,
    top_n: int | None,
) -> Iterator[tuple[str, list[NodeWithScore]]]:
    """Emit the start and the end event around a block that fills the list of ranked nodes.

    Yields the query and the list. After an exception the callbacks get it in place of the end
    event. Raises `InputError` without a query.
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


def _to_candidates(
    nodes: Sequence[NodeWithScore], options: Mapping[str, Any]
) -> list[Candidate]:
    """Read the nodes as they would be embedded, or their text if options select fields."""
    mode = MetadataMode.NONE if selects_fields(options) else MetadataMode.EMBED
    return [
        Candidate(
            Document(n.node.get_content(mode), n.node.node_id, metadata=n.node.metadata),
            score=n.score,
        )
        for n in nodes
    ]


def _to_ranked(nodes: Sequence[NodeWithScore], response: RerankResponse) -> list[NodeWithScore]:
    """Return copies of the nodes with the outcome in metadata, hidden from models."""
    return [_ranked(nodes[result.index], response, result) for result in response.results]


def _spans_of_text(node: BaseNode, result: RankedDocument) -> tuple[Span, ...]:
    """Return the spans in the node's text, without those in metadata that was read with it."""
    text = node.get_content(MetadataMode.NONE)
    if not result.spans or result.document is None:
        return result.spans
    before = result.document.text.rfind(text)
    return tuple(
        span._replace(start=span.start - before, end=span.end - before)
        for span in result.spans
        if before >= 0 and before <= span.start and span.end <= before + len(text)
    )


def _ranked(
    scored: NodeWithScore, response: RerankResponse, result: RankedDocument
) -> NodeWithScore:
    node = scored.node
    result = replace(result, spans=_spans_of_text(node, result))
    metadata = add_rerank_metadata(node.metadata, response, result)
    new = [name for name in metadata if name not in node.metadata]
    hidden = {
        "excluded_llm_metadata_keys": [*node.excluded_llm_metadata_keys, *new],
        "excluded_embed_metadata_keys": [*node.excluded_embed_metadata_keys, *new],
    }
    copied = node.model_copy(update={"metadata": metadata, **hidden})
    return NodeWithScore(node=copied, score=result.score if result.scored else scored.score)
