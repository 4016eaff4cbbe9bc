"""Calls by gRPC: who may, how much, and what happens at the start and at the end."""

from __future__ import annotations

import math
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from starlette.datastructures import Headers

from secondpass.errors import InputError
from secondpass.server.access.api_keys import KeyFile
from secondpass.server.grpc_bridge import _scope
from secondpass.server.settings import ServerSettings
from secondpass.server.state import READ_THREADS
from secondpass.server.weaviate.grpc.messages import (
    BatchDeleteReply,
    BatchDeleteRequest,
    BatchObjectsReply,
    BatchObjectsRequest,
    SearchReply,
    SearchRequest,
)
from tests.server.conftest import QUERY, TEXTS, Running, running
from tests.server.load import busy, sending, until
from tests.server.weaviate.conftest import settings

_REPLIES = {
    "Search": SearchReply,
    "BatchObjects": BatchObjectsReply,
    "BatchDelete": BatchDeleteReply,
}
HEALTH = "/grpc.health.v1.Health/Check"


class Calls:
    """Makes calls: by name or path, with a message or bytes."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def __call__(
        self, name: str, request: Any = b"", *, key: str | None = None, timeout: float = 20
    ) -> Any:
        metadata = () if key is None else (("authorization", f"Bearer {key}"),)
        answer = self._send(name)(_encode(request), metadata=metadata, timeout=timeout)
        return _REPLIES[name].FromString(answer) if name in _REPLIES else answer

    def submit(self, name: str, request: Any) -> Any:
        """Make a call and return its future."""
        return self._send(name).future(_encode(request), timeout=20)

    def metadata(self, name: str, request: Any, *metadata: tuple[str, Any]) -> dict[str, str]:
        """Make a call and return its trailing metadata."""
        _, ended = self._send(name).with_call(_encode(request), metadata=metadata, timeout=20)
        return dict(ended.trailing_metadata())

    def _send(self, name: str) -> Any:
        path = name if name.startswith("/") else f"/weaviate.v1.Weaviate/{name}"
        return self.channel.unary_unary(path)


def _encode(request: Any) -> bytes:
    return bytes(request if isinstance(request, bytes) else request.SerializeToString())


@contextmanager
def calling(found: Running) -> Iterator[Calls]:
    with grpc.insecure_channel(f"127.0.0.1:{found.grpc_port}") as channel:
        yield Calls(channel)


def refused(call: Calls, *arguments: Any, **options: Any) -> Any:
    """Make a call that is refused, and return code, message and what is told besides."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **options)
    error: Any = caught.value
    return error.code().name, error.details(), dict(error.trailing_metadata())


def stored(name: str = "Doc", texts: list[str] = TEXTS) -> Any:
    request = BatchObjectsRequest()
    for text in texts:
        request.objects.add(collection=name).properties.non_ref_properties["text"] = text
    return request


