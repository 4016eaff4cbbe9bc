"""What LlamaIndex is told about a reranking: its callbacks and its instrumentation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.schema import NodeWithScore, QueryBundle

from secondpass.errors import InputError

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
