"""A language model behind a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from secondpass.errors import InputError, LLMError
from secondpass.llm.base import LLM, AsyncTextStream, TextStream
from secondpass.llm.types import Completion, Prompt
from secondpass.llm.wire import Body, WireFormat, error_text
from secondpass.remote.client import (
    HttpClient,
    HttpRequest,
    HttpResponse,
    RequestFailedError,
    ResponseStream,
    run,
    run_async,
)
from secondpass.remote.endpoint import ApiKey, check_base_url, redact_url
from secondpass.remote.retry import (
    AttemptFailedError,
    Deadline,
    RetryPolicy,
    is_retryable,
    retry,
)
from secondpass.remote.sse import Event, EventParser

MAX_RESPONSE_BYTES = 32 * 2**20

_MAX_RETRY_AFTER_SECONDS = 120.0
_MAX_MESSAGE_BYTES = 200


class RemoteLLM(LLM):
    """A language model that is asked over HTTP, in the wire format of its server.

    - `base_url`: http or https, without a query; the path of the wire format is added to it.
    - `timeout`: seconds without a byte before an attempt counts as failed; `deadline`: seconds
      for a whole answer, all attempts and waits included, None for no limit.
    - `retries`: how often a request is repeated after a failure that may pass; see `retry`.
    - `extra_tokens`: added to the token limit of each answer, for models whose reasoning
      counts towards it.

    A parameter that the server rejects is left out from then on. Raises `InputError` for
    invalid arguments, `MissingExtraError` at the first call without the extra.
    """

    def __init__(
        self,
        name: str,
        model: str,
        wire_format: WireFormat,
        *,
        base_url: str,
        key: ApiKey,
        timeout: float = 60.0,
        deadline: float | None = 120.0,
        retries: int = 2,
        extra_tokens: int = 0,
        offers_logprobs: bool = False,
    ) -> None:
        self._name, self._model, self._format = name, model, wire_format
        base_url = check_base_url(name, base_url)
        self._key = key
        self._timeout = _check_seconds("timeout", timeout)
        self._deadline = None if deadline is None else _check_seconds("deadline", deadline)
        if retries < 0 or extra_tokens < 0:
            raise InputError(
                f"retries and extra_tokens must be 0 or more: {retries}, {extra_tokens}"
            )
        self._retries = RetryPolicy(retries, max_retry_after=_MAX_RETRY_AFTER_SECONDS)
        self._extra_tokens, self._logprobs = extra_tokens, offers_logprobs
        self._rejected: frozenset[str] = frozenset()
        self._http = HttpClient(
            base_url,
            key,
            purpose="A language model",
            extra="llm",
            max_bytes=MAX_RESPONSE_BYTES,
            headers=wire_format.headers(),
        )
        self._where = f"{name} at {redact_url(base_url)}"

    @property
    def name(self) -> str:
        """The name the model was loaded by."""
        return self._name

    @property
    def offers_logprobs(self) -> bool:
        """Whether the server has log-probabilities and has not rejected them yet."""
        return self._logprobs and not self._rejected & {"logprobs", "top_logprobs"}

    def complete(self, prompt: Prompt) -> Completion:
        """Return the whole answer."""
        return run(self._complete(prompt))

    async def acomplete(self, prompt: Prompt) -> Completion:
        """Return the whole answer, without blocking the event loop."""
        return await run_async(self._complete(prompt))

    def stream(self, prompt: Prompt) -> TextStream:
        """Return the answer piece by piece; a failure before the first piece is retried."""

        def pieces() -> Iterator[str | Completion]:
            answer = _StreamedAnswer(self, prompt)
            try:
                while not answer.complete:
                    yield from answer.parse(run(answer.read()))
            finally:
                answer.close()

        return TextStream(pieces())

    def astream(self, prompt: Prompt) -> AsyncTextStream:
        """Do as `stream`, for `async for`."""

        async def pieces() -> AsyncIterator[str | Completion]:
            answer = _StreamedAnswer(self, prompt)
            try:
                while not answer.complete:
                    for piece in answer.parse(await run_async(answer.read())):
                        yield piece
            finally:
                answer.close()

        return AsyncTextStream(pieces())

    def close(self) -> None:
        """Close the connections; the model can be used again."""
        self._http.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._where}>"

    async def _complete(self, prompt: Prompt) -> Completion:
        deadline = Deadline(self._deadline)
        async with self._within(deadline):
            response = await self._send(prompt, deadline)
        body = _body(response)
        try:
            return self._format.parse_completion(body)
        except ValueError as error:
            message = error_text(body)
            raise LLMError(
                "The language model's answer cannot be read",
                where=self._where,
                why=self._key.redact(str(error) if message is None else message),
                fix="Check that base_url is that of the right kind of server.",
                status=response.status,
            ) from error

    @asynccontextmanager
    async def _within(self, deadline: Deadline) -> AsyncIterator[None]:
        """Raise `LLMError` where the block does not end before the deadline."""
        try:
            async with asyncio.timeout(deadline.left):
                yield
        except TimeoutError:
            raise LLMError(
                f"The language model did not answer within {deadline.seconds:g} s",
                where=self._where,
                fix="Raise `deadline`, or use a faster model.",
            ) from None

    async def _send(
        self, prompt: Prompt, deadline: Deadline, *, stream: bool = False
    ) -> HttpResponse:
        """Return a response of success, without parameters that the server rejects."""
        if self._extra_tokens:
            prompt = replace(prompt, max_tokens=prompt.max_tokens + self._extra_tokens)
        rejected = self._rejected

        async def attempt() -> HttpResponse:
            nonlocal rejected
            while True:
                body = self._format.build_body(self._model, prompt, rejected, stream)
                response = await self._attempt(body, stream)
                if response.is_success:
                    self._rejected |= rejected
                    return response
                message = _body(response)
                name = self._format.rejected_parameter(response.status, body, message)
                if name is None or name in rejected:
                    error = self._refusal(response, message)
                    raise AttemptFailedError(error, response.headers)
                rejected |= {name}

        return await retry(attempt, self._retries, deadline)

    async def _attempt(self, body: Body, stream: bool) -> HttpResponse:
        request = HttpRequest(self._format.path, body)
        try:
            return await self._http.send(request, idle_timeout=self._timeout, stream=stream)
        except RequestFailedError as failed:
            fix = "Check that the server runs and that base_url is its address."
            proxy = self._http.describe_proxy()
            error = LLMError(
                "The language model could not be reached",
                where=self._where,
                why=self._key.redact(failed.reason),
                fix=fix if proxy is None else f"{fix} {proxy}",
                retryable=failed.retryable,
            )
            raise AttemptFailedError(error) from None

    def _refusal(self, response: HttpResponse, body: Any) -> LLMError:
        status, message = response.status, error_text(body)
        proxy = self._http.describe_proxy(status)
        fix = _FIXES.get(status, None if status < 500 else "Try again later.")
        if message is None:
            message = response.content[:_MAX_MESSAGE_BYTES].decode("utf-8", "replace") or None
        return LLMError(
            f"The language model refused with HTTP {status}",
            where=self._where,
            why=None if message is None else self._key.redact(message),
            fix=fix if proxy is None else " ".join(filter(None, (fix, proxy))),
            status=status,
            retryable=is_retryable(status, response.headers),
        )

    def _cut_off(self, why: str) -> LLMError:
        return LLMError(
            "The language model's answer was cut off",
            where=self._where,
            why=self._key.redact(why),
            fix="Ask again.",
            retryable=True,
        )


class _StreamedAnswer:
    """One streamed answer: `read` runs in the background loop, all else in the caller's thread.

    `complete` is True once the `Completion` was given.
    """

    def __init__(self, llm: RemoteLLM, prompt: Prompt) -> None:
        self.complete = False
        self._llm, self._prompt = llm, prompt
        self._deadline = Deadline(llm._deadline)
        self._events, self._assembler = EventParser(), llm._format.new_assembler()
        self._body: ResponseStream | None = None

    async def read(self) -> bytes:
        """Return the next bytes, b"" at the end; the first call sends the request."""
        async with self._llm._within(self._deadline):
            if self._body is None:
                response = await self._llm._send(self._prompt, self._deadline, stream=True)
                assert response.stream is not None  # what was asked for
                self._body = response.stream
            try:
                return await self._body.read()
            except RequestFailedError as failed:
                # Some servers break the connection behind a whole answer.
                if self._assembler.finished:
                    return b""
                raise self._llm._cut_off(failed.reason) from None

    def parse(self, chunk: bytes) -> Iterator[str | Completion]:
        """Yield the texts that these bytes complete; of b"", the `Completion` at the end."""
        for event in self._events.feed(chunk) if chunk else self._events.end():
            yield self._add(event)
        if chunk:
            return
        if not self._assembler.finished:
            raise self._llm._cut_off("the stream ended without its last event")
        self.complete = True
        yield self._assembler.completion()

    def close(self) -> None:
        """Close the connection, without waiting for it."""
        if self._body is not None:
            self._body.close()

    def _add(self, event: Event) -> str:
        try:
            return self._assembler.feed(event)
        except LLMError as error:
            why = None if error.why is None else self._llm._key.redact(error.why)
            where = self._llm._where
            raise LLMError(error.what, where=where, why=why, retryable=True) from error
        except ValueError as error:
            raise self._llm._cut_off(f"an event is not valid JSON: {error}") from error


_FIXES = {
    401: "Check the key.",
    403: "Check what the key is allowed to do.",
    404: "Check the model's name and base_url.",
    413: "Send fewer or shorter documents at once.",
    429: "Wait, or send fewer requests at once.",
}


def _body(response: HttpResponse) -> Any:
    """Return the JSON value of a response, None where it is not JSON."""
    try:
        return response.body
    except ValueError:
        return None


def _check_seconds(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InputError(f"{name} must be a number of seconds above 0, not {value!r}")
    return float(value)
