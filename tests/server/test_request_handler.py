"""The pipeline from a request to its response, for operations of any dialect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from secondpass.server.access.api_keys import KeyFile
from secondpass.server.http_errors import HttpError
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import Operation, RequestHandler, SharedPath
from secondpass.server.settings import ServerSettings
from secondpass.server.state import ServerState
from secondpass.server.streaming import EventStream


@pytest.fixture
def state() -> Iterator[ServerState]:
    found = ServerState(ServerSettings(max_documents=3))
    yield found
    found.close()


@pytest.fixture
def keys(tmp_path: Path) -> tuple[KeyFile, str, str]:
    file = KeyFile(tmp_path / "keys.json")
    return file, file.create("search", ["search"]), file.create("rerank", ["rerank"])


def error_body(error: HttpError, request_id: str) -> dict[str, Any]:
    return {"kind": error.kind, "why": error.message}


def echo(steps: list[str], **more: Any) -> Operation[Any, Any]:
    def parse(context: RequestContext, body: Any) -> Any:
        steps.append("parse")
        return body.fields

    def run(state: ServerState, context: RequestContext, query: Any) -> Any:
        steps.append("run")
        return {**query, "documents": context.documents}

    def respond(context: RequestContext, query: Any, result: Any) -> Any:
        steps.append("respond")
        return {"dialect": context.dialect, **result}

    return Operation(
        **{
            "dialect": "echo",
            "fail": error_body,
            "scope": "search",
            "parse": parse,
            "run": run,
            "respond": respond,
            **more,
        }
    )


def serve(handler: RequestHandler, **endpoints: Any) -> httpx2.AsyncClient:
    app = Starlette(
        routes=[
            Route(
                f"/{name}",
                handler.serve_shared(found)
                if isinstance(found, SharedPath)
                else handler.serve(found),
                methods=["POST"],
            )
            for name, found in endpoints.items()
        ]
    )
    transport = httpx2.ASGITransport(app=app)
    return httpx2.AsyncClient(transport=transport, base_url="http://local")


def unread(read: list[str]) -> Callable[[], AsyncIterator[bytes]]:
    async def content() -> AsyncIterator[bytes]:
        read.append("body")
        yield b"{}"

    return content


async def test_steps_run_in_order(state: ServerState) -> None:
    steps: list[str] = []

    def finish(context: RequestContext, response: Response) -> Response:
        response.headers["x-finished"] = context.dialect
        return response

    def check(state: ServerState, context: RequestContext) -> None:
        steps.append("check")

    operation = echo(steps, check=check, documents=lambda query: query["n"], finish=finish)
    async with serve(RequestHandler(state, None), echo=operation) as http:
        response = await http.post("/echo", json={"n": 2})
        assert response.json() == {"dialect": "echo", "n": 2, "documents": 2}
        assert steps == ["check", "parse", "run", "respond"]
        refused = await http.post("/echo", json={"n": 4})
        assert (refused.status_code, refused.json()["kind"]) == (400, "too many")
        assert refused.headers["x-finished"] == "echo"


async def test_key_scope_and_check_come_before_the_body(
    state: ServerState, keys: tuple[KeyFile, str, str]
) -> None:
    file, search_key, rerank_key = keys
    read: list[str] = []
    body = unread(read)

    def check(state: ServerState, context: RequestContext) -> None:
        raise HttpError(404, "not found", "no such endpoint")

    handler = RequestHandler(state, file)
    operations = {"echo": echo([]), "checked": echo([], check=check)}
    async with serve(handler, **operations) as http:
        for path, key, status in [
            ("/echo", None, 401),
            ("/echo", rerank_key, 403),
            ("/checked", search_key, 404),
        ]:
            headers = {} if key is None else {"x-api-key": key}
            # Sent as a stream: whoever reads the body starts it.
            request = http.build_request("POST", path, content=body(), headers=headers)
            assert (await http.send(request)).status_code == status
            assert read == []
        request = http.build_request(
            "POST", "/echo", content=body(), headers={"x-api-key": search_key}
        )
        assert (await http.send(request)).status_code == 200
        assert read == ["body"]


async def test_shared_paths_read_a_body_without_a_key_only_for_keyless_operations(
    state: ServerState, keys: tuple[KeyFile, str, str]
) -> None:
    file, search_key, _ = keys
    read: list[str] = []
    body = unread(read)
    keyed, open_ = echo([]), echo([], dialect="open", keyless=True)
    shared = SharedPath(lambda body, headers: [keyed], "search")
    mixed = SharedPath(
        lambda body, headers: [open_ if body.has("open") else keyed],
        "search",
        max_keyless_body=100,
    )
    async with serve(RequestHandler(state, file), shared=shared, mixed=mixed) as http:
        refused = await http.send(http.build_request("POST", "/shared", content=body()))
        assert (refused.status_code, read) == (401, [])
        wrong = http.build_request(
            "POST", "/mixed", content=body(), headers={"x-api-key": "sp-1-2"}
        )
        assert ((await http.send(wrong)).status_code, read) == (401, [])
        assert (await http.post("/mixed", json={})).status_code == 401
        long = {"open": "x" * 100}
        large = await http.post("/mixed", json=long)
        assert large.status_code == 413
        assert "100 bytes, the limit of requests without a key" in large.json()["message"]
        own = {"x-api-key": search_key}
        assert (await http.post("/mixed", json=long, headers=own)).status_code == 200
        answered = await http.post("/mixed", json={"open": 1})
        assert answered.json()["dialect"] == "open"
        answered = await http.post("/mixed", json={}, headers={"x-api-key": search_key})
        assert answered.json()["dialect"] == "echo"


async def test_shared_paths_try_the_next_operation_after_a_404(
    state: ServerState,
) -> None:
    def check(state: ServerState, context: RequestContext) -> None:
        raise HttpError(404, "not found", "no such endpoint")

    first, second = echo([], check=check), echo([], dialect="second")
    both = SharedPath(lambda body, headers: [first, second], "search")
    alone = SharedPath(lambda body, headers: [first], "search")
    async with serve(RequestHandler(state, None), both=both, alone=alone) as http:
        assert (await http.post("/both", json={})).json()["dialect"] == "second"
        assert (await http.post("/alone", json={})).status_code == 404


async def test_streams_begin_with_a_status_and_end_with_an_error_frame(
    state: ServerState,
) -> None:
    def stream(state: ServerState, context: RequestContext, query: Any) -> EventStream:
        def frames() -> Iterator[str]:
            if query.get("fail") == 0:
                raise HttpError(404, "not found", "nothing to stream")
            yield "data: 1\n\n"
            if query.get("fail") == 1:
                raise HttpError(502, "failed", "it broke")
            yield "data: 2\n\n"

        return EventStream(frames(), lambda error: f"error: {error.message}\n\n", {"x-a": "b"})

    operation = echo([], stream=stream, wants_stream=lambda query: query.get("stream", False))
    async with serve(RequestHandler(state, None), echo=operation) as http:
        assert (await http.post("/echo", json={})).headers["content-type"] == "application/json"
        response = await http.post("/echo", json={"stream": True})
        assert (response.text, response.headers["x-a"]) == ("data: 1\n\ndata: 2\n\n", "b")
        early = await http.post("/echo", json={"stream": True, "fail": 0})
        assert (early.status_code, early.json()["why"]) == (404, "nothing to stream")
        late = await http.post("/echo", json={"stream": True, "fail": 1})
        assert late.text == "data: 1\n\nerror: it broke\n\n"


async def test_errors_have_the_shape_of_the_dialect(state: ServerState) -> None:
    def run(state: ServerState, context: RequestContext, query: Any) -> Any:
        raise ValueError("a secret")

    async def wait(context: RequestContext, query: Any, result: Any) -> Any:
        raise HttpError(409, "exists", "it was made meanwhile")

    broken = echo([], run=run)
    operations = {"broken": broken, "late": echo([], wait=wait)}
    async with serve(RequestHandler(state, None), **operations) as http:
        failed = await http.post("/broken", json={})
        assert (failed.status_code, failed.json()["kind"]) == (500, "failed")
        assert "secret" not in failed.text
        assert (await http.post("/late", json={})).json()["kind"] == "exists"
