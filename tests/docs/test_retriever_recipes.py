"""The retrievers in ten lines of the page on vector databases, over stand-ins.

Each stand-in takes what the client of the service takes, and returns what is documented.
"""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from secondpass import Search
from tests.docs.paths import ROOT
from tests.retrieve.hashed_embedder import HashedEmbedder

PAGE = ROOT / "docs" / "how-to" / "search-vector-databases.md"
TEXTS = {"cat": "a cat sleeps", "dog": "a dog barks at the cat"}


@pytest.fixture(scope="module")
def recipes() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in re.findall(r"\n\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        if "def from_" in block:
            exec(block, names)
    return names


class Weaviate:
    @property
    def query(self) -> Weaviate:
        return self

    def bm25(self, *, query: str, limit: int, return_metadata: list[str]) -> Any:
        assert return_metadata == ["score"]
        objects = [
            SimpleNamespace(
                uuid=name, properties={"body": text}, metadata=SimpleNamespace(score=1.0)
            )
            for name, text in TEXTS.items()
        ]
        return SimpleNamespace(objects=objects[:limit])


class Pinecone:
    def query(self, *, vector: list[float], top_k: int, include_metadata: bool) -> Any:
        assert len(vector) == 16
        assert include_metadata
        matches = [
            SimpleNamespace(id=name, score=0.9 - 0.1 * n, metadata={"text": text})
            for n, (name, text) in enumerate(TEXTS.items())
        ]
        return SimpleNamespace(matches=matches[:top_k])


class MongoDB:
    def aggregate(self, stages: list[dict[str, Any]]) -> Any:
        search, limit, project = stages
        assert search["$search"]["text"]["path"] == ["title", "body"]
        assert project["$project"]["score"] == {"$meta": "searchScore"}
        found = [{"_id": n, "body": t, "score": 2.0} for n, t in TEXTS.items()]
        return iter(found[: limit["$limit"]])


class Azure:
    def search(self, *, search_text: str, top: int, select: list[str]) -> Any:
        assert search_text
        documents = [
            {"id": n, "title": None, "body": t, "@search.score": 1.5} for n, t in TEXTS.items()
        ]
        assert set(select) == {"id", "title", "body"}
        return iter(documents[:top])


class Vespa:
    def query(self, *, body: dict[str, Any]) -> Any:
        assert body["yql"] == "select * from docs where userQuery()"
        hits = [
            {"relevance": 3.0, "fields": {"documentid": n, "body": t}} for n, t in TEXTS.items()
        ]
        return SimpleNamespace(hits=hits[: body["hits"]])


class RedisQuery:
    def __init__(self, text: str) -> None:
        self.text, self.limit, self.scores = text, 10, False

    def with_scores(self) -> RedisQuery:
        self.scores = True
        return self

    def paging(self, offset: int, limit: int) -> RedisQuery:
        self.limit = limit
        return self


class Redis:
    def ft(self, index: str) -> Redis:
        assert index == "docs"
        return self

    def search(self, query: RedisQuery) -> Any:
        assert query.scores
        assert re.fullmatch(r"@body:\([\w|]+\)", query.text)
        docs = [SimpleNamespace(id=n, body=t, score="1.0") for n, t in TEXTS.items()]
        return SimpleNamespace(docs=docs[: query.limit])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("from_weaviate", (Weaviate(),)),
        ("from_pinecone", (Pinecone(), HashedEmbedder())),
        ("from_mongodb", (MongoDB(),)),
        ("from_azure", (Azure(),)),
        ("from_vespa", (Vespa(),)),
        ("from_redis", (Redis(), RedisQuery)),
    ],
)
def test_each_works_in_a_search(
    recipes: dict[str, Any], name: str, arguments: tuple[Any, ...]
) -> None:
    retrieve = recipes[name](*arguments)
    assert [c.document.id for c in retrieve("where does the cat sleep?", 1)] == ["cat"]
    response = Search(retrieve).search("where does the cat sleep?", top_k=None)
    assert sorted(r.id or "" for r in response.results) == ["cat", "dog"]
    assert response.results[0].document is not None
