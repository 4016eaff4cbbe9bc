"""One client for sync and async callers: slots, limits, cancellation, connections."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from secondpass.errors import ProviderError
from secondpass.llm import Prompt, load_llm
from secondpass.policies import HostedReranker
from secondpass.remote.client import (
    HttpClient,
    HttpRequest,
    HttpResponse,
    RequestFailedError,
    run,
    run_async,
)
from secondpass.remote.endpoint import ApiKey
from secondpass.remote.retry import AttemptFailedError, Deadline, RetryPolicy, retry

KEY = "secret-key"


class Server(ThreadingHTTPServer):
    """Answers by path: /echo, /long (1 MiB), /slow (until `released`), /stream (for ever),
    /pause (a head without a body until `released`)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.released = threading.Event()
        self.running = self.max_running = self.broken_streams = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        with self.server.lock:
            self.server.running += 1
            self.server.max_running = max(self.server.max_running, self.server.running)
        try:
            self._answer(content)
        finally:
            with self.server.lock:
                self.server.running -= 1

    def _answer(self, content: bytes) -> None:
        if self.path in ("/stream", "/pause"):
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            if self.path == "/pause":
                self.server.released.wait(30)
                return
            try:
                while not self.server.released.wait(0.01):
                    self.wfile.write(b"x" * 1000)
            except OSError:
                self.server.broken_streams += 1
            return
        if self.path == "/slow":
            self.server.released.wait(0.05 if content == b"{}" else 30)
        if self.path == "/long":
            content = b" " * 2**20
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.send_header("X-Authorization", self.headers.get("authorization", ""))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as started:
        thread = threading.Thread(target=started.serve_forever, args=(0.01,))
        thread.start()
        yield started
        started.released.set()
        started.shutdown()
        thread.join()


@pytest.fixture
def client(server: Server) -> Iterator[HttpClient]:
    client = new_client(server)
    yield client
    client.close()


def new_client(server: Server, **options: Any) -> HttpClient:
    options = {"max_bytes": 2**18, **options}
    return HttpClient(server.url, ApiKey(KEY), purpose="A test", extra="llm", **options)


def send(client: HttpClient, path: str, **options: Any) -> Any:
    return client.send(HttpRequest(path, {}), **{"idle_timeout": 5.0, **options})


async def test_sync_and_async_callers_share_one_client(client: HttpClient) -> None:
    request = HttpRequest("/echo", {"text": "wörld \ud800"})
    response = run(client.send(request, idle_timeout=5))
    assert response.body == request.body
    assert response.content.isascii()
    assert response.headers["x-authorization"] == f"Bearer {KEY}"
    assert await run_async(client.send(request, idle_timeout=5)) == response
    assert KEY not in repr(client) + repr(vars(client)) + repr(request)


def test_no_more_requests_at_a_time_than_there_are_slots(server: Server) -> None:
    client = new_client(server, concurrency=2)
    with ThreadPoolExecutor(6) as pool:
        for response in pool.map(lambda _: run(send(client, "/slow")), range(6)):
            assert response.status == 200
    assert server.max_running == 2
    client.close()


def test_a_response_above_the_limit_is_refused(client: HttpClient) -> None:
    with pytest.raises(RequestFailedError, match="longer than 0 MiB") as caught:
        run(send(client, "/long"))
    assert (caught.value.status, caught.value.retryable) == (200, False)


@pytest.mark.parametrize("limit", [{"timeout": 0.1}, {"idle_timeout": 0.1}])
def test_a_slow_response_times_out(client: HttpClient, limit: dict[str, float]) -> None:
    request = HttpRequest("/slow", {"wait": True})
    with pytest.raises(RequestFailedError) as caught:
        run(client.send(request, **{"idle_timeout": 5.0, **limit}))
    assert caught.value.timed_out
    assert caught.value.__suppress_context__


async def test_cancelling_an_async_caller_ends_the_request(server: Server) -> None:
    client = new_client(server, concurrency=1)
    request = HttpRequest("/slow", {"wait": True})
    task = asyncio.create_task(run_async(client.send(request, idle_timeout=30)))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # The slot is free again.
    assert (await run_async(send(client, "/echo", timeout=5))).status == 200
    client.close()


def test_a_stream_that_is_left_frees_its_connection_and_slot(server: Server) -> None:
    client = new_client(server, concurrency=1)
    response: HttpResponse = run(send(client, "/stream", stream=True))
    assert response.stream is not None
    assert run(response.stream.read())
    response.stream.close()
    response.stream.close()
    assert run(send(client, "/echo")).status == 200
    until = time.monotonic() + 5
    while not server.broken_streams and time.monotonic() < until:
        time.sleep(0.01)
    assert server.broken_streams == 1
    client.close()


