"""Every route of the application: nothing of a body is read before it is known who asks."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from secondpass.server.access.api_keys import KeyFile
from secondpass.server.app import create_app
from secondpass.server.settings import ServerSettings
from tests.server.conftest import keyed, running

pytest.importorskip("grpc", reason="the extra grpc is not installed")

CHUNK = 65_536
BODY = 300 * CHUNK
# Probes, versions, the API's description and the page, which have no body to read.
KEYLESS = re.compile(
    r"/(tei/|infinity/|vllm/)?health|/ready|/metrics|/(tei/)?info|(/weaviate-reranker)?/meta"
    r"|(/weaviate-reranker|/v1)?/\.well-known/[a-z-]+|/api/v1/openapi\.json"
    r"|/ui(/.*)?"
)
# A key is not needed for an endpoint that its owner made public: it is found first.
PUBLIC = re.compile(r"/cloudflare/\{endpoint\}/.*")
# Shared with public endpoints: so much is read to know which API a request is for.
READ_WITHOUT_KEY = {"/search": CHUNK, "/v1/search": CHUNK}
# Open to every key; each tool of MCP asks for its own scope.
WITHOUT_SCOPE = re.compile(r"/mcp|(/infinity|/v1|)/models(/\{.*\})?|/api/v1/capabilities")


@dataclass
class Served:
    """The application, a key without scopes, and its routes as (method, pattern, path)."""

    app: Any
    key: str
    routes: list[tuple[str, str, str]]


def flat(routes: Iterable[Any]) -> Iterator[Any]:
    """Yield the routes, also those of the routers that newer versions of FastAPI keep whole."""
    for route in routes:
        router = getattr(route, "original_router", None)
        yield from [route] if router is None else flat(router.routes)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, model: str) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("routes")
    settings = ServerSettings(
        models=[model], keys=folder / "keys.json", data=folder / "data", grpc_port=0
    )
    key = KeyFile(folder / "keys.json").create("nothing", [])
    app = create_app(settings)
    app.state.server.load()
    routes: list[tuple[str, str, str]] = []
    for route in flat(app.routes):
        # Another kind of route would not be checked below.
        assert isinstance(route, Route)
        path = re.sub(r"\{[^}]*\}", "x", route.path)
        routes += [(method, route.path, path) for method in sorted(route.methods or ())]
    yield Served(app, key, routes)
    app.state.server.close()


async def send(app: Any, method: str, path: str, key: str | None) -> tuple[int, int]:
    """Return the status of a request with a large body, and how many bytes were taken."""
    taken, status = 0, 0
    headers = [(b"host", b"x"), (b"content-length", str(BODY).encode())]
    if key is not None:
        headers.append((b"authorization", f"Bearer {key}".encode()))

    async def receive() -> dict[str, Any]:
        nonlocal taken
        if taken == BODY:
            await asyncio.Event().wait()
        taken += CHUNK
        # Not JSON before its end: only a bound keeps a reader from taking all of it.
        more = taken < BODY
        return {"type": "http.request", "body": b" " * CHUNK, "more_body": more}

    async def respond(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
        "root_path": "",
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
    }
    await app(scope, receive, respond)
    return status, taken


@pytest.mark.parametrize("key", [None, "sp-00000000-wrong"])
async def test_without_a_valid_key_nothing_is_read(served: Served, key: str | None) -> None:
    assert len(served.routes) > 100
    for method, pattern, path in served.routes:
        status, taken = await send(served.app, method, path, key)
        where = f"{method} {pattern}: {status}, {taken:,} bytes"
        if key is None and pattern in READ_WITHOUT_KEY:
            # One chunk more shows that the body is too long.
            assert taken <= READ_WITHOUT_KEY[pattern] + CHUNK, where
            assert status == 413, where
            continue
        assert taken == 0, where
        if PUBLIC.fullmatch(pattern):
            assert status == 404, where
        elif not KEYLESS.fullmatch(pattern):
            assert status in (401, 405, 501), where


async def test_without_the_scope_nothing_is_read(served: Served) -> None:
    for method, pattern, path in served.routes:
        if WITHOUT_SCOPE.fullmatch(pattern):
            continue
        status, taken = await send(served.app, method, path, served.key)
        where = f"{method} {pattern}: {status}, {taken:,} bytes"
        assert taken == 0, where
        if not (PUBLIC.fullmatch(pattern) or KEYLESS.fullmatch(pattern)):
            assert status in (403, 405, 501), where


def test_a_client_that_waits_to_be_asked_for_the_body_is_not(
    tmp_path: Path, model: str
) -> None:
    KeyFile(tmp_path / "keys.json").create("one", ["rerank"])
    with running(keyed(tmp_path, model)) as found:
        port = int(found.url.rpartition(":")[2])
        for path in ("/v1/rerank", "/v1/graphql", "/mcp", "/api/v1/rerank"):
            connection = socket.create_connection(("127.0.0.1", port), 10)
            with connection:
                connection.sendall(
                    f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY}\r\n"
                    "Expect: 100-continue\r\n\r\n".encode()
                )
                assert connection.recv(12) == b"HTTP/1.1 401"
