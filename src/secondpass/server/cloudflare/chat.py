"""Chat completions: an answer in OpenAI's form, with the chunks that it rests on."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

from secondpass.server.cloudflare.answering import Written, write
from secondpass.server.cloudflare.context import Hub
from secondpass.server.cloudflare.search_request import Request, found_errors, searched
from secondpass.server.streaming import data

HIT, MISS = "HIT", "MISS"
_KIND = "chat"


class Chat:
    """One answer to one request, given whole or in frames.

    `cache` says how it came about: HIT, MISS, or None where nothing is kept.
    """

    def __init__(self, hub: Hub, request: Request) -> None:
        self._hub, self._request = hub, request
        self._id, self._created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())
        self._asked = request.cached(_KIND)
        self._whole = True
        self._errors: list[dict[str, str]] = []
        self.cache = None if self._asked is None else MISS
        self._written = self._kept() or self._new()

    def whole(self) -> dict[str, Any]:
        """Return the answer; raises LLMError where the model fails."""
        for _ in self._written.pieces:
            pass
        self._keep()
        written = self._written
        message = {"role": "assistant", "content": written.text}
        answer = {
            "id": self._id,
            "object": "chat.completion",
            "created": self._created,
            "model": written.model,
            "choices": [{"index": 0, "message": message, "finish_reason": written.finish}],
            "usage": _usage(self._request, written),
            "chunks": written.chunks,
        }
        return {**answer, "errors": self._errors} if self._errors else answer

    def frames(self) -> Iterator[str]:
        """Yield the answer as server-sent events; a model that fails at once raises first."""
        pieces = self._written.pieces
        first = next(pieces, "")
        yield data(self._written.chunks, event="chunks")
        yield self._frame({"role": "assistant", "content": first})
        for piece in pieces:
            yield self._frame({"content": piece})
        self._keep()
        yield self._frame({}, self._written.finish)
        yield data("[DONE]")

    def _frame(self, delta: dict[str, str], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        model = self._written.model or self._request.model or "secondpass"
        return data(
            {
                "id": self._id,
                "object": "chat.completion.chunk",
                "created": self._created,
                "model": model,
                "choices": [choice],
            }
        )

    def _new(self) -> Written:
        found = searched(self._hub, self._request)
        self._whole, self._errors = found.whole, found_errors(found.results)
        return write(self._hub, self._request, found)

    def _kept(self) -> Written | None:
        kept = None if self._asked is None else self._hub.cache.get(self._asked)
        if kept is None:
            return None
        self.cache, self._asked = HIT, None
        return Written(**kept, pieces=iter([kept["text"]]))

    def _keep(self) -> None:
        written = self._written
        if self._asked is not None and self._whole and written.finish == "stop":
            names = ("chunks", "text", "model", "tokens", "finish")
            self._hub.cache.put(self._asked, {n: getattr(written, n) for n in names})


def _usage(request: Request, written: Written) -> dict[str, int]:
    """Return the tokens, those of the answer by its length: a model tells their sum."""
    completion = max(1, len(written.text) // 4)
    prompt = max(written.tokens - completion, len(request.question.text) // 4, 1)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
