"""A language model behind a server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import replace
from typing import Any

from secondpass.errors import InputError, LLMError
from secondpass.llm import transport
from secondpass.llm.base import LLM, AsyncTextStream, TextStream
from secondpass.llm.transport import Reply, Request, Transport
from secondpass.llm.types import Completion, Prompt
from secondpass.llm.wire import Dialect, error_text
from secondpass.remote.client import ApiKey, check_base_url, shown
from secondpass.remote.retry import Deadline, is_retryable, pause
from secondpass.remote.sse import Event, Events

Talk = Generator[Request | float, Reply | None, Reply]
"""Gives requests to send and seconds to wait, takes replies, returns the one that counts."""


class RemoteLLM(LLM):
    """Asks a server in its dialect.

    - `base_url`: where the dialect's path begins; http or https, without a query.
    - `timeout`: seconds without a byte before a try counts as failed; `deadline`: seconds
      for a whole answer, all tries and pauses included, None for no limit.
    - `retries`: how often a failure is tried again that may pass (see `retrying`).
    - `extra_tokens`: added to the limit of each answer, for models that think before they
      write and count that too.

    A parameter that the server refuses is left out from then on. Raises `InputError` for
    values that cannot be used, `MissingExtraError` at the first call without the extra.
    """

    def __init__(
        self,
        name: str,
        model: str,
        dialect: Dialect,
        *,
        base_url: str,
        key: ApiKey,
        timeout: float = 60.0,
        deadline: float | None = 120.0,
        retries: int = 2,
        extra_tokens: int = 0,
        offers_logprobs: bool = False,
    ) -> None:
        self._name, self._model, self._dialect = name, model, dialect
        base_url = check_base_url(name, base_url)
        self._url, self._key = base_url + dialect.path, key
        self._timeout = _positive("timeout", timeout)
        self._deadline = None if deadline is None else _positive("deadline", deadline)
        if retries < 0 or extra_tokens < 0:
            raise InputError(
                f"retries and extra_tokens must be 0 or more: {retries}, {extra_tokens}"
            )
        self._retries, self._extra = retries, extra_tokens
        self._logprobs = offers_logprobs
        self._refused: frozenset[str] = frozenset()
        self._transport = Transport()
        self._where = f"{name} at {shown(base_url)}"

    @property
    def name(self) -> str:
        """The name the model was loaded by."""
        return self._name

    @property
    def offers_logprobs(self) -> bool:
        """Whether the server has log-probabilities and has not refused them yet."""
        return self._logprobs and not self._refused & {"logprobs", "top_logprobs"}

    def complete(self, prompt: Prompt) -> Completion:
        """Return the whole answer."""
        deadline = Deadline(self._deadline)
        return self._completion(self._drive(self._talk(prompt, deadline, False), deadline))

    async def acomplete(self, prompt: Prompt) -> Completion:
        """Return the whole answer, without blocking the event loop."""
        deadline = Deadline(self._deadline)
        async with self._transport.connected() as client:
            talk = self._talk(prompt, deadline, False)
            return self._completion(await self._adrive(client, talk, deadline))

    def stream(self, prompt: Prompt) -> TextStream:
        """Return the answer piece by piece; what fails before the first is tried again."""

        def pieces() -> Iterator[str | Completion]:
            deadline = Deadline(self._deadline)
            reply = self._drive(self._talk(prompt, deadline, True), deadline)
            events, folding = Events(), self._dialect.folding()
            for some in transport.read(reply.opened, deadline, self._where):
                if isinstance(some, str):
                    if folding.finished:
                        break
                    raise self._cut(some)
                for event in events.feed(some):
                    yield self._fold(folding, event)
            for event in events.end():
                yield self._fold(folding, event)
            if not folding.finished:
                raise self._cut("the stream ended without saying so")
            yield folding.completion()

        return TextStream(pieces())

    def astream(self, prompt: Prompt) -> AsyncTextStream:
        """Do as `stream`, for `async for`."""

        async def pieces() -> AsyncIterator[str | Completion]:
            deadline = Deadline(self._deadline)
            async with self._transport.connected() as client:
                reply = await self._adrive(client, self._talk(prompt, deadline, True), deadline)
                events, folding = Events(), self._dialect.folding()
                async for some in transport.aread(reply.opened, deadline, self._where):
                    if isinstance(some, str):
                        if folding.finished:
                            break
                        raise self._cut(some)
                    for event in events.feed(some):
                        yield self._fold(folding, event)
                for event in events.end():
                    yield self._fold(folding, event)
                if not folding.finished:
                    raise self._cut("the stream ended without saying so")
                yield folding.completion()

        return AsyncTextStream(pieces())

    def close(self) -> None:
        """Let go of connections."""
        self._transport.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._where}>"

    def _talk(self, prompt: Prompt, deadline: Deadline, stream: bool) -> Talk:
        """Hold one conversation: send, do without what is refused, try again."""
        refused, attempt = self._refused, 0
        if self._extra:
            prompt = replace(prompt, max_tokens=prompt.max_tokens + self._extra)
        headers = self._dialect.headers(self._key.reveal())
        while True:
            deadline.check(self._where)
            body = self._dialect.body(self._model, prompt, refused, stream)
            content = json.dumps(body, ensure_ascii=False).encode()
            reply = yield Request(self._url, headers, content, self._timeout, stream)
            assert reply is not None
            if reply.status is not None and 200 <= reply.status < 300:
                self._refused |= refused
                return reply
            answer = _json(reply.content)
            name = self._dialect.refusal(reply.status or 0, body, answer)
            if name is not None and name not in refused:
                refused |= {name}
                continue
            error = self._failure(reply, answer)
            wait = pause(attempt, reply.headers)
            if not error.retryable or attempt >= self._retries or wait is None:
                raise error
            if wait >= deadline.left:
                raise error
            attempt += 1
            yield wait

    def _drive(self, talk: Talk, deadline: Deadline) -> Reply:
        reply: Reply | None = None
        while True:
            try:
                step = talk.send(reply)
            except StopIteration as done:
                found: Reply = done.value
                return found
            reply = None
            if isinstance(step, float):
                time.sleep(step)
            else:
                reply = self._transport.send(step, deadline, self._where)

    async def _adrive(self, client: Any, talk: Talk, deadline: Deadline) -> Reply:
        reply: Reply | None = None
        while True:
            try:
                step = talk.send(reply)
            except StopIteration as done:
                found: Reply = done.value
                return found
            reply = None
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                reply = await self._transport.asend(client, step, deadline, self._where)

    def _completion(self, reply: Reply) -> Completion:
        answer = _json(reply.content)
        try:
            return self._dialect.completion(answer)
        except ValueError as error:
            said = error_text(answer)
            raise LLMError(
                "The language model's answer cannot be read",
                where=self._where,
                why=str(error) if said is None else self._key.redact(said),
                fix="Check that base_url is that of the right kind of server.",
                status=reply.status,
            ) from error

    def _fold(self, folding: Any, event: Event) -> str:
        try:
            text: str = folding.feed(event)
        except LLMError as error:
            why = None if error.why is None else self._key.redact(error.why)
            raise LLMError(error.what, where=self._where, why=why, retryable=True) from error
        except ValueError as error:
            raise self._cut(f"an event is not JSON: {error}") from error
        return text

    def _cut(self, why: str) -> LLMError:
        return LLMError(
            "The language model's answer was cut off",
            where=self._where,
            why=self._key.redact(why),
            fix="Ask again.",
            retryable=True,
        )

    def _failure(self, reply: Reply, answer: Any) -> LLMError:
        if reply.status is None:
            return LLMError(
                "The language model could not be reached",
                where=self._where,
                why=self._key.redact(reply.problem or "nothing came back"),
                fix="Check that the server runs and that base_url is its address.",
                retryable=True,
            )
        said = error_text(answer)
        if said is None:
            said = reply.content[:200].decode("utf-8", "replace") or None
        return LLMError(
            f"The language model refused with HTTP {reply.status}",
            where=self._where,
            why=None if said is None else self._key.redact(said),
            fix=_FIXES.get(reply.status, None if reply.status < 500 else "Try again later."),
            status=reply.status,
            retryable=is_retryable(reply.status, reply.headers),
        )


_FIXES = {
    401: "Check the key.",
    403: "Check what the key may do.",
    404: "Check the model's name and base_url.",
    413: "Send fewer or shorter documents at once.",
    429: "Wait, or ask less at once.",
}


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _positive(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InputError(f"{name} must be a number of seconds above 0, not {value!r}")
    return float(value)
