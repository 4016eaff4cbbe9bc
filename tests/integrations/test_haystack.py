from __future__ import annotations

import dataclasses
import inspect

import pytest

pytest.importorskip("haystack", reason="the extra haystack is not installed")

from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

from secondpass import BaseReranker, InputError, Reranker
from secondpass.integrations.haystack import SecondpassRanker
from secondpass.testing import ScriptedReranker
from tests.integrations.conftest import QUERY, RESET, RULES, SEA


@pytest.fixture
def documents() -> list[Document]:
    return [
        Document(id="a", content=SEA, meta={"year": 0}, score=0.9),
        Document(id="b", content=RESET, score=0.0),
        Document(id="c", content=RULES),
    ]


def pipeline(ranker: SecondpassRanker, documents: list[Document]) -> Pipeline:
    store = InMemoryDocumentStore()
    store.write_documents(documents)
    joined = Pipeline()
    joined.add_component("retriever", InMemoryBM25Retriever(store))
    joined.add_component("ranker", ranker)
    joined.connect("retriever", "ranker")
    return joined


def test_a_model_by_name_in_a_saved_pipeline(documents: list[Document]) -> None:
    made = pipeline(SecondpassRanker("bundled"), documents)
    given = {"retriever": {"query": "sea password"}, "ranker": {"query": QUERY}}
    assert made.run(given)["ranker"]["documents"][0].id == "b"
    alone = Pipeline()
    alone.add_component("ranker", SecondpassRanker("bundled", 2, {"min_score": -50.0}))
    saved = alone.dumps()
    # Haystack 2 loads any class; from 3 on only those of packages that are named.
    named = "allowed_modules" in inspect.signature(Pipeline.loads).parameters
    again = Pipeline.loads(saved, **({"allowed_modules": ["secondpass.*"]} if named else {}))
    assert again.dumps() == saved
    found = again.run({"ranker": {"query": QUERY, "documents": documents}})
    expected = Reranker().rerank(QUERY, [RESET, RULES]).results
    assert [(d.id, d.score) for d in found["ranker"]["documents"]] == [
        ("b", expected[0].score),
        ("c", expected[1].score),
    ]


async def test_sync_and_async_give_the_same(
    scripted: ScriptedReranker, documents: list[Document]
) -> None:
    before = [dataclasses.replace(d, meta=dict(d.meta)) for d in documents]
    ranker = SecondpassRanker(scripted)
    ranker.warm_up()
    found = ranker.run(QUERY, documents)
    assert await ranker.run_async(QUERY, documents) == found
    assert [(d.id, d.score) for d in found["documents"]] == [
        ("b", 2.0),
        ("c", 0.0),
        ("a", -1.0),
    ]
    assert found["documents"][2].meta["year"] == 0
    assert found["documents"][0].meta["rerank_status"] == "reranked"
    assert documents == before


def test_a_fallback_keeps_order_and_scores(
    down: BaseReranker, documents: list[Document]
) -> None:
    found = SecondpassRanker(down).run(QUERY, documents, top_k=2)["documents"]
    assert [(d.id, d.score) for d in found] == [("a", 0.9), ("b", 0.0)]
    assert found[0].meta["rerank_status"] == "fallback"
    assert "down" in found[0].meta["rerank_reason"]


def test_limits_and_duplicates(scripted: ScriptedReranker, documents: list[Document]) -> None:
    ranker = SecondpassRanker(scripted, top_k=1)
    assert [d.id for d in ranker.run(QUERY, documents)["documents"]] == ["b"]
    twice = [*documents, dataclasses.replace(documents[1], score=5.0)]
    assert [d.id for d in ranker.run(QUERY, twice, top_k=9)["documents"]] == ["b", "c", "a"]
    assert ranker.run(QUERY, []) == {"documents": []}


def test_mistakes_are_told(scripted: ScriptedReranker, documents: list[Document]) -> None:
    ranker = SecondpassRanker(scripted)
    with pytest.raises(InputError, match="top_k must be at least 1"):
        ranker.run(QUERY, documents, top_k=0)
    with pytest.raises(InputError, match="query is empty"):
        ranker.run("", documents)
    with pytest.raises(InputError, match="cannot be saved"):
        ranker.to_dict()
    with pytest.raises(InputError, match="must be a reranker or a name"):
        SecondpassRanker(None)


async def test_a_document_without_text_is_last_and_the_rest_is_ranked(
    scripted: ScriptedReranker, down: BaseReranker, documents: list[Document]
) -> None:
    given = [Document(id="scan", meta={"file": "scan.png"}, score=0.7), *documents]
    ranker = SecondpassRanker(scripted)
    found = ranker.run(QUERY, given)
    assert await ranker.run_async(QUERY, given) == found
    ranked = found["documents"]
    assert [(d.id, d.score) for d in ranked] == [
        ("b", 2.0),
        ("c", 0.0),
        ("a", -1.0),
        ("scan", 0.7),
    ]
    assert [d.meta["rerank_scored"] for d in ranked] == [True] * 3 + [False]
    assert ranked[3].meta["file"] == "scan.png"
    for document in ranked:
        assert "1 of 4 documents have no text" in document.meta["rerank_reason"]
    assert [d.id for d in ranker.run(QUERY, given, top_k=2)["documents"]] == ["b", "c"]
    alone = ranker.run(QUERY, given[:1])["documents"]
    assert [(d.id, d.meta["rerank_scored"]) for d in alone] == [("scan", False)]
    after_failure = SecondpassRanker(down).run(QUERY, given)["documents"]
    assert [d.id for d in after_failure] == ["a", "b", "c", "scan"]
    assert "down" in after_failure[0].meta["rerank_reason"]


def test_a_document_without_text_is_read_where_fields_are_named() -> None:
    reranker = ScriptedReranker({}, default=1.0)
    ranker = SecondpassRanker(reranker, options={"fields": ["caption"]})
    found = ranker.run(QUERY, [Document(id="scan", meta={"caption": RESET})])["documents"]
    assert found[0].meta["rerank_scored"] is True
    assert reranker.calls[0].options.texts(reranker.calls[0].candidates) == [("", RESET)]


def test_a_threshold_drops_what_has_no_text(
    scripted: ScriptedReranker, documents: list[Document]
) -> None:
    ranker = SecondpassRanker(scripted, options={"min_score": -9.0})
    found = ranker.run(QUERY, [Document(id="scan"), *documents])["documents"]
    assert [d.id for d in found] == ["b", "c", "a"]
    assert "1 of 4 documents have no text and were left out" in found[0].meta["rerank_reason"]
