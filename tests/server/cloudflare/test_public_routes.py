"""Public endpoints: access without a key, rate limits, CORS and hosts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from secondpass.server.access.api_keys import KeyFile
from secondpass.server.http_errors import HttpError
from secondpass.server.settings import ServerSettings
from tests.server.cloudflare.conftest import ACCOUNT, FRANCE, WHALES, keys, put
from tests.server.conftest import keyed, running

ASK = {"query": "whales", "ai_search_options": {"retrieval": {"match_threshold": 0}}}
OPEN = {"public_endpoint_params": {"enabled": True}}


@pytest.fixture(scope="module")
def clients(
    model: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[httpx2.Client, httpx2.Client]]:
    """Who has a key, and who has none."""
    pytest.importorskip("python_multipart", reason="the extra server is not installed")
    folder: Path = tmp_path_factory.mktemp("keyed")
    key = KeyFile(folder / "keys.json").create("a", ["search", "write"], tenant="ours")
    settings: ServerSettings = keyed(folder, model, data=folder / "data")
    headers = {"authorization": f"Bearer {key}"}
    with (
        running(settings) as found,
        httpx2.Client(base_url=found.url + ACCOUNT, headers=headers, timeout=60) as ours,
        httpx2.Client(base_url=found.url, timeout=60) as anybody,
    ):
        yield ours, anybody


def make(ours: httpx2.Client, name: str, text: str, **more: Any) -> str:
    made = ours.post("/ai-search/instances", json={"id": name, **more}).json()["result"]
    put(ours, f"/ai-search/instances/{name}", f"{name}.md", text)
    return f"/cloudflare/{made['public_endpoint_id']}"


def test_an_enabled_endpoint(clients: tuple[httpx2.Client, httpx2.Client]) -> None:
    ours, anybody = clients
    path = make(ours, "open", WHALES, **OPEN)
    assert path != "/cloudflare/None"
    found = anybody.post(f"{path}/search", json=ASK)
    assert keys(found.json()["result"]["chunks"]) == ["open.md"]
    assert found.headers["access-control-allow-origin"] == "*"
    messages = [{"role": "user", "content": "whales?"}]
    told = anybody.post(f"{path}/chat/completions", json={"messages": messages})
    assert told.json()["object"] == "chat.completion"
    streamed = anybody.post(
        f"{path}/chat/completions", json={"messages": messages, "stream": True}
    )
    assert streamed.text.startswith("event: chunks\n")
    wrong = anybody.post(f"{path}/search", json={})
    assert (wrong.status_code, wrong.json()["success"]) == (400, False)
    assert (
        anybody.post(f"{ACCOUNT}/ai-search/instances/open/search", json=ASK).status_code == 401
    )
    ours.put("/ai-search/instances/open", json={"public_endpoint_params": {}})
    closed = anybody.post(f"{path}/search", json=ASK)
    assert (closed.status_code, closed.json()["errors"][0]["code"]) == (404, 60013)
    again = ours.put("/ai-search/instances/open", json=OPEN).json()["result"]
    assert path.endswith(again["public_endpoint_id"])
    assert anybody.post(f"{path}/search", json=ASK).status_code == 200
    ours.delete("/ai-search/instances/open")
    assert anybody.post(f"{path}/search", json=ASK).status_code == 404


def test_search_can_be_disabled(clients: tuple[httpx2.Client, httpx2.Client]) -> None:
    ours, anybody = clients
    off = {"enabled": True, "search_endpoint": {"disabled": True}}
    path = make(ours, "chat-only", FRANCE, public_endpoint_params=off)
    assert anybody.post(f"{path}/search", json=ASK).status_code == 404
    messages = {"messages": [{"role": "user", "content": "France?"}]}
    assert anybody.post(f"{path}/chat/completions", json=messages).status_code == 200
    ours.delete("/ai-search/instances/chat-only")


def test_rate_limit(clients: tuple[httpx2.Client, httpx2.Client]) -> None:
    ours, anybody = clients
    limit = {"requests": 2, "period_ms": 60_000}
    params = {"enabled": True, "rate_limit": limit}
    path = make(ours, "seldom", FRANCE, public_endpoint_params=params)
    answers = [anybody.post(f"{path}/search", json=ASK) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 60
    ours.delete("/ai-search/instances/seldom")


def test_authorized_hosts(clients: tuple[httpx2.Client, httpx2.Client]) -> None:
    ours, anybody = clients
    params = {"enabled": True, "authorized_hosts": ["Shop.example.com"]}
    path = make(ours, "pages", FRANCE, public_endpoint_params=params)
    allowed = "access-control-allow-origin"
    for origin, expected in (
        ("https://shop.example.com:8443", "https://shop.example.com:8443"),
        ("https://evil.example.com", None),
    ):
        headers = {"origin": origin}
        before = anybody.request("OPTIONS", f"{path}/search", headers=headers)
        assert before.status_code == 204
        assert before.headers.get(allowed) == expected
        found = anybody.post(f"{path}/search", json=ASK, headers=headers)
        assert found.headers.get(allowed) == expected
        assert found.headers["vary"] == "Origin"
    ours.delete("/ai-search/instances/pages")


def test_a_namespace_endpoint_searches_only_allowed_instances(
    clients: tuple[httpx2.Client, httpx2.Client],
) -> None:
    ours, anybody = clients
    make(ours, "one", WHALES)
    make(ours, "two", FRANCE)
    params = {"public_endpoint_params": {"enabled": True, "instances_allowed": ["one"]}}
    space = ours.put("/ai-search/namespaces/default", json=params).json()["result"]
    path = f"/cloudflare/{space['public_endpoint_id']}"
    found = anybody.post(f"{path}/search", json=ASK).json()["result"]
    assert {c["instance_id"] for c in found["chunks"]} == {"one"}
    for names in (["two"], ["one", "two"], ["none"]):
        options = {**ASK["ai_search_options"], "instance_ids": names}  # type: ignore[dict-item]
        refused = anybody.post(f"{path}/search", json={**ASK, "ai_search_options": options})
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (404, 60013)
    ours.delete("/ai-search/instances/one")
    assert anybody.post(f"{path}/search", json=ASK).status_code == 404
    ours.delete("/ai-search/instances/two")


def test_endpoints_survive_a_restart(model: str, tmp_path: Path) -> None:
    settings = ServerSettings(models=[model], data=tmp_path)
    with running(settings) as found, httpx2.Client(base_url=found.url + ACCOUNT) as http:
        path = make(http, "open", WHALES, **OPEN)
    with running(settings) as found:
        assert httpx2.post(f"{found.url}{path}/search", json=ASK).status_code == 200
        unknown = httpx2.post(f"{found.url}/cloudflare/{'0' * 32}/search", json=ASK)
        assert unknown.status_code == 404


def test_nobody_takes_the_domain_of_another(model: str, tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    tenants = [file.create(name, ["search", "write"], tenant=name) for name in ("a", "b")]

    def domain(*names: str, enabled: bool = True) -> dict[str, Any]:
        params = {"enabled": enabled, "custom_domains": list(names)}
        return {"public_endpoint_params": params}

    def sent(client: httpx2.Client, method: str, path: str, **body: Any) -> int:
        answer = client.request(method, f"/ai-search/{path}", json=body)
        if answer.status_code == 409:
            assert "'docs.example.com'" in answer.json()["errors"][0]["message"]
        return answer.status_code

    with running(keyed(tmp_path, model, data=tmp_path / "data")) as found:
        a, b = (
            httpx2.Client(
                base_url=found.url + ACCOUNT, headers={"authorization": f"Bearer {key}"}
            )
            for key in tenants
        )
        with a, b:
            ours, theirs = (
                domain("Docs.example.com", "x.example.com"),
                domain("docs.EXAMPLE.com"),
            )
            assert sent(a, "POST", "instances", id="one", **ours) == 200
            endpoints: Any = found.state.background[0].public_endpoints  # type: ignore[attr-defined]
            first = endpoints.find_by_host("docs.example.com").id
            assert sent(b, "POST", "instances", id="two", **theirs) == 409
            assert sent(b, "GET", "instances/two") == 404
            assert sent(b, "POST", "instances", id="two") == 200
            assert sent(b, "PUT", "instances/two", **theirs) == 409
            assert sent(b, "PUT", "namespaces/default", **theirs) == 409
            assert sent(b, "POST", "namespaces", name="new", **theirs) == 409
            assert sent(b, "GET", "namespaces/new") == 404
            # Who is not enabled takes nothing, and gives it up.
            assert (
                sent(b, "PUT", "instances/two", **domain("docs.example.com", enabled=False))
                == 200
            )
            assert endpoints.find_by_host("docs.example.com").id == first
            assert sent(a, "PUT", "instances/one", **ours) == 200
            assert sent(a, "PUT", "instances/one", public_endpoint_params={}) == 200
            assert sent(b, "PUT", "namespaces/default", **theirs) == 200
            assert endpoints.find_by_host("docs.example.com").tenant == "b"
            assert sent(a, "PUT", "instances/one", **ours) == 409


def test_an_endpoint_is_found_by_its_host(model: str, tmp_path: Path) -> None:
    settings = ServerSettings(models=[model], data=tmp_path)
    with running(settings) as found, httpx2.Client(base_url=found.url + ACCOUNT) as http:
        app: Any = found.state.background[0]
        with pytest.raises(HttpError, match="ai_search_not_found"):
            app.public_endpoints.find_by_host("127.0.0.1:8080")
        params = {"enabled": True, "custom_domains": ["Search.example.com"]}
        one = make(http, "one", WHALES, public_endpoint_params=params).rpartition("/")[2]
        assert app.public_endpoints.find_by_host("127.0.0.1:8080").id == one
        two = make(http, "two", WHALES, **OPEN).rpartition("/")[2]
        assert app.public_endpoints.find_by_host(f"{two}.search.ai.example:443").id == two
        assert app.public_endpoints.find_by_host("search.EXAMPLE.com").instances == ("one",)
        with pytest.raises(HttpError):
            app.public_endpoints.find_by_host("127.0.0.1")
