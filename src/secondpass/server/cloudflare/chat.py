"""Chat completions: an answer in OpenAI's form, with the chunks that it rests on.

An answer from the chunks of a search, piece by piece.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from secondpass.answer.answer import stream_answer
from secondpass.answer.prompt import assemble
from secondpass.answer.query_rewriting import ANSWER
from secondpass.index.index import skipped_response
from secondpass.rerank.llm.prompts import PromptTemplate, count_tokens
from secondpass.server.cloudflare.context import AppContext
from secondpass.server.cloudflare.search_request import (
    SearchCall,
    SearchOutcome,
    conversation,
    found_errors,
    searched,
)
from secondpass.server.streaming import data
from secondpass.types import Candidate, Document, RerankResponse, ScoreKind

_TOKENS_FOR_A_MODEL = 4000
_TOKENS_FOR_SENTENCES = 1500
_MOST_TOKENS = 1000
_BRACES = re.compile(r"\{([A-Za-z_]+)\}")


@dataclass(slots=True)
class Written:
    """An answer while it is written: `chunks` is what it rests on, in the order of its
    citations; the rest is known at the end.
    """

    chunks: list[dict[str, Any]]
    text: str = ""
    model: str = ""
    tokens: int = 0
    finish: str = "stop"
    pieces: Iterator[str] = field(default_factory=lambda: iter(()))


class _Chosen:
    """Finds what was found already."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = documents

    @property
    def search(self) -> Callable[..., RerankResponse]:
        """Return the same passages for any query."""
        return self._search

    def _search(self, query: str, *, top_k: int) -> RerankResponse:
        candidates = [Candidate(d, score=0.0, rank=n) for n, d in enumerate(self._documents, 1)]
        return skipped_response(query, candidates[:top_k], ScoreKind.RANK)


def write(hub: AppContext, request: SearchCall, found: SearchOutcome) -> Written:
    """Begin an answer; without a language model it is sentences of the chunks.

    Chunks that do not fit, or say what a better one says, are left out. Taking the pieces
    raises LLMError where the model fails.
    """
    llm = hub.llm
    room = _TOKENS_FOR_SENTENCES if llm is None else _TOKENS_FOR_A_MODEL
    # Without their places in the text, so that each stays one passage with its own number.
    documents = [
        Document(text, id=str(n), title=chunk.document.title)
        for n, (chunk, text) in enumerate(
            zip(found.results.chunks, found.results.texts, strict=True)
        )
    ]
    everything = _Chosen(documents).search("", top_k=max(1, len(documents)))
    passages = assemble(everything.results, tokens=room, count=count_tokens)
    kept = [int(passage.ids[0]) for passage in passages]
    written = Written([found.chunks[n] for n in kept])
    stream = stream_answer(
        _Chosen([documents[n] for n in kept]),
        request.question.text,
        llm=llm,
        passages=max(1, len(kept)),
        context_tokens=room,
        max_tokens=_MOST_TOKENS,
        min_probability=None,
        prompt=_prompt(request),
        reranker=hub.handler.state.model(),
    )

    def pieces() -> Iterator[str]:
        for piece in stream:
            written.text += piece
            yield piece
        answer = stream.answer
        assert answer is not None
        own = "secondpass" if answer.model is None else answer.model
        written.model, written.tokens = request.model or own, answer.tokens
        if answer.reason is not None and "ended by length" in answer.reason:
            written.finish = "length"

    written.pieces = pieces()
    return written


def _prompt(request: SearchCall) -> PromptTemplate:
    own = request.settings.get("system_prompt_ai_search")
    system = own if request.question.system is None else request.question.system
    said = conversation(request.question)
    if not system and not said:
        return ANSWER
    head = f"{_plain(system)}\n\n" if system else ""
    return PromptTemplate(head + ANSWER.system, _plain(said) + ANSWER.user)


def _plain(text: str) -> str:
    """Return a text in which no word in braces stands for anything."""
    return _BRACES.sub(r"{ \1 }", text)


HIT, MISS = "HIT", "MISS"
_KIND = "chat"


class Chat:
    """One answer to one request, given whole or in frames.

    `cache` says how it came about: HIT, MISS, or None where nothing is kept.
    """

    def __init__(self, hub: AppContext, request: SearchCall) -> None:
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


def _usage(request: SearchCall, written: Written) -> dict[str, int]:
    """Return the tokens, those of the answer by its length: a model tells their sum."""
    completion = max(1, len(written.text) // 4)
    prompt = max(written.tokens - completion, len(request.question.text) // 4, 1)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
