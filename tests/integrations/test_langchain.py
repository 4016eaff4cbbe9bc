from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="the extra langchain is not installed")

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from secondpass import BaseReranker, InputError, Reranker
from secondpass.integrations.langchain import SecondpassRerank
from secondpass.testing import ScriptedReranker
from tests.integrations.conftest import QUERY, RESET, RULES, SEA


class Fixed(BaseRetriever):
    """A retriever that finds the same documents for every query."""

    documents: list[Document]

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        return self.documents


@pytest.fixture
def documents() -> list[Document]:
    return [
        Document(SEA, id="a", metadata={"year": 0, "title": RESET}),
        Document(RESET, id="b", metadata={"tags": ["x"], "relevance_score": 0.1}),
        Document(RULES, metadata={}),
    ]


@pytest.mark.parametrize("name", ["bundled", "bundled-tiny"])
def test_a_model_by_name_in_a_retriever(name: str, documents: list[Document]) -> None:
    retrievers: Any = pytest.importorskip("langchain_classic.retrievers")
    retriever = retrievers.ContextualCompressionRetriever(
        base_compressor=SecondpassRerank(name, top_n=2),
        base_retriever=Fixed(documents=documents),
    )
    found = retriever.invoke(QUERY)
    assert [d.page_content for d in found] == [RESET, RULES]
    response = Reranker(name).rerank(QUERY, [RESET, RULES])
    assert [d.metadata["relevance_score"] for d in found] == [r.score for r in response.results]
    assert found[0].metadata["rerank_probability"] == response.results[0].probability
    assert found[0].metadata["rerank_model"] == name


async def test_sync_and_async_give_the_same(
    scripted: ScriptedReranker, documents: list[Document]
) -> None:
    compressor = SecondpassRerank(scripted)
    found = compressor.compress_documents(documents, QUERY)
    assert await compressor.acompress_documents(documents, QUERY) == found
    assert [d.id for d in found] == ["b", None, "a"]
    assert [d.metadata["relevance_score"] for d in found] == [2.0, 0.0, -1.0]
    assert found[0].metadata["tags"] == ["x"]
    assert found[2].metadata["year"] == 0
    assert found[0].metadata["rerank_status"] == "reranked"


def test_the_given_documents_stay_as_they_were(
    scripted: ScriptedReranker, documents: list[Document]
) -> None:
    before = [d.model_copy(deep=True) for d in documents]
    SecondpassRerank(scripted).compress_documents(documents, QUERY)
    assert documents == before


def test_a_fallback_does_not_look_reranked(
    down: BaseReranker, documents: list[Document]
) -> None:
    found = SecondpassRerank(down, options={"min_score": 0.5}).compress_documents(
        documents, QUERY
    )
    assert [d.page_content for d in found] == [SEA, RESET, RULES]
    assert {d.metadata["rerank_status"] for d in found} == {"fallback"}
    assert {d.metadata["rerank_scored"] for d in found} == {False}
    assert "down" in found[0].metadata["rerank_reason"]
    assert [d.metadata.get("relevance_score") for d in found] == [None, 0.1, None]


def test_limits_and_options(scripted: ScriptedReranker, documents: list[Document]) -> None:
    compressor = SecondpassRerank(scripted, top_n=3, options={"min_score": 0.0})
    assert [d.id for d in compressor.compress_documents(documents, QUERY)] == ["b", None]
    compressor.top_n = 1
    assert [d.id for d in compressor.compress_documents(documents, QUERY)] == ["b"]
    assert compressor.compress_documents([], QUERY) == []
    titles = SecondpassRerank("bundled", top_n=1, options={"fields": ["title"]})
    assert titles.compress_documents(documents, QUERY)[0].id == "a"


def test_mistakes_are_told(scripted: ScriptedReranker, documents: list[Document]) -> None:
    with pytest.raises(InputError, match="top_n must be at least 1"):
        SecondpassRerank(scripted, top_n=0)
    with pytest.raises(InputError, match="Did you mean 'min_score'"):
        SecondpassRerank(scripted, options={"min_scor": 0.5})
    with pytest.raises(InputError, match="query is empty"):
        SecondpassRerank(scripted).compress_documents(documents, " ")
    with pytest.raises(TypeError, match="top_k"):
        SecondpassRerank(scripted, top_k=3)  # type: ignore[call-arg]


def test_settings_can_be_written_and_read() -> None:
    settings = SecondpassRerank("bundled-tiny", top_n=2).model_dump(mode="json")
    assert settings == {"reranker": "bundled-tiny", "top_n": 2, "options": {}}
    assert SecondpassRerank.model_validate(settings).model_dump(mode="json") == settings


def test_spans_are_in_the_metadata() -> None:
    given = [Document(f"{SEA} {RESET}"), Document(SEA)]
    ranked = SecondpassRerank(options={"spans": True}).compress_documents(given, QUERY)
    (span, *_) = ranked[0].metadata["rerank_spans"]
    text = ranked[0].page_content
    assert text[span["start"] : span["end"]] == RESET
    plain = SecondpassRerank().compress_documents(given, QUERY)
    assert "rerank_spans" not in plain[0].metadata
