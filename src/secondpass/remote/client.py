"""An HTTP client for remote servers, with one event loop for all callers.

Every request runs in one event loop in a background thread. So calls from any thread, and
from any other event loop, share connections, limits and deadlines, and a request is
implemented once, not once for sync and once for async callers.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from secondpass.errors import MissingExtraError
from secondpass.remote.endpoint import ApiKey, redact_url

if TYPE_CHECKING:
    import ssl

    import httpx2

T = TypeVar("T")

_CLOSE_SECONDS = 2.0

_loop_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop; its thread starts at the first call."""
    global _loop
    with _loop_lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            thread = threading.Thread(
                target=_loop.run_forever, name="secondpass-requests", daemon=True
            )
            thread.start()
            atexit.register(_stop_loop, _loop, thread)
        return _loop


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the background loop and wait for its result.

    An exception that ends the wait (Ctrl-C) cancels the work too.
    """
    future = asyncio.run_coroutine_threadsafe(work, background_loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the background loop without blocking the caller's event loop.

    Cancelling the caller cancels the work.
    """
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, background_loop()))


def _stop_loop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if loop.is_running():
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=1)


def _forget_loop() -> None:
    """Drop the loop in a forked child, where its thread is gone; the next call starts one."""
    global _loop, _loop_lock
    _loop, _loop_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_loop)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request below the client's base URL; `body` becomes the content as UTF-8 JSON."""

    path: str
    body: Mapping[str, Any] | None = None
    method: Literal["GET", "POST"] = "POST"


@dataclass(frozen=True)
class HttpResponse:
    """A response: headers have lower-case names, and `content` is the whole body.

    `stream` is set, and `content` empty, where the body is still arriving; close it.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    stream: ResponseStream | None = None

    @property
    def is_success(self) -> bool:
        """Whether the status is 200 to 299."""
        return 200 <= self.status < 300

    @cached_property
    def body(self) -> Any:
        """The JSON value of the content; raises `ValueError` for any other content."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            kind = self.headers.get("content-type", "none").split(";")[0]
            raise ValueError(
                f"the body is not JSON (content type {kind}, {len(self.content)} bytes)"
            ) from None


Sign = Callable[[str, str, bytes], Mapping[str, str]]
"""Makes the headers that authenticate a request from its method, URL and content."""


