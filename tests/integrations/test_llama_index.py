from __future__ import annotations

import pickle
from typing import Any, ClassVar

import pytest

pytest.importorskip("llama_index.core", reason="the extra llama-index is not installed")

from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import Generation
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode

from secondpass import BaseReranker, InputError, Reranker
from secondpass.integrations.llama_index import SecondpassRerank
from secondpass.testing import ScriptedReranker
from tests.integrations.conftest import QUERY, RESET, RULES, SEA


@pytest.fixture
def nodes() -> list[NodeWithScore]:
    return [
        NodeWithScore(node=TextNode(text=SEA, id_="a"), score=0.9),
        NodeWithScore(node=TextNode(text=RESET, id_="b"), score=0.0),
        NodeWithScore(node=TextNode(text=RULES, id_="c")),
    ]


class Fixed(BaseRetriever):
    """A retriever that finds the same nodes for every query."""

    def __init__(self, nodes: list[NodeWithScore]) -> None:
        self.nodes = nodes
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self.nodes


def ids(nodes: list[NodeWithScore]) -> list[str]:
    return [n.node.node_id for n in nodes]


def test_a_model_by_name_in_a_query_engine(nodes: list[NodeWithScore]) -> None:
    engine = RetrieverQueryEngine(
        Fixed(nodes),
        response_synthesizer=Generation(llm=MockLLM()),
        node_postprocessors=[SecondpassRerank("bundled", top_n=2)],
    )
    found = engine.retrieve(QueryBundle(QUERY))
    assert ids(found) == ["b", "c"]
    expected = Reranker().rerank(QUERY, [RESET, RULES]).results
    assert [n.score for n in found] == [r.score for r in expected]


async def test_sync_and_async_give_the_same(
    scripted: ScriptedReranker, nodes: list[NodeWithScore]
) -> None:
    before = [n.model_copy(deep=True) for n in nodes]
    postprocessor = SecondpassRerank(scripted)
    found = postprocessor.postprocess_nodes(nodes, query_str=QUERY)
    assert await postprocessor.apostprocess_nodes(nodes, QueryBundle(QUERY)) == found
    assert [(n.node.node_id, n.score) for n in found] == [("b", 2.0), ("c", 0.0), ("a", -1.0)]
    assert found[0].metadata["rerank_status"] == "reranked"
    assert nodes == before


def test_what_is_said_is_hidden_from_models(
    scripted: ScriptedReranker, nodes: list[NodeWithScore]
) -> None:
    postprocessor = SecondpassRerank(scripted)
    once = postprocessor.postprocess_nodes(nodes, query_str=QUERY)
    twice = postprocessor.postprocess_nodes(once, query_str=QUERY)
    assert twice == once
    for mode in (MetadataMode.LLM, MetadataMode.EMBED):
        assert [n.get_content(mode) for n in twice] == [RESET, RULES, SEA]


def test_a_fallback_keeps_order_and_scores(
    down: BaseReranker, nodes: list[NodeWithScore]
) -> None:
    found = SecondpassRerank(down, top_n=2).postprocess_nodes(nodes, query_str=QUERY)
    assert [(n.node.node_id, n.score) for n in found] == [("a", 0.9), ("b", 0.0)]
    assert found[0].metadata["rerank_status"] == "fallback"
    assert found[0].metadata["rerank_scored"] is False
    assert "rerank_model" not in found[0].metadata


def test_metadata_is_read_as_for_embedding_or_by_field() -> None:
    node = TextNode(
        text=SEA,
        metadata={"topic": "passwords", "key": 7},
        excluded_embed_metadata_keys=["key"],
    )
    reranker = ScriptedReranker({}, default=0.0)
    given = [NodeWithScore(node=node)]
    SecondpassRerank(reranker).postprocess_nodes(given, query_str=QUERY)
    fields = {"fields": ["topic", "text"]}
    SecondpassRerank(reranker, options=fields).postprocess_nodes(given, query_str=QUERY)
    assert [c.options.texts(c.candidates) for c in reranker.calls] == [
        [("", f"topic: passwords\n\n{SEA}")],
        [("passwords", SEA)],
    ]