@pytest.fixture(scope="module")
def served(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("grpc")
    with running(settings(model, folder, grpc_port=0)) as found, calling(found) as call:
        assert not call("BatchObjects", stored()).errors
        yield found


@pytest.fixture
def call(served: Running) -> Iterator[Calls]:
    with calling(served) as made:
        yield made


def test_what_is_found_is_what_graphql_finds(served: Running, call: Calls) -> None:
    request = SearchRequest(
        collection="Doc",
        bm25_search={"query": QUERY},
        rerank={"property": "text", "query": QUERY},
        metadata={"uuid": True, "score": True},
    )
    query = (
        f'{{Get{{Doc(bm25: {{query: "{QUERY}"}}){{text _additional{{id score '
        f'rerank(property: "text", query: "{QUERY}"){{score}}}}}}}}}}'
    )
    rows = httpx2.post(f"{served.url}/v1/graphql", json={"query": query}).json()["data"]["Get"]
    found = call("Search", request).results
    assert len(found) > 1
    assert [
        (one.metadata.id, one.properties.non_ref_props.fields["text"].text_value)
        for one in found
    ] == [(row["_additional"]["id"], row["text"]) for row in rows["Doc"]]
    for one, row in zip(found, rows["Doc"], strict=True):
        said = row["_additional"]
        assert one.metadata.score == pytest.approx(float(said["score"]))
        assert one.metadata.rerank_score == pytest.approx(said["rerank"][0]["score"])


def test_every_answer_names_its_request(served: Running, call: Calls) -> None:
    told = call.metadata("Search", SearchRequest(collection="Doc"), ("x-request-id", "mine-1"))
    assert told["x-request-id"] == "mine-1"
    code, message, metadata = refused(call, "Search", SearchRequest(collection="Missing"))
    assert (code, message) == ("NOT_FOUND", "class 'Missing' not found in schema")
    assert metadata["x-request-id"]


def test_calls_are_counted_as_requests_are(served: Running, call: Calls) -> None:
    call("Search", SearchRequest(collection="Doc"))
    counts = httpx2.get(f"{served.url}/metrics").text
    assert 'dialect="weaviate-grpc"' in counts


def test_stored_objects_are_not_counted_as_reranked(served: Running, call: Calls) -> None:
    def documents() -> str:
        lines = httpx2.get(f"{served.url}/metrics").text.splitlines()
        return next(line for line in lines if line.startswith("secondpass_documents_total"))

    before = documents()
    assert not call("BatchObjects", stored("Uncounted")).errors
    body = {"objects": [{"class": "Uncounted", "properties": {"text": "sea"}}]}
    httpx2.post(f"{served.url}/v1/batch/objects", json=body).raise_for_status()
    assert documents() == before


def test_health(served: Running, call: Calls) -> None:
    assert call(HEALTH) == b"\x08\x01"
    served.state.ready = False
    try:
        assert call(HEALTH) == b"\x08\x02"
    finally:
        served.state.ready = True


def test_what_is_not_there(call: Calls) -> None:
    for path in ("/weaviate.v1.Weaviate/Missing", "/v1/graphql", "/v1/rerank", "/x/y"):
        assert refused(call, path)[0] == "UNIMPLEMENTED"
    code, message, _ = refused(call, "TenantsGet")
    assert (code, message) == ("UNIMPLEMENTED", "TenantsGet is not supported here")


@examples(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.sampled_from(["Search", "BatchObjects", "BatchDelete"]), st.binary(max_size=60))
def test_any_bytes_are_answered(call: Calls, name: str, content: bytes) -> None:
    try:
        call(name, content)
    except grpc.RpcError as error:
        said: Any = error
        assert said.code().name in ("INVALID_ARGUMENT", "NOT_FOUND"), said


def test_a_search_that_is_too_long(call: Calls) -> None:
    code, message, _ = refused(call, "Search", SearchRequest(collection="x" * 2_000_000))
    assert code == "RESOURCE_EXHAUSTED"
    assert "2,000,000 bytes" in message


@pytest.mark.parametrize("force", [math.nan, math.inf, -1.0])
def test_a_force_that_cannot_be(served: Running, call: Calls, force: float) -> None:
    made = {"class": "Embedded", "vectorizer": "text2vec-transformers"}
    httpx2.post(f"{served.url}/v1/schema", json=made)
    near = {"query": ["sea"], "move_away": {"force": force, "concepts": ["river"]}}
    code, message, _ = refused(
        call, "Search", SearchRequest(collection="Embedded", near_text=near)
    )
    assert code == "INVALID_ARGUMENT"
    assert "force" in message


def test_a_message_that_does_not_come(model: str, tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    good = keys.create("good", ["search"])
    given = settings(model, tmp_path, keys=keys.file, grpc_port=0, body_timeout=0.5)
    never = threading.Event()

    def messages() -> Iterator[bytes]:
        never.wait(20)
        yield b""

    with running(given) as found, calling(found) as call:
        send = call.channel.stream_unary("/weaviate.v1.Weaviate/Search")
        for key, code in ((good, "DEADLINE_EXCEEDED"), ("wrong", "UNAUTHENTICATED")):
            with pytest.raises(grpc.RpcError) as caught:
                send(messages(), metadata=(("authorization", f"Bearer {key}"),), timeout=15)
            error: Any = caught.value
            assert error.code().name == code
        never.set()


def test_metadata_that_is_odd(call: Calls) -> None:
    class Sent:
        """What a client of another make may send; that for Python refuses to."""

        def invocation_metadata(self) -> list[tuple[str, str | bytes]]:
            return [("x-a", "日本\udc80"), ("x-b-bin", b"\xff"), ("x-c", "\xff")]

    headers = Headers(scope=_scope("/a/b", Sent()))
    assert list(headers) == ["x-a", "x-c"]
    assert call.metadata("Search", SearchRequest(collection="Doc"), ("x-odd-bin", b"\xff"))


def test_a_read_waits_no_longer_than_its_request(model: str, tmp_path: Path) -> None:
    given = settings(model, tmp_path, timeout=3, grpc_port=0)
    search = SearchRequest(collection="Doc")
    with running(given) as found, calling(found) as call:
        call("BatchObjects", stored())
        release = threading.Event()
        held = [found.state.submit_read(lambda: release.wait(20)) for _ in range(READ_THREADS)]
        assert refused(call, "Search", search)[0] == "DEADLINE_EXCEEDED"
        first = call.submit("Search", search)
        until(lambda: found.state.active_requests == 1)
        first.cancel()
        until(lambda: found.state.active_requests == 0)
        release.set()
        assert all(one.result(20) for one in held)
        assert len(call("Search", search).results) == len(TEXTS)


def test_keys_and_scopes(model: str, tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    reads, writes = keys.create("reads", ["search"]), keys.create("writes", ["write"])
    other = keys.create("other", ["admin"], tenant="other")
    search, remove = SearchRequest(collection="Doc"), BatchDeleteRequest(collection="Doc")
    with (
        running(settings(model, tmp_path, keys=keys.file, grpc_port=0)) as found,
        calling(found) as call,
    ):
        assert call(HEALTH) == b"\x08\x01"
        for key in (None, "wrong", "sp-00000000-wrong"):
            for name, request in (("Search", search), ("BatchObjects", stored())):
                code, message, _ = refused(call, name, request, key=key)
                assert code == "UNAUTHENTICATED"
                assert "key" in message
        assert not call("BatchObjects", stored(), key=writes).errors
        assert len(call("Search", search, key=reads).results) == len(TEXTS)
        assert refused(call, "Search", search, key=writes)[0] == "PERMISSION_DENIED"
        for name, request in (("BatchObjects", stored()), ("BatchDelete", remove)):
            code, message, _ = refused(call, name, request, key=reads)
            assert code == "PERMISSION_DENIED"
            assert "not for write" in message
        # Another tenant sees nothing of it.
        assert refused(call, "Search", search, key=other)[0] == "NOT_FOUND"


def test_limits(model: str, tmp_path: Path) -> None:
    small = settings(model, tmp_path, max_body=2000, max_documents=2, grpc_port=0)
    with running(small) as found, calling(found) as call:
        code, message, _ = refused(call, "BatchObjects", stored())
        assert (code, message) == ("INVALID_ARGUMENT", "there are 4 documents, at most 2")
        code, message, _ = refused(call, "BatchObjects", stored(texts=["x" * 3000]))
        assert code == "RESOURCE_EXHAUSTED"
        # The message of an error may quote what was sent.
        long = SearchRequest(collection="Doc", rerank={"property": "x" * 1500})
        call("BatchObjects", stored(texts=["x"]))
        code, message, _ = refused(call, "Search", long)
        assert (code, len(message)) == ("INVALID_ARGUMENT", 1000)
        meta = httpx2.get(f"{found.url}/v1/meta").json()
        assert meta["grpcMaxMessageSize"] == 2000


def test_too_much_is_refused_and_told_when_to_come_back(model: str, tmp_path: Path) -> None:
    few = settings(model, tmp_path, most_waiting=100, grpc_port=0)
    search = SearchRequest(collection="Doc", rerank={"property": "text", "query": QUERY})
    with running(few) as found, calling(found) as call:
        call("BatchObjects", stored())
        with busy(found):
            first = call.submit("Search", search)
            until(lambda: found.state.queue.waiting > 1)
            code, message, told = refused(call, "Search", search)
            assert code == "RESOURCE_EXHAUSTED"
            assert "busy" in message
            assert int(told["retry-after"]) >= 1
            # One that hangs up frees its place, and is told from one that was answered.
            first.cancel()
            until(lambda: found.state.active_requests == 0)
            counts = httpx2.get(f"{found.url}/metrics").text
            assert re.search(r'requests_total{dialect="weaviate-grpc",status="499"} 1', counts)
        assert len(call("Search", search).results) == len(TEXTS)


def test_a_call_under_way_is_finished_when_the_server_stops(model: str, tmp_path: Path) -> None:
    search = SearchRequest(collection="Doc", rerank={"property": "text", "query": QUERY})
    with running(settings(model, tmp_path, grpc_port=0)) as found, calling(found) as call:
        call("BatchObjects", stored())
        with busy(found) as let_go:
            first = call.submit("Search", search)
            until(lambda: found.state.active_requests == 1)
            found.server.should_exit = True
            until(lambda: not listening(call))
            let_go()
            reply = SearchReply.FromString(first.result())
            assert len(reply.results) == len(TEXTS)


def test_no_call_is_taken_while_requests_are_drained(model: str, tmp_path: Path) -> None:
    given = settings(model, tmp_path, grpc_port=0)
    with running(given) as found, calling(found) as call, busy(found) as let_go:
        assert listening(call)
        with sending(found.url) as send:
            under_way = send()
            until(lambda: found.state.active_requests == 1)
            found.server.should_exit = True
            until(lambda: not listening(call))
            assert not under_way.done()
            let_go()
            assert under_way.result(20).status_code == 200


def listening(call: Calls) -> bool:
    try:
        # A call that the server took as it stopped is not answered.
        call(HEALTH, timeout=2)
    except grpc.RpcError:
        return False
    return True


def test_ports_that_cannot_be(model: str, tmp_path: Path) -> None:
    for port in (-1, 65536):
        with pytest.raises(InputError, match="from 0 to 65535"):
            ServerSettings(models=[model], grpc_port=port)
    with pytest.raises(InputError, match="for HTTP and for gRPC"):
        ServerSettings(models=[model], port=8080, grpc_port=8080)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "secondpass", "serve", "--model", model, "--port", "0"]
        done = subprocess.run(
            [*command, "--grpc-port", str(port)], capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 2
    assert f"could not listen for gRPC at 127.0.0.1:{port}" in done.stderr.splitlines()[-1]
    assert "--grpc-port" in done.stderr.splitlines()[-1]
