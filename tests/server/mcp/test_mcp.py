"""The tools over HTTP, by the clients of both packages and by plain requests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from http.client import HTTPConnection
from typing import Any

import httpx2
import pytest

from secondpass.errors import MissingExtraError
from secondpass.server.settings import ServerSettings
from tests.server.conftest import serving
from tests.server.library import ADDRESS, DOCUMENTS, QUESTION, SECRET, Library, library
from tests.server.load import busy

mcp: Any = pytest.importorskip("mcp", reason="the extra mcp is not installed")
fastmcp: Any = pytest.importorskip("fastmcp", reason="the group sdk is not installed")
HEADERS = {"accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with library(tmp_path_factory.mktemp("mcp"), max_documents=20) as found:
        yield found


@pytest.fixture(params=["mcp", "mcp-legacy", "fastmcp"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def connected(kind: str, url: str, key: str | None) -> AsyncIterator[Any]:
    """Yield a function that calls a tool and gives (is it an error, text, object)."""
    if kind == "fastmcp":
        async with fastmcp.Client(f"{url}/mcp", auth=key) as client:

            async def call(name: str, **arguments: Any) -> tuple[bool, str, Any]:
                got = await client.call_tool(name, arguments, raise_on_error=False)
                return got.is_error, got.content[0].text, got.structured_content

            call.tools = {t.name: t for t in await client.list_tools()}  # type: ignore[attr-defined]
            yield call
        return
    from mcp.client.streamable_http import streamable_http_client

    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    mode = "legacy" if kind == "mcp-legacy" else "auto"
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        transport = streamable_http_client(f"{url}/mcp", http_client=http)
        async with mcp.Client(transport, mode=mode) as client:

            async def call(name: str, **arguments: Any) -> tuple[bool, str, Any]:
                got = await client.call_tool(name, arguments)
                return got.is_error, got.content[0].text, got.structured_content

            call.tools = {t.name: t for t in (await client.list_tools()).tools}  # type: ignore[attr-defined]
            yield call


async def test_tools(served: Library, kind: str) -> None:
    async with connected(kind, served.url, served.keys["all"]) as call:
        assert set(call.tools) == {"search", "rerank", "explain"}
        for tool in call.tools.values():
            assert tool.annotations.read_only_hint
            assert tool.output_schema["type"] == "object"
        assert call.tools["search"].input_schema["required"] == ["query"]

        wrong, _, found = await call("search", query=QUESTION)
        assert not wrong
        first = found["results"][0]
        assert (first["id"], first["title"], first["source"]) == ("paris", "Paris", ADDRESS)
        assert (first["text"], first["metadata"]["year"]) == (DOCUMENTS[0].text, 2020)
        assert 1 >= first["score"] >= found["results"][1]["score"] >= 0
        assert (found["query"], found["status"]) == (QUESTION, "reranked")

        texts = ["Bread and water", "The sea is blue."]
        wrong, _, ranked = await call("rerank", query="the sea", documents=texts, top_n=1)
        assert not wrong
        assert [row["index"] for row in ranked["results"]] == [1]
        assert ranked["model"] == "bundled"

        wrong, _, found = await call("search", query=QUESTION, spans=True)
        (span, *_) = found["results"][0]["spans"]
        assert span["text"] == DOCUMENTS[0].text[span["start"] : span["end"]]
        assert 0 < span["score"] <= 1
        wrong, _, ranked = await call("rerank", query="the sea", documents=texts, spans=True)
        assert ranked["results"][0]["spans"][0]["text"] == "The sea is blue."

        wrong, _, why = await call("explain", query=QUESTION, document="paris")
        assert not wrong
        assert why["summary"].startswith("It ranks 1st of 3")
        assert why["places"]["final"] == 1
        assert why["words"]["france"] > 0


async def test_a_search_can_be_told_how(served: Library, kind: str) -> None:
    async with connected(kind, served.url, served.keys["search"]) as call:

        async def ids(**arguments: Any) -> list[str]:
            wrong, text, found = await call("search", **arguments)
            assert not wrong, text
            return [row["id"] for row in found["results"]]

        assert await ids(query="Rhône", mode="bm25", rerank=False) == ["lyon"]
        assert await ids(query="city", top_k=1, index="default/docs") == ["paris"]
        assert await ids(query="city", filters={"year": {"$lt": 2015}}) == ["lyon"]
        assert await ids(query="city", filters={"lang": "fr"}) == []
        for boosted in ("year >= 2015: +99", "year < 2015: +99"):
            first = (await ids(query="city", boost=[boosted], group_by="document"))[0]
            assert (first == "lyon") is ("<" in boosted)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("search", {}, "query"),
        ("search", {"query": ""}, "query"),
        ("search", {"query": " "}, "The query is empty"),
        ("search", {"query": 7}, "query"),
        ("search", {"query": "q", "top_k": 0}, "top_k"),
        ("search", {"query": "q", "top_k": 51}, "top_k"),
        ("search", {"query": "q", "mode": "psychic"}, "mode"),
        ("search", {"query": "q", "index": "zzz"}, "there is no index 'zzz'; known: docs"),
        ("search", {"query": "q", "index": "../x"}, "there is no index"),
        ("search", {"query": "q", "filters": {"yeer": 1}}, "Did you mean 'year'"),
        ("search", {"query": "q", "filters": {"year": {"$near": 1}}}, "there is no operator"),
        ("search", {"query": "q", "filters": {"year": "old"}}, "does not fit"),
        ("search", {"query": "q", "boost": ["year: 1"]}, "not return a boolean"),
        ("search", {"query": "q", "group_by": "yeer"}, "Did you mean 'year'"),
        ("rerank", {"query": "q", "documents": []}, "documents"),
        ("rerank", {"query": "q", "documents": [1]}, "documents"),
        ("rerank", {"query": "q", "documents": ["a"] * 21}, "21 documents, at most 20"),
        ("rerank", {"query": "q", "documents": ["a"], "top_n": 0}, "top_n"),
        ("explain", {"query": "q", "document": "zzz"}, "There is no document 'zzz'"),
        ("translate", {"query": "q"}, "Unknown tool"),
    ],
)
async def test_errors_that_an_agent_can_read(
    served: Library, name: str, arguments: dict[str, Any], said: str
) -> None:
    async with connected("mcp", served.url, served.keys["all"]) as call:
        wrong, text, _ = await call(name, **arguments)
    assert wrong
    assert said in text
    assert "docs/" not in text.replace("default/docs", "")


async def test_keys(served: Library, kind: str) -> None:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - each client has its own
        async with connected(kind, served.url, "sp-wrong-key"):
            pass
    error: BaseException = caught.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert "the key is missing or not valid" in str(error) or "401" in str(error)
    for key, tool, scope in (("rerank", "search", "search"), ("search", "rerank", "rerank")):
        async with connected(kind, served.url, served.keys[key]) as call:
            arguments = {"documents": ["a"]} if tool == "rerank" else {}
            wrong, text, _ = await call(tool, query="q", **arguments)
            assert wrong
            assert f"this key is not for {scope}" in text


async def test_nobody_reaches_another_tenants_index(served: Library, kind: str) -> None:
    async with connected(kind, served.url, served.keys["other"]) as call:
        _, _, found = await call("search", query="the secret capital")
        assert [row["text"] for row in found["results"]] == [SECRET]
        wrong, text, _ = await call("search", query="q", index="docs")
        assert wrong
        assert text.endswith("known: secret")
    async with connected(kind, served.url, served.keys["all"]) as call:
        for name in ("secret", "other/secret", "other/default/secret"):
            wrong, text, _ = await call("search", query="secret capital", index=name)
            assert wrong
            assert SECRET not in text
        wrong, text, _ = await call("explain", query="secret", document="oz")
        assert wrong
        assert SECRET not in text


async def test_a_busy_server_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    with (
        library(tmp_path_factory.mktemp("busy"), most_waiting=1) as found,
        busy(found.running) as let_go,
    ):
        async with connected("mcp", found.url, found.keys["all"]) as call:
            wrong, text, _ = await call("rerank", query="q", documents=["a"])
            assert wrong
            assert "The server is busy" in text
            let_go()


def post(url: str, body: Any, key: str | None = None, **headers: str) -> httpx2.Response:
    own = {} if key is None else {"authorization": f"Bearer {key}"}
    content = body if isinstance(body, bytes) else None
    return httpx2.post(
        f"{url}/mcp",
        content=content,
        json=None if content is not None else body,
        headers={**HEADERS, "content-type": "application/json", **own, **headers},
        timeout=30,
    )


def called(query: str) -> dict[str, Any]:
    params = {"name": "search", "arguments": {"query": query}}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def test_plain_requests(served: Library) -> None:
    key = served.keys["all"]
    got = post(served.url, called(QUESTION), key)
    assert got.headers["content-type"] == "application/json"
    found = got.json()["result"]["structuredContent"]
    assert found["results"][0]["id"] == "paris"
    assert got.headers["x-request-id"]
    unknown = post(served.url, called("x"), None)
    # Without a key nothing is read, and so not the id either.
    assert (unknown.status_code, unknown.json()["id"]) == (401, None)
    assert post(served.url, b"{", key).status_code == 400
    assert post(served.url, b"[]", key).status_code == 400
    for listen in (httpx2.get(f"{served.url}/mcp"), httpx2.get(f"{served.url}/mcp/sse")):
        assert listen.json()["jsonrpc"] == "2.0"
        assert listen.json()["id"] is None
    assert httpx2.get(f"{served.url}/mcp").status_code == 405
    assert httpx2.delete(f"{served.url}/mcp").status_code == 405
    deep = post(served.url, b'{"x": ' + b"[" * 40 + b"]" * 40 + b"}", key)
    assert "nested deeper" in deep.json()["error"]["message"]
    half = post(served.url, rb'{"jsonrpc": "2.0", "id": 1, "x": "\ud800"}', key)
    assert half.status_code == 400
    large = post(served.url, called("x" * 3000), served.keys["few"])
    assert large.status_code == 413
    assert "2,000 bytes, the limit of this key" in large.json()["error"]["message"]
    assert post(served.url, called("x"), served.keys["seldom"]).status_code == 200
    limited = post(served.url, called("x"), served.keys["seldom"])
    assert (limited.status_code, limited.json()["id"]) == (429, 1)
    for body in (b"x" * 100_000, b"{", b'{"id": []}', b"[" * 100):
        assert post(served.url, body, served.keys["seldom"]).json()["id"] is None
    assert int(limited.headers["retry-after"]) >= 1
    # With keys a proxy may call this server by any name.
    named = post(served.url, called("x"), key, host="search.example.org")
    assert named.status_code == 200


def test_a_client_without_an_accept_header_takes_anything(served: Library) -> None:
    host = served.url.removeprefix("http://")
    headers = {
        "authorization": f"Bearer {served.keys['all']}",
        "content-type": "application/json",
    }
    # http.client sends none of its own.
    connection = HTTPConnection(host, timeout=30)
    with closing(connection):
        connection.request("POST", "/mcp", json.dumps(called(QUESTION)), headers)
        response = connection.getresponse()
        content = response.read()
    assert response.status == 200, content
    found = json.loads(content)["result"]["structuredContent"]
    assert found["results"][0]["id"] == "paris"
    assert post(served.url, called("x"), served.keys["all"], accept="text/html").is_error


def test_without_the_package_the_error_has_the_id(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(handler: object) -> None:
        raise MissingExtraError("/mcp", package="mcp", extra="mcp")

    monkeypatch.setattr("secondpass.server.mcp.routes._build_server", build)
    with serving(ServerSettings(models=[model])) as url:
        for id_ in ("seven", 7):
            failed = post(url, {"jsonrpc": "2.0", "id": id_, "method": "tools/list"})
            assert (failed.status_code, failed.json()["id"]) == (501, id_)
            assert "secondpass[mcp]" in failed.json()["error"]["message"]


def test_without_keys_only_this_machines_names_are_served(model: str) -> None:
    with serving(ServerSettings(models=[model])) as url:
        listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        assert len(post(url, listing).json()["result"]["tools"]) == 3
        port = url.rpartition(":")[2]
        assert post(url, listing, host=f"localhost:{port}").status_code == 200
        assert post(url, listing, host="evil.example.org").status_code == 421
        assert post(url, listing, origin="http://evil.example.org").status_code == 403
        assert post(url, listing, origin=f"http://localhost:{port}").status_code == 200
        without = post(url, called("x")).json()["result"]
        assert without["isError"]
        assert "without --index, --over and --data" in without["content"][0]["text"]


def test_without_the_extra_the_answer_says_what_to_install(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name == "mcp" or name.startswith(("mcp.", "secondpass.server.mcp.")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp", None)
    with serving(ServerSettings(models=[model])) as url:
        got = post(url, called("x"))
        assert got.status_code == 501
        assert "pip install 'secondpass[mcp]'" in got.json()["error"]["message"]


def test_many_first_requests_start_it_once(model: str) -> None:
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    with serving(ServerSettings(models=[model])) as url, ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(post, url, listing) for _ in range(8)]
        assert [len(one.result(60).json()["result"]["tools"]) for one in asked] == [3] * 8


def test_the_logging_of_the_process_stays_as_it_is() -> None:
    code = (
        "import logging\n"
        "from secondpass.server.mcp.hosts import LocalHost\n"
        "from secondpass.server.mcp.tools import make_server\n"
        "from secondpass.server.state import ServerState\n"
        "from secondpass.server.settings import ServerSettings\n"
        "service = ServerState(ServerSettings())\n"
        "make_server(service, LocalHost(service))\n"
        "service.close()\n"
        "print(logging.getLogger().handlers)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