def test_a_stream_that_is_left_ends_its_generators(server: Server) -> None:
    client = new_client(server)
    before = unfinished_generators()
    response: HttpResponse = run(send(client, "/stream", stream=True))
    assert response.stream is not None
    assert run(response.stream.read())
    opened = [r for r in unfinished_generators() if r not in before]
    assert opened
    run(response.stream.aclose())
    run(asyncio.sleep(0))
    # The response is still held: nothing is left to the garbage collector.
    assert [r() for r in opened if r() is not None and r().ag_frame is not None] == []
    client.close()


def unfinished_generators() -> list[Any]:
    """Return references to them: a list of the generators would keep them from ending."""
    found = [o for o in gc.get_objects() if inspect.isasyncgen(o) and o.ag_frame is not None]
    return [weakref.ref(o) for o in found]


def test_a_stream_may_be_closed_while_a_read_waits(server: Server) -> None:
    client = new_client(server, concurrency=1)
    response: HttpResponse = run(send(client, "/pause", stream=True))
    stream = response.stream
    assert stream is not None
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(run, stream.read())
        time.sleep(0.05)
        run(stream.aclose())
        with pytest.raises(RequestFailedError):
            reading.result(5)
    assert run(send(client, "/echo")).status == 200
    client.close()


def test_a_closed_client_opens_again(client: HttpClient) -> None:
    for _ in range(2):
        assert run(send(client, "/echo")).status == 200
        client.close()
        client.close()


def test_a_client_that_is_dropped_closes_its_connections(server: Server) -> None:
    client = new_client(server)
    run(send(client, "/echo"))
    inner = client._client
    assert inner is not None
    del client
    gc.collect()
    until = time.monotonic() + 5
    while not inner.is_closed and time.monotonic() < until:
        time.sleep(0.01)
    assert inner.is_closed


def test_a_body_that_is_not_json_says_what_it_is() -> None:
    response = HttpResponse(200, {"content-type": "text/html; charset=utf-8"}, b"<p>")
    with pytest.raises(ValueError, match=r"not JSON \(content type text/html, 3 bytes\)"):
        _ = response.body


@pytest.mark.parametrize(
    ("retryable", "seconds", "attempts"), [(True, None, 3), (False, None, 1), (True, 0.0, 1)]
)
async def test_retries_end(retryable: bool, seconds: float | None, attempts: int) -> None:
    made = 0

    async def attempt() -> None:
        nonlocal made
        made += 1
        raise AttemptFailedError(ProviderError(f"attempt {made}", retryable=retryable))

    policy = RetryPolicy(2, first=0.001, longest=0.001)
    with pytest.raises(ProviderError, match=f"attempt {attempts}") as caught:
        await retry(attempt, policy, Deadline(seconds))
    assert made == attempts
    assert caught.value.__context__ is None


def test_a_server_may_not_ask_for_a_longer_wait_than_the_policy_allows() -> None:
    policy = RetryPolicy(2, max_retry_after=10)
    assert policy.wait(0, {"retry-after": "10"}) == 10
    assert policy.wait(0, {"retry-after": "11"}) is None
    assert policy.wait(0, {"retry-after": "10"}, deadline=Deadline(5)) is None
    assert policy.wait(2) is None


class BadGateway(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_error(502)

    def log_message(self, *_: object) -> None:
        return


def test_a_proxy_in_the_way_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BadGateway) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.01,))
        thread.start()
        address = f"127.0.0.1:{proxy.server_port}"
        for name in ("NO_PROXY", "ALL_PROXY", "http_proxy", "no_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTP_PROXY", f"http://user:password@{address}")
        monkeypatch.setenv("COHERE_API_KEY", KEY)
        url = "http://127.0.0.1:9"
        try:
            reranker = HostedReranker("cohere/any", base_url=url, retries=0)
            with pytest.raises(ProviderError) as failed:
                reranker.rerank("q", ["text"])
            assert failed.value.fix is not None
            assert f"the proxy http://{address} (from HTTP_PROXY)" in failed.value.fix
            assert "set NO_PROXY=127.0.0.1" in failed.value.fix
            assert "password" not in str(failed.value)
            llm = load_llm("openai/any", base_url=url, api_key=KEY, retries=0)
            with pytest.raises(ProviderError, match=r"the proxy http://127.* NO_PROXY=127"):
                llm.complete(Prompt("Be brief.", "q"))
            monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
            direct = HostedReranker("cohere/any", base_url=url, retries=0)
            with pytest.raises(ProviderError) as failed:
                direct.rerank("q", ["text"])
            assert "proxy" not in str(failed.value)
        finally:
            proxy.shutdown()
            thread.join()
