"""Databases of others behind a server: searched by every API that searches an index."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from secondpass.errors import InputError, RetrieverError
from secondpass.index.search import Search
from secondpass.rerank.base import BaseReranker
from secondpass.retrieve.embedder import Embedder
from secondpass.server.http_errors import HttpError
from secondpass.server.served_database import PAUSE, Database, status_of
from secondpass.server.settings import ServerSettings
from secondpass.testing import ScriptedReranker
from tests.server.conftest import Running, running

ROWS = [
    (1, "Tea", "green tea and black tea", 2001),
    (2, "Coffee", "coffee in the morning", 2002),
    (3, "Harbor", "ships in the harbor at sea", 2003),
]


def make_database(file: Path) -> None:
    database = sqlite3.connect(file)
    database.execute("CREATE TABLE docs (id INTEGER PRIMARY KEY, title, body, year INTEGER)")
    database.executemany("INSERT INTO docs VALUES (?, ?, ?, ?)", ROWS)
    database.execute("CREATE VIRTUAL TABLE docs_fts USING fts5(title, body, content=docs)")
    database.execute("INSERT INTO docs_fts (docs_fts) VALUES ('rebuild')")
    database.commit()
    database.close()


def url_of(file: Path) -> str:
    return f"sqlite:///{file}?table=docs&text=body"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("databases")
    make_database(folder / "shop.db")
    settings = ServerSettings(
        models=["bundled-tiny"],
        databases={"shop": url_of(folder / "shop.db"), "gone": url_of(folder / "gone.db")},
        data=folder / "data",
    )
    with running(settings) as found:
        yield found


def post(served: Running, path: str, **body: Any) -> httpx2.Response:
    return httpx2.post(f"{served.url}{path}", json=body, timeout=60)


def test_a_database_is_searched_as_an_index(served: Running) -> None:
    found = post(
        served, "/api/v1/indexes/shop/search", query="harbor tea", filter="year > 2001"
    )
    assert found.status_code == 200, found.text
    assert [row["id"] for row in found.json()["results"]] == ["3"]
    assert "vectors" in found.json()["reason"]


def test_a_question_is_answered_from_a_database(served: Running) -> None:
    body = {"query": "Where are the ships?", "min_probability": None}
    found = post(served, "/api/v1/indexes/shop/answer", **body)
    assert found.status_code == 200, found.text
    assert found.json()["passages"][0]["ids"] == ["3"]


def test_it_is_the_default_of_apis_that_name_no_index(served: Running) -> None:
    found = post(served, "/knowledgesdk/v1/search", query="tea", index="shop")
    assert [hit["id"] for hit in found.json()["hits"]] == ["1"]
    chat = post(
        served,
        "/v1/chat/completions",
        model="shop",
        messages=[{"role": "user", "content": "Where are the ships?"}],
    )
    assert chat.status_code == 200, chat.text
    names = [m["id"] for m in httpx2.get(f"{served.url}/v1/models").json()["data"]]
    assert "shop" in names


def test_agents_search_and_explain(served: Running) -> None:
    headers = {"accept": "application/json, text/event-stream"}

    def call(tool: str, **arguments: Any) -> str:
        message = {"name": tool, "arguments": {"index": "shop", **arguments}}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": message}
        reply = httpx2.post(f"{served.url}/mcp", json=body, headers=headers, timeout=60)
        return reply.text

    assert "ships in the harbor" in call("search", query="ships")
    assert "Harbor" in call("explain", query="ships", document="3")
    assert "not among the candidates" in call("explain", query="ships", document="1")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/documents", {"documents": [{"text": "new"}]}),
        ("DELETE", "/documents?id=1", None),
        ("DELETE", "", None),
    ],
)
def test_writes_are_refused_with_the_reason(
    served: Running, method: str, path: str, body: Any
) -> None:
    for name in ("shop", "gone"):
        reply = httpx2.request(method, f"{served.url}/api/v1/indexes/{name}{path}", json=body)
        assert reply.status_code == 403, reply.text
        assert "only searched here" in reply.text


def test_one_that_is_down_is_said_and_takes_nothing_else_down(served: Running) -> None:
    reply = post(served, "/api/v1/indexes/gone/search", query="tea")
    assert reply.status_code == 503
    assert "No such file" in reply.text
    assert int(reply.headers["retry-after"]) >= 1
    assert "sqlite:" not in reply.text.split("No such file")[0]
    assert post(served, "/api/v1/indexes/shop/search", query="tea").status_code == 200
    about = {row["name"]: row for row in list_indexes(served)}
    assert about["shop"]["documents"] == 3
    assert about["shop"]["engine"].startswith("SQLite")
    assert about["gone"]["documents"] is None
    assert "No such file" in about["gone"]["problem"]
    ready = httpx2.get(f"{served.url}/ready")
    assert ready.status_code == 200
    assert ready.json()["databases"]["shop"] == "ok"
    assert ready.json()["databases"]["gone"] != "ok"


def list_indexes(served: Running) -> list[dict[str, Any]]:
    found: dict[str, Any] = httpx2.get(f"{served.url}/api/v1/indexes").json()
    rows: list[dict[str, Any]] = found["indexes"]
    return rows


def test_what_it_cannot_do_is_the_mistake_of_the_request(served: Running) -> None:
    reply = post(served, "/api/v1/indexes/shop/search", query="tea", like=["1"])
    assert reply.status_code == 400
    assert "like cannot be used here" in json.dumps(reply.json())
    assert "shop.db" not in reply.text


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def reranker() -> BaseReranker:
    return ScriptedReranker({})


def test_after_a_failure_it_is_asked_again_later(
    tmp_path: Path, reranker: BaseReranker
) -> None:
    clock = Clock()
    url = url_of(tmp_path / "late.db")
    database = Database("late", url, embedder=Embedder(), reranker=reranker, clock=clock)
    database.start()
    with pytest.raises(HttpError) as caught:
        database.open()
    assert caught.value.status == 503
    make_database(tmp_path / "late.db")
    with pytest.raises(HttpError):
        database.open()
    clock.now += PAUSE
    found = database.open().search("tea")
    assert [r.id for r in found.results] == ["1"]
    assert status_of({"late": database}) == {"late": "ok"}
    database.close()


def test_readiness_opens_it_again(tmp_path: Path, reranker: BaseReranker) -> None:
    clock = Clock()
    url = url_of(tmp_path / "late.db")
    database = Database("late", url, embedder=Embedder(), reranker=reranker, clock=clock)
    database.start()
    make_database(tmp_path / "late.db")
    clock.now += PAUSE
    deadline = time.monotonic() + 60
    while status_of({"late": database})["late"] != "ok":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    database.close()


def test_a_url_that_cannot_work_is_an_error_at_the_start(
    tmp_path: Path, reranker: BaseReranker
) -> None:
    make_database(tmp_path / "d.db")
    url = f"sqlite:///{tmp_path / 'd.db'}?table=unknown"
    database = Database("d", url, embedder=Embedder(), reranker=reranker)
    with pytest.raises(InputError, match="unknown"):
        database.start()


def test_searches_that_fail_in_a_row_stop_for_a_while(
    tmp_path: Path, reranker: BaseReranker
) -> None:
    make_database(tmp_path / "d.db")
    clock, calls = Clock(), 0
    url = url_of(tmp_path / "d.db")
    database = Database("d", url, embedder=Embedder(), reranker=reranker, clock=clock)
    database.open()

    def fail() -> Search:
        nonlocal calls
        calls += 1
        raise RetrieverError("the connection dropped", where=url, why="reset")

    for _ in range(3):
        with pytest.raises(RetrieverError):
            database.watch(fail)
    with pytest.raises(HttpError, match="the connection dropped"):
        database.watch(fail)
    assert calls == 3
    clock.now += PAUSE
    assert database.open().search("tea").results
    assert database.problem is None

    def late() -> Search:
        raise RetrieverError("too slow", timeout=True)

    for _ in range(5):
        with pytest.raises(RetrieverError, match="too slow"):
            database.watch(late)
    database.close()
