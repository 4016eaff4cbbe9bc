"""Requests to one server: pooled connections, repetitions, a deadline, errors that say why."""

from __future__ import annotations

import asyncio
import json
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from secondpass.errors import ProviderError, ProviderTimeoutError
from secondpass.remote.client import ApiKey, load_httpx, shown
from secondpass.remote.retry import RetryPolicy, is_retryable
from secondpass.rerank.hosted.provider import Reply, Request, message_of

LARGEST = 64 * 2**20
"""Bytes of an answer that are read at most: a server that never stops must not fill memory."""
CONNECT_SECONDS = 5.0


class Transport:
    """Sends the requests of one reranker, from the background loop only.

    `concurrency` requests are under way at most; `attempt_timeout` is in seconds.
    """

    def __init__(
        self,
        title: str,
        base_url: str,
        key: ApiKey,
        *,
        headers: Mapping[str, str],
        retrying: RetryPolicy,
        attempt_timeout: float,
        concurrency: int,
    ) -> None:
        self.title, self.base_url, self.key = title, base_url, key
        self._headers = {"accept": "application/json", **headers}
        self._retrying, self._attempt_timeout = retrying, attempt_timeout
        self._concurrency = concurrency
        self._httpx = load_httpx("Asking a hosted reranker", "hosted")
        self._home: asyncio.AbstractEventLoop | None = None
        self._client: Any = None
        self._places = asyncio.Semaphore(concurrency)

    async def send(self, request: Request, deadline: float) -> Reply:
        """Return the answer with status 200, however many attempts it takes until then.

        `deadline` is on the loop's clock; the caller cancels what runs past it. Raises
        `ProviderError`.
        """
        attempt = 0
        while True:
            try:
                return await self._attempt(request)
            except _Failed as failed:
                error = failed.error
                wait = self._retrying.wait(attempt, failed.headers)
            attempt += 1
            left = deadline - asyncio.get_running_loop().time()
            if not error.retryable or attempt > self._retrying.times or wait >= left:
                raise error
            await asyncio.sleep(wait)

    async def _attempt(self, request: Request) -> Reply:
        client = self._connected()
        body = None
        headers = {}
        if request.body is not None:
            # ASCII with escapes: every server reads it, whatever charset it assumes.
            body = json.dumps(request.body, allow_nan=False).encode()
            headers["content-type"] = "application/json"
        secret = self.key.reveal()
        if secret is not None:
            headers["authorization"] = f"Bearer {secret}"
        url = self.base_url + request.path
        try:
            async with (
                self._places,
                asyncio.timeout(self._attempt_timeout),
                client.stream(request.method, url, content=body, headers=headers) as response,
            ):
                content = await self._read(response, request)
        except TimeoutError:
            why = f"no answer within {self._attempt_timeout:g} s"
            raise _Failed(self._timeout(request, why)) from None
        except self._httpx.TimeoutException as error:
            why = type(error).__name__
            raise _Failed(self._timeout(request, why)) from None
        except self._httpx.HTTPError as error:
            # Not chained: its request holds the key.
            why = self.key.redact(f"{type(error).__name__}: {error}".rstrip(": "))
            trying = isinstance(error, self._httpx.TransportError)
            trying = trying and not isinstance(error, self._httpx.UnsupportedProtocol)
            failed = self.error(request, "could not be asked", why, retryable=trying)
            raise _Failed(failed) from None
        found = {name.lower(): value for name, value in response.headers.items()}
        if response.status_code != 200:
            raise _Failed(self._refusal(request, response.status_code, found, content), found)
        return Reply(self._json(request, content, found), found)

    async def _read(self, response: Any, request: Request) -> bytes:
        parts, length = [], 0
        async for part in response.aiter_bytes():
            parts.append(part)
            length += len(part)
            if length > LARGEST:
                why = f"it is longer than {LARGEST >> 20} MiB"
                raise _Failed(self.error(request, "gave no usable answer", why, status=200))
        return b"".join(parts)

    def _json(self, request: Request, content: bytes, headers: Mapping[str, str]) -> Any:
        kind = headers.get("content-type", "none").split(";")[0]
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            why = f"the body is no JSON (content type {kind}, {len(content)} bytes)"
            raise _Failed(
                self.error(request, "gave no usable answer", why, status=200)
            ) from None

    def _refusal(
        self, request: Request, status: int, headers: Mapping[str, str], content: bytes
    ) -> ProviderError:
        try:
            said = message_of(json.loads(content))
        except (ValueError, RecursionError):
            said = content[:300].decode("utf-8", "replace")
        said = " ".join((said or "").split())[:300]
        why = f"status {status}" + (f", “{self.key.redact(said)}”" if said else "")
        fix = _FIXES.get(status)
        if 300 <= status < 400:
            fix = "Set base_url to where it redirects; a key is not sent elsewhere unasked."
        what = "refused the request" if 400 <= status < 500 else "failed"
        return self.error(
            request, what, why, status=status, retryable=is_retryable(status, headers), fix=fix
        )

    def error(
        self,
        request: Request,
        what: str,
        why: str,
        *,
        status: int | None = None,
        retryable: bool = False,
        fix: str | None = None,
    ) -> ProviderError:
        """Return the error for a request that failed."""
        return ProviderError(
            f"{self.title} {what}",
            where=shown(self.base_url + request.path),
            why=why,
            fix=fix,
            status=status,
            retryable=retryable,
        )

    def _timeout(self, request: Request, why: str) -> ProviderTimeoutError:
        where = shown(self.base_url + request.path)
        return ProviderTimeoutError(f"{self.title} took too long", where=where, why=why)

    def _connected(self) -> Any:
        """Return the client; a forked process must not share the connections of its parent."""
        loop = asyncio.get_running_loop()
        if self._home is not loop:
            limits = self._httpx.Limits(max_connections=self._concurrency)
            self._client = self._httpx.AsyncClient(
                headers=self._headers,
                limits=limits,
                timeout=self._httpx.Timeout(self._attempt_timeout, connect=CONNECT_SECONDS),
            )
            self._places = asyncio.Semaphore(self._concurrency)
            self._home = loop
            weakref.finalize(self, _close, loop, self._client)
        return self._client


class _Failed(Exception):
    """One attempt failed; `headers` are the answer's, where there was one."""

    def __init__(self, error: ProviderError, headers: Mapping[str, str] | None = None) -> None:
        self.error, self.headers = error, headers


def _close(loop: asyncio.AbstractEventLoop, client: Any) -> None:
    async def close() -> None:
        with suppress(OSError, RuntimeError):
            await client.aclose()

    if loop.is_running():
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: loop.create_task(close()))


_FIXES = {
    401: "Check the key.",
    402: "Check the account's balance.",
    403: "Check what the key is allowed to do.",
    404: "Check the model's name and the base URL.",
    413: "Give a smaller batch.",
    429: "Lower concurrency, or ask for a higher limit.",
}