class RequestFailedError(Exception):
    """A request without a complete response; for callers to turn into an error of theirs.

    - `reason`: the kind of failure and what the HTTP library says of it.
    - `retryable`: whether another attempt may succeed; `timed_out`: whether it took too long.
    - `status`: of a response whose body was refused, else None.
    """

    def __init__(
        self,
        reason: str,
        *,
        retryable: bool = False,
        timed_out: bool = False,
        status: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status
        self.retryable, self.timed_out = retryable, timed_out


class HttpClient:
    """Pooled connections to one server, for coroutines in the background loop.

    - `purpose`, `extra`: for the error where the HTTP library is not installed.
    - `concurrency`: the limit of requests at a time; others wait for a free slot.
    - `max_bytes`: the limit of a body that is not streamed, so that a server that never stops
      cannot fill the memory.
    - `connect_timeout`: seconds for a connection; None for the idle timeout of the request.
    - `sign`: makes the headers that authenticate a request, anew for each attempt; None sends
      the key as a bearer token. It runs in a thread, as it may ask a server for a token.

    Redirects are not followed, so that it goes nowhere else.
    Safe to use from several threads; connections are not shared with forked processes.
    """

    def __init__(
        self,
        base_url: str,
        key: ApiKey,
        *,
        purpose: str,
        extra: str,
        max_bytes: int,
        concurrency: int = 100,
        connect_timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        sign: Sign | None = None,
    ) -> None:
        self.base_url, self.key, self._sign = base_url, key, sign
        self._purpose, self._extra = purpose, extra
        self._max_bytes, self._concurrency = max_bytes, concurrency
        self._connect_timeout, self._headers = connect_timeout, dict(headers or {})
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: httpx2.AsyncClient | None = None
        self._slots = asyncio.Semaphore(concurrency)

    async def send(
        self,
        request: HttpRequest,
        *,
        idle_timeout: float,
        timeout: float | None = None,
        stream: bool = False,
    ) -> HttpResponse:
        """Send a request once and return the response, whatever its status.

        `idle_timeout` is in seconds without a byte; `timeout` in seconds for the response, not
        counting the wait for a free slot. With `stream` the body of a success is left to be
        read from `HttpResponse.stream`. Raises `RequestFailedError`.
        """
        client, slots = self._connect()
        await slots.acquire()
        response: httpx2.Response | None = None
        slot_taken = True
        try:
            with translate_errors(self._httpx(), timeout):
                async with asyncio.timeout(timeout):
                    built = await self._build(client, request, idle_timeout)
                    response = await client.send(built, stream=True)
                    headers = {k.lower(): v for k, v in response.headers.items()}
                    if stream and response.is_success:
                        body = ResponseStream(self._httpx(), response, slots)
                        status, response, slot_taken = response.status_code, None, False
                        return HttpResponse(status, headers, stream=body)
                    content = await self._read(response)
                    return HttpResponse(response.status_code, headers, content)
        finally:
            if response is not None:
                await response.aclose()
            if slot_taken:
                slots.release()

    def describe_proxy(self, status: int | None = None) -> str | None:
        """Return which proxy the requests go through and how to avoid it, for an error.

        None where there is no proxy, or where a response with this status is not the proxy's:
        inside TLS only the server answers. The proxy is shown without user and password.
        """
        url = urlsplit(self.base_url)
        if status is not None and (url.scheme != "http" or not _may_be_of_proxy(status)):
            return None
        with self._lock:
            client = self._client
        if client is None or not _is_proxied(client, self._httpx().URL(self.base_url)):
            return None
        variables = (f"{url.scheme}_proxy", "all_proxy")
        for name in (n for v in variables for n in (v, v.upper())):
            proxy = os.environ.get(name)
            if proxy:
                shown = redact_url(proxy if "://" in proxy else f"http://{proxy}")
                source = f"{shown} (from {name.upper()})"
                break
        else:
            source = "of the system's settings"
        return (
            f"The request went through the proxy {source}; to reach the server without it, "
            f"set NO_PROXY={url.hostname}"
        )

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        with self._lock:
            loop, client = self._loop, self._client
            self._loop = self._client = None
        if loop is None or client is None:
            return
        closing = _submit(loop, client.aclose())
        if closing is not None and _running_loop() is not loop:
            with suppress(Exception):
                closing.result(_CLOSE_SECONDS)

    async def _read(self, response: httpx2.Response) -> bytes:
        content = bytearray()
        async with aclosing(response.aiter_bytes()) as chunks:
            async for chunk in chunks:
                content += chunk
                if len(content) > self._max_bytes:
                    raise RequestFailedError(
                        f"the response is longer than {self._max_bytes >> 20} MiB",
                        status=response.status_code,
                    )
        return bytes(content)

    async def _build(
        self, client: httpx2.AsyncClient, request: HttpRequest, idle_timeout: float
    ) -> httpx2.Request:
        url = self.base_url + request.path
        headers, content = {}, None
        if request.body is not None:
            # ASCII with escapes: every server reads it, whatever charset it assumes.
            content = json.dumps(request.body, allow_nan=False).encode()
            headers["content-type"] = "application/json"
        secret = self.key.reveal()
        if self._sign is not None:
            headers |= await asyncio.to_thread(self._sign, request.method, url, content or b"")
        elif secret is not None:
            headers["authorization"] = f"Bearer {secret}"
        connect = self._connect_timeout
        timeout = self._httpx().Timeout(
            idle_timeout, connect=idle_timeout if connect is None else connect
        )
        return client.build_request(
            request.method,
            url,
            headers=headers,
            content=content,
            timeout=timeout,
        )

    def _httpx(self) -> ModuleType:
        return load_httpx(self._purpose, self._extra)

    def _connect(self) -> tuple[httpx2.AsyncClient, asyncio.Semaphore]:
        """Return the client and the slots of the running loop.

        Another loop than before means a forked child, which must not use the connections of
        its parent.
        """
        loop, httpx = asyncio.get_running_loop(), self._httpx()
        with self._lock:
            if self._client is None or self._loop is not loop:
                limits = httpx.Limits(max_connections=self._concurrency)
                self._client = httpx.AsyncClient(
                    headers=self._headers, limits=limits, verify=_ssl_context(httpx)
                )
                self._slots = asyncio.Semaphore(self._concurrency)
                self._loop = loop
                weakref.finalize(self, _close_client, loop, self._client)
            return self._client, self._slots


class ResponseStream:
    """The body of a response that is still arriving; it holds a slot until it is closed."""

    def __init__(
        self, httpx: ModuleType, response: httpx2.Response, slots: asyncio.Semaphore
    ) -> None:
        self._httpx, self._response, self._slots = httpx, response, slots
        self._chunks: AsyncGenerator[bytes] = response.aiter_bytes()
        self._loop = asyncio.get_running_loop()
        self._closed = False

    async def read(self) -> bytes:
        """Return the next bytes, b"" at the end; raises `RequestFailedError`."""
        with translate_errors(self._httpx, None):
            return await anext(self._chunks, b"")

    async def aclose(self) -> None:
        """Close the connection, unless the body was read to its end."""
        if not self._closed:
            self._closed = True
            try:
                await self._response.aclose()
                # The garbage collector might end it in another thread than the loop's. Where a
                # `read` waits it is running, and the closed response ends it.
                with suppress(RuntimeError):
                    await self._chunks.aclose()
            finally:
                self._slots.release()

    def close(self) -> None:
        """Do as `aclose`, from any thread, without waiting for it."""
        if not self._closed:
            _submit(self._loop, self.aclose())


@contextmanager
def translate_errors(httpx: ModuleType, timeout: float | None) -> Iterator[None]:
    """Raise `RequestFailedError` in place of the errors of the HTTP library.

    They are not chained: their request holds the key.
    """
    try:
        yield
    except TimeoutError:
        reason = (
            "no response in time" if timeout is None else f"no response within {timeout:g} s"
        )
        failed = RequestFailedError(reason, retryable=True, timed_out=True)
    except httpx.TimeoutException as error:
        failed = RequestFailedError(type(error).__name__, retryable=True, timed_out=True)
    except httpx.HTTPError as error:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        lost = isinstance(error, httpx.TransportError)
        lost = lost and not isinstance(error, httpx.UnsupportedProtocol)
        failed = RequestFailedError(reason, retryable=lost)
    else:
        return
    raise failed from None


def _may_be_of_proxy(status: int) -> bool:
    return status >= 500 or status in (403, 405, 407)


def _is_proxied(client: httpx2.AsyncClient, url: httpx2.URL) -> bool:
    """Return whether the client sends requests to this URL through a proxy."""
    # The library has no public name for this, and its rules of NO_PROXY are its own.
    choose = getattr(client, "_transport_for_url", None)
    direct = getattr(client, "_transport", None)
    return choose is not None and direct is not None and choose(url) is not direct


def load_httpx(purpose: str, extra: str) -> ModuleType:
    """Return the HTTP library, loaded at the first request.

    Raises `MissingExtraError` naming the purpose and the extra. huggingface-hub installs it, so
    it is missing only where somebody removed it.
    """
    try:
        import httpx2
    except ImportError as error:
        raise MissingExtraError(purpose, package="httpx2", extra=extra) from error
    return httpx2


@cache
def _ssl_context(httpx: ModuleType) -> ssl.SSLContext:
    # Reading the certificates takes 20 ms or more, so all clients share them.
    context: ssl.SSLContext = httpx.create_ssl_context()
    return context


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _submit(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> Any:
    """Start a coroutine in a loop of another thread; None where that loop has ended."""
    if loop.is_running():
        with suppress(RuntimeError):
            return asyncio.run_coroutine_threadsafe(work, loop)
    work.close()
    return None


def _close_client(loop: asyncio.AbstractEventLoop, client: httpx2.AsyncClient) -> None:
    async def close() -> None:
        with suppress(OSError, RuntimeError):
            await client.aclose()

    _submit(loop, close())
