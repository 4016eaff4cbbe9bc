"""Rerankers of LangChain and LlamaIndex that were written for Jina and TEI, pointed here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from secondpass.server.access.api_keys import KeyFile
from secondpass.server.settings import ServerSettings
from tests.leftovers import swept  # noqa: F401
from tests.server.conftest import QUERY, TEXTS, running

pytestmark = pytest.mark.filterwarnings("default")
WHY = "the group sdk is not installed"


@pytest.fixture(scope="module")
def served(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    file = KeyFile(tmp_path_factory.mktemp("frameworks") / "keys.json")
    key = file.create("framework", ["rerank"])
    with running(ServerSettings(models=[model], keys=file.file, max_documents=10)) as found:
        yield found.url, key


@pytest.mark.parametrize("path", ["/v1", "/jina/v1"])
def test_langchains_jina(
    served: tuple[str, str],
    expected: list[int],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
) -> None:
    jina = pytest.importorskip(
        "langchain_community.document_compressors.jina_rerank", reason=WHY
    )
    from langchain_core.documents import Document

    url, key = served
    monkeypatch.setattr(jina, "JINA_API_URL", f"{url}{path}/rerank")
    texts = [Document(text, metadata={"n": n}) for n, text in enumerate(TEXTS)]
    reranker = jina.JinaRerank(jina_api_key=key, top_n=2)
    found = reranker.compress_documents(texts, QUERY)
    assert [one.metadata["n"] for one in found] == expected[:2]
    scores = [one.metadata["relevance_score"] for one in found]
    assert 1 >= scores[0] >= scores[1] >= 0
    with pytest.raises(RuntimeError, match="is blank"):
        reranker.compress_documents(texts, " ")
    with pytest.raises(RuntimeError, match="at most 10"):
        reranker.compress_documents(texts * 3, QUERY)
    wrong = jina.JinaRerank(jina_api_key="no")
    with pytest.raises(RuntimeError, match="the key is missing or not valid"):
        wrong.compress_documents(texts, QUERY)
    for one in (reranker, wrong):
        one.session.close()


def nodes() -> tuple[list[Any], Any]:
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

    found = [
        NodeWithScore(node=TextNode(text=text, id_=str(n)), score=0.0)
        for n, text in enumerate(TEXTS)
    ]
    return found, QueryBundle(QUERY)


@pytest.mark.parametrize("path", ["/v1", "/jina/v1"])
def test_llama_indexs_jina(served: tuple[str, str], expected: list[int], path: str) -> None:
    jina = pytest.importorskip("llama_index.postprocessor.jinaai_rerank", reason=WHY)
    url, key = served
    some, query = nodes()
    reranker = jina.JinaRerank(base_url=f"{url}{path}", api_key=key, top_n=2)
    found = reranker.postprocess_nodes(some, query_bundle=query)
    assert [int(one.node.node_id) for one in found] == expected[:2]
    wrong = jina.JinaRerank(base_url=f"{url}{path}", api_key="no")
    with pytest.raises(RuntimeError, match="the key is missing or not valid"):
        wrong.postprocess_nodes(some, query_bundle=query)
    for one in (reranker, wrong):
        one._session.close()


@pytest.mark.parametrize("path", ["", "/tei"])
def test_llama_indexs_tei(served: tuple[str, str], expected: list[int], path: str) -> None:
    tei = pytest.importorskip("llama_index.postprocessor.tei_rerank", reason=WHY)
    url, key = served
    some, query = nodes()
    reranker = tei.TextEmbeddingInference(
        base_url=f"{url}{path}", auth_token=f"Bearer {key}", top_n=3
    )
    found = reranker.postprocess_nodes(some, query_bundle=query)
    assert [int(one.node.node_id) for one in found] == expected[:3]
    # It looks at no status: what comes back for a wrong key is just not a list of scores.
    wrong = tei.TextEmbeddingInference(base_url=f"{url}{path}", auth_token="Bearer no")
    with pytest.raises((AssertionError, TypeError)):
        wrong.postprocess_nodes(some, query_bundle=query)
