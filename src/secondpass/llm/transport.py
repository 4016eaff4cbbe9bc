"""Requests over HTTP, sync and async: what came back, or why nothing did."""

from __future__ import annotations

import threading
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from secondpass.remote.client import load_httpx
from secondpass.remote.retry import Deadline

if TYPE_CHECKING:
    import ssl

    import httpx2

_MOST_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A POST of JSON; `stream` asks that the body of a success is left to be read."""

    url: str
    headers: Mapping[str, str]
    content: bytes
    seconds: float
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: `status` is None and `problem` says why where nothing did.

    `opened` is the response of a stream that is yet to be read and closed.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    problem: str | None = None
    opened: Any = None


class Transport:
    """Keeps connections for the sync calls; async calls open their own.

    An async connection belongs to the event loop that made it, and a library cannot know
    how long its caller's loop lives. Safe to use from several threads at once.
    """

    def __init__(self) -> None:
        self._client: httpx2.Client | None = None
        self._lock = threading.Lock()

    def send(self, request: Request, deadline: Deadline, where: str) -> Reply:
        """Send a request; raises `LLMError` only if the time is over."""
        httpx, client = _httpx(), self._connected()
        opened = None
        try:
            opened = client.send(_built(client, request, deadline), stream=True)
            if request.stream and opened.is_success:
                reply, opened = Reply(opened.status_code, opened.headers, opened=opened), None
                return reply
            content = bytearray()
            for some in opened.iter_bytes():
                deadline.check(where)
                if problem := _grown(content, some):
                    return Reply(problem=problem)
            return Reply(opened.status_code, opened.headers, bytes(content))
        except httpx.HTTPError as error:
            deadline.check(where)
            return Reply(problem=told(error))
        finally:
            if opened is not None:
                opened.close()

    async def asend(
        self, client: httpx2.AsyncClient, request: Request, deadline: Deadline, where: str
    ) -> Reply:
        """Do as `send` with a client of `connected`."""
        httpx = _httpx()
        opened = None
        try:
            opened = await client.send(_built(client, request, deadline), stream=True)
            if request.stream and opened.is_success:
                reply, opened = Reply(opened.status_code, opened.headers, opened=opened), None
                return reply
            content = bytearray()
            async for some in opened.aiter_bytes():
                deadline.check(where)
                if problem := _grown(content, some):
                    return Reply(problem=problem)
            return Reply(opened.status_code, opened.headers, bytes(content))
        except httpx.HTTPError as error:
            deadline.check(where)
            return Reply(problem=told(error))
        finally:
            if opened is not None:
                await opened.aclose()

    def connected(self) -> httpx2.AsyncClient:
        """Return a new async client, to be used as a context manager."""
        client: httpx2.AsyncClient = _httpx().AsyncClient(verify=_certificates())
        return client

    def close(self) -> None:
        """Close what is open; it is opened again when it is needed."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> httpx2.Client:
        with self._lock:
            if self._client is None:
                self._client = _httpx().Client(verify=_certificates())
                weakref.finalize(self, self._client.close)
            return self._client


def read(opened: Any, deadline: Deadline, where: str) -> Iterator[bytes | str]:
    """Yield the bytes of an open stream and, as text, why it ended too early, if it did."""
    httpx = _httpx()
    try:
        for some in opened.iter_bytes():
            deadline.check(where)
            yield some
    except httpx.HTTPError as error:
        deadline.check(where)
        yield told(error)
    finally:
        opened.close()


async def aread(opened: Any, deadline: Deadline, where: str) -> AsyncIterator[bytes | str]:
    """Do as `read`."""
    httpx = _httpx()
    try:
        async for some in opened.aiter_bytes():
            deadline.check(where)
            yield some
    except httpx.HTTPError as error:
        deadline.check(where)
        yield told(error)
    finally:
        await opened.aclose()


def told(error: Exception) -> str:
    """Return in words what went wrong with a connection; some errors have none."""
    kind = type(error).__name__
    return f"{kind}: {error}" if str(error) else kind


def _built(client: Any, request: Request, deadline: Deadline) -> Any:
    seconds = min(request.seconds, max(0.001, deadline.left))
    return client.build_request(
        "POST",
        request.url,
        headers={"content-type": "application/json", **request.headers},
        content=request.content,
        timeout=seconds,
    )


def _grown(content: bytearray, some: bytes) -> str | None:
    content += some
    return "the answer is longer than 32 MB" if len(content) > _MOST_BYTES else None


def _httpx() -> ModuleType:
    return load_httpx("A language model", "llm")


@cache
def _certificates() -> ssl.SSLContext:
    # Reading the certificates takes 20 ms or more, so all clients share them.
    context: ssl.SSLContext = _httpx().create_ssl_context()
    return context
