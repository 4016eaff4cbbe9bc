"""KnowledgeSDK's search, by its own client, and how its path is told from another's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from secondpass.server.http_errors import HttpError, default_error
from secondpass.server.http_json import Body
from secondpass.server.knowledgesdk import choose_dialect, routes
from secondpass.server.request_context import RequestContext
from secondpass.server.request_fields import Honored, RequestFields
from secondpass.server.request_handler import Operation, RequestHandler
from secondpass.server.state import ServerState
from tests.server.library import ADDRESS, DOCUMENTS, QUESTION, SECRET, Library, library
from tests.server.load import busy

sdk: Any = pytest.importorskip("knowledgesdk", reason="the group sdk is not installed")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with library(tmp_path_factory.mktemp("knowledge"), max_documents=20) as found:
        yield found


@pytest.fixture
def search(served: Library) -> Iterator[Any]:
    opened = []

    def ask(*asked: Any, key: str = "search", path: str = "/v1", **more: Any) -> Any:
        whole = f"sk_ks_{served.keys.get(key, key)}"
        client = sdk.KnowledgeSDK(whole, base_url=f"{served.url}{path}", max_retries=0)
        opened.append(client)
        return client.search.run(*asked, **more)

    yield ask
    for client in opened:
        client._http_client.session.close()


def post(served: Library, path: str, body: Any, key: str = "search") -> httpx2.Response:
    headers = {"x-api-key": served.keys[key]}
    return httpx2.post(f"{served.url}{path}", json=body, headers=headers)


def test_what_is_not_read_is_told(served: Library) -> None:
    cut = post(served, "/knowledgesdk/v1/search", {"query": f"{QUESTION} " * 100})
    assert "The query is too long" in cut.headers["x-warnings"]
    short = post(served, "/knowledgesdk/v1/search", {"query": QUESTION})
    assert "x-warnings" not in short.headers


@pytest.mark.parametrize("path", ["", "/v1", "/knowledgesdk", "/knowledgesdk/v1"])
def test_search(search: Any, path: str) -> None:
    found = search(QUESTION, path=path, limit=2)
    assert (found.total, found.query, len(found.hits)) == (2, QUESTION, 2)
    first = found.hits[0]
    assert (first.id, first.title, first.category) == ("paris", "Paris", "cities")
    assert (first.content, first.source) == (DOCUMENTS[0].text, ADDRESS)
    scores = [hit.score for hit in found.hits]
    assert 1 >= scores[0] >= scores[1] >= 0


def test_all_clients_find_what_they_read(served: Library) -> None:
    found = post(served, "/v1/search", {"query": QUESTION}).json()
    assert found["hits"] == found["results"]
    first = found["hits"][0]
    assert first["url"] == first["sourceUrl"] == ADDRESS
    assert DOCUMENTS[0].text.startswith(first["snippet"])
    assert first["metadata"] == DOCUMENTS[0].metadata
    by_words = {"query": "Rhône", "mode": "bm25", "rerank": False, "index": "docs"}
    assert post(served, "/search", by_words).json()["hits"][0]["id"] == "lyon"


def test_bad_input(search: Any, served: Library) -> None:
    for query, limit, said in (
        (" ", 3, "blank"),
        ("", 3, "blank"),
        (7, 3, "must be a string"),
        ("q", 0, "limit must be"),
        ("q", "3", "limit must be"),
        ("q", 21, "at most 20"),
    ):
        with pytest.raises(sdk.APIError, match=said) as caught:
            search(query, limit=limit)
        assert (caught.value.status_code, caught.value.code) == (400, "invalid")
    with pytest.raises(sdk.APIError, match="at most 2"):
        search("q", key="few", limit=3)
    with pytest.raises(sdk.APIError) as large:
        search("x" * 3000, key="few", limit=2)
    assert large.value.status_code == 413
    assert post(served, "/search", {"query": "q", "mode": "psychic"}).status_code == 400
    missing = post(served, "/search", {"query": "q", "index": "zzz"})
    assert missing.status_code == missing.json()["statusCode"] == 404
    assert missing.json()["error"] == "Not Found"
    half = httpx2.post(
        f"{served.url}/search",
        content=rb'{"query": "capital\ud800"}',
        headers={"x-api-key": served.keys["search"]},
    )
    assert half.status_code == 200


def test_keys(search: Any, served: Library) -> None:
    with pytest.raises(sdk.AuthenticationError):
        search(QUESTION, key="sp-wrong")
    with pytest.raises(sdk.APIError, match="not for search") as caught:
        search(QUESTION, key="rerank")
    assert caught.value.status_code == 403
    search(QUESTION, key="seldom")
    with pytest.raises(sdk.RateLimitError, match="1 times a minute"):
        search(QUESTION, key="seldom")
    for prefix in ("", "sk_ks_", "knowledgesdk_live_", "knowledgesdk_"):
        headers = {"x-api-key": prefix + served.keys["all"]}
        got = httpx2.post(f"{served.url}/search", json={"query": "q"}, headers=headers)
        assert got.status_code == 200


def test_nobody_reaches_another_tenants_index(search: Any, served: Library) -> None:
    assert [hit.id for hit in search("the secret capital", key="other").hits] == ["oz"]
    for name in ("secret", "default/secret", "other/default/secret", "../other/secret"):
        got = post(served, "/search", {"query": "secret capital", "index": name}, "all")
        assert got.status_code == 404
        assert SECRET not in got.text


def test_a_busy_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    with (
        library(tmp_path_factory.mktemp("busy"), most_waiting=1) as found,
        busy(found.running) as let_go,
    ):
        key = f"sk_ks_{found.keys['all']}"
        client = sdk.KnowledgeSDK(key, base_url=f"{found.url}/v1", max_retries=0)
        with pytest.raises(sdk.RateLimitError, match="busy"):
            client.search.run(QUESTION)
        let_go()
        client._http_client.session.close()


@pytest.mark.parametrize(
    ("body", "headers", "whose"),
    [
        ({"query": "q"}, {"x-api-key": "k"}, "knowledgesdk"),
        ({"messages": []}, {"x-api-key": "k"}, "knowledgesdk"),
        ({"messages": []}, {}, "cloudflare"),
        ({"query": "q", "ai_search_options": None}, {}, "cloudflare"),
        ({"query": "q", "limit": 3, "ai_search_options": {}}, {}, "cloudflare"),
        ({"query": "q", "limit": 3}, {}, "knowledgesdk"),
        ({"query": "q"}, {}, "cloudflare"),
    ],
)
def test_whose_request_it_is(body: dict[str, Any], headers: dict[str, str], whose: str) -> None:
    assert choose_dialect(Body(body), headers) == whose


async def test_another_form_can_be_served_beside_it(served: Library) -> None:
    from starlette.applications import Starlette

    def search(state: ServerState, context: RequestContext, body: Body) -> Any:
        if body.fields.get("query") == QUESTION:
            raise HttpError(404, "not found", "no such endpoint")
        return {"form": context.dialect}

    names = ("query", "messages", "ai_search_options")
    other = Operation(
        dialect="other",
        fail=default_error,
        scope=None,
        keyless=True,
        fields=RequestFields("Other", "/other/search", {n: Honored("it acts") for n in names}),
        run=search,
    )

    state = served.running.state
    handler = RequestHandler(state, None)
    app = Starlette(routes=routes(handler, public=other))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://local") as http:
        theirs = await http.post("/v1/search", json={"query": "q"})
        assert theirs.json() == {"form": "other"}
        for body in ({"query": QUESTION, "limit": 1}, {"query": QUESTION}):
            ours = await http.post("/v1/search", json=body)
            assert ours.json()["hits"][0]["id"] == "paris"
        body = {"query": QUESTION, "ai_search_options": {}}
        assert (await http.post("/search", json=body)).status_code == 404
        both = await http.post("/search", json={"messages": [], "limit": 1})
        assert both.status_code == 400
        assert "limit of /knowledgesdk/v1/search" in both.json()["message"]
        assert "messages of /other/search" in both.json()["message"]
        prefixed = await http.post("/knowledgesdk/search", json={"query": QUESTION})
        assert prefixed.json()["total"] == 3