def test_mistakes_are_told(scripted: ScriptedReranker, nodes: list[NodeWithScore]) -> None:
    postprocessor = SecondpassRerank(scripted)
    with pytest.raises(InputError, match="no query to rerank by"):
        postprocessor.postprocess_nodes(nodes)
    with pytest.raises(InputError, match="query is empty"):
        postprocessor.postprocess_nodes(nodes, query_str="")
    with pytest.raises(InputError, match="top_n must be at least 1"):
        SecondpassRerank(scripted, top_n=0)
    assert postprocessor.postprocess_nodes([], query_str=QUERY) == []


class Remembering(BaseCallbackHandler):
    """A callback handler that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(event_starts_to_ignore=[], event_ends_to_ignore=[])
        self.told: list[tuple[str, CBEventType, dict[str, Any]]] = []

    def on_event_start(
        self, event_type: CBEventType, payload: Any = None, *_: Any, **__: Any
    ) -> str:
        self.told.append(("start", event_type, payload))
        return ""

    def on_event_end(
        self, event_type: CBEventType, payload: Any = None, *_: Any, **__: Any
    ) -> None:
        self.told.append(("end", event_type, payload))

    def start_trace(self, trace_id: str | None = None) -> None: ...

    def end_trace(self, *_: Any, **__: Any) -> None: ...


class Listening(BaseEventHandler):
    """An event handler that keeps the events."""

    events: ClassVar[list[Any]] = []

    def handle(self, event: Any, **_: Any) -> None:
        self.events.append(event)


def test_callbacks_and_instrumentation_are_told(
    scripted: ScriptedReranker, nodes: list[NodeWithScore]
) -> None:
    handler, listener = Remembering(), Listening()
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(listener)
    try:
        postprocessor = SecondpassRerank(scripted, callback_manager=CallbackManager([handler]))
        found = postprocessor.postprocess_nodes(nodes, query_str=QUERY)
    finally:
        dispatcher.event_handlers.remove(listener)
    start, end = handler.told
    assert start[:2] == ("start", CBEventType.RERANKING)
    assert start[2][EventPayload.MODEL_NAME] == "scripted"
    assert start[2][EventPayload.TOP_K] == 3
    assert end == ("end", CBEventType.RERANKING, {EventPayload.NODES: found})
    assert [e.class_name() for e in listener.events] == ["ReRankStartEvent", "ReRankEndEvent"]
    assert listener.events[1].nodes == found


def test_an_error_ends_the_event(scripted: ScriptedReranker) -> None:
    handler = Remembering()
    postprocessor = SecondpassRerank(scripted, callback_manager=CallbackManager([handler]))
    with pytest.raises(InputError, match="no score for"):
        postprocessor.postprocess_nodes([NodeWithScore(node=TextNode(text="x"))], query_str="q")
    assert EventPayload.EXCEPTION in handler.told[-1][2]


def test_settings_can_be_written_read_and_pickled() -> None:
    postprocessor = SecondpassRerank("bundled-tiny", top_n=2)
    settings = postprocessor.to_dict()
    assert settings == {
        "reranker": "bundled-tiny",
        "top_n": 2,
        "options": {},
        "class_name": "SecondpassRerank",
    }
    assert SecondpassRerank.from_dict(settings).to_dict() == settings
    again = pickle.loads(pickle.dumps(postprocessor))
    assert ids(
        again.postprocess_nodes(
            [NodeWithScore(node=TextNode(text=SEA, id_="a"))], query_str="q"
        )
    ) == ["a"]


def test_spans_are_in_the_text_of_the_node() -> None:
    node = TextNode(text=f"{SEA} {RESET}", metadata={"author": "Ada. B."})
    ranker = SecondpassRerank(options={"spans": {"threshold": 0, "max_spans": None}})
    (ranked,) = ranker.postprocess_nodes([NodeWithScore(node=node)], query_str=QUERY)
    spans = ranked.node.metadata["rerank_spans"]
    found = [node.text[span["start"] : span["end"]] for span in spans]
    assert found == [RESET, SEA]
    assert "rerank_spans" in ranked.node.excluded_llm_metadata_keys
