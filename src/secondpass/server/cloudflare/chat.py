"""Chat completions in OpenAI's format, with the chunks that an answer cites."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from secondpass.answer.answer import stream_answer
from secondpass.answer.passages import select_passages
from secondpass.answer.prompt import ANSWER_TEMPLATE
from secondpass.index.search import skipped_response
from secondpass.rerank.llm.prompts import PromptTemplate, count_tokens
from secondpass.server.cloudflare.context import AppContext
from secondpass.server.cloudflare.conversation import format_history
from secondpass.server.cloudflare.search import SearchResult, run_search
from secondpass.server.cloudflare.search_request import SearchRequest
from secondpass.server.streaming import data
from secondpass.types import Candidate, Document, RerankResponse, ScoreKind

_CONTEXT_TOKENS_LLM = 4000
_CONTEXT_TOKENS_EXTRACTIVE = 1500
_MAX_TOKENS = 1000
_BRACES = re.compile(r"\{([A-Za-z_]+)\}")
HIT, MISS = "HIT", "MISS"
"""Values of the cache status header."""
_CACHE_KIND = "chat"
_CACHED_FIELDS = ("chunks", "text", "model", "tokens", "finish_reason")


@dataclass(slots=True)
class GeneratedAnswer:
    """An answer that is being generated; iterating `pieces` fills in the other fields.

    `chunks` are those that the answer may cite, in the order of their numbers.
    """

    chunks: list[dict[str, Any]]
    text: str = ""
    model: str = ""
    tokens: int = 0
    finish_reason: str = "stop"
    pieces: Iterator[str] = field(default_factory=lambda: iter(()))


class _RetrievedPassages:
    """A search that returns passages that were retrieved before, whatever the query."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = documents

    @property
    def search(self) -> Callable[..., RerankResponse]:
        """The search function."""
        return self._search

    def _search(self, query: str, *, top_k: int) -> RerankResponse:
        candidates = [Candidate(d, score=0.0, rank=n) for n, d in enumerate(self._documents, 1)]
        return skipped_response(query, candidates[:top_k], ScoreKind.RANK)


def generate_answer(
    app: AppContext, request: SearchRequest, result: SearchResult
) -> GeneratedAnswer:
    """Start an answer from retrieved chunks; without a language model it quotes sentences.

    Chunks beyond the context limit, and those that repeat a better one, are left out.
    Iterating its pieces raises LLMError if the model fails.
    """
    llm = app.llm
    context_tokens = _CONTEXT_TOKENS_EXTRACTIVE if llm is None else _CONTEXT_TOKENS_LLM
    # Without their positions in the document, so that neighboring chunks stay separate
    # passages, each with its own citation number.
    documents = [
        Document(text, id=str(number), title=chunk.document.title)
        for number, (chunk, text) in enumerate(zip(result.chunks, result.texts, strict=True))
    ]
    retrieved = _RetrievedPassages(documents).search("", top_k=max(1, len(documents)))
    passages = select_passages(
        retrieved.results, max_tokens=context_tokens, count_tokens=count_tokens
    )
    numbers = [int(passage.ids[0]) for passage in passages]
    answer = GeneratedAnswer([result.rows[number] for number in numbers])
    stream = stream_answer(
        _RetrievedPassages([documents[number] for number in numbers]),
        request.conversation.query,
        llm=llm,
        passages=max(1, len(numbers)),
        context_tokens=context_tokens,
        max_tokens=_MAX_TOKENS,
        min_probability=None,
        prompt=_prompt(request),
        reranker=app.reranker(),
    )

    def pieces() -> Iterator[str]:
        for piece in stream:
            answer.text += piece
            yield piece
        final = stream.answer
        assert final is not None
        model = "secondpass" if final.model is None else final.model
        answer.model, answer.tokens = request.model or model, final.tokens
        if final.reason is not None and "ended by length" in final.reason:
            answer.finish_reason = "length"

    answer.pieces = pieces()
    return answer


def _prompt(request: SearchRequest) -> PromptTemplate:
    default = request.settings.get("system_prompt_ai_search")
    conversation = request.conversation
    system = default if conversation.system is None else conversation.system
    history = format_history(conversation)
    if not system and not history:
        return ANSWER_TEMPLATE
    prefix = f"{_escape_placeholders(system)}\n\n" if system else ""
    user = _escape_placeholders(history) + ANSWER_TEMPLATE.user
    return PromptTemplate(prefix + ANSWER_TEMPLATE.system, user)


def _escape_placeholders(text: str) -> str:
    """Return client text in which no `{word}` is a placeholder of the template."""
    return _BRACES.sub(r"{ \1 }", text)


class ChatCompletion:
    """The answer to one request, as one body or as a stream of events.

    Creating it searches, and starts the answer. `cache_status` is HIT, MISS, or None if
    caching is off.
    """

    def __init__(self, app: AppContext, request: SearchRequest) -> None:
        self._app, self._request = app, request
        self._id, self._created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())
        self._lookup = request.cache_lookup(_CACHE_KIND)
        self._complete = True
        self._errors: list[dict[str, str]] = []
        self.cache_status = None if self._lookup is None else MISS
        self._answer = self._cached_answer() or self._new_answer()

    def to_json(self) -> dict[str, Any]:
        """Return the whole answer; raises LLMError if the model fails."""
        for _ in self._answer.pieces:
            pass
        self._store()
        answer = self._answer
        message = {"role": "assistant", "content": answer.text}
        choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
        body = {
            "id": self._id,
            "object": "chat.completion",
            "created": self._created,
            "model": answer.model,
            "choices": [choice],
            "usage": _usage(self._request, answer),
            "chunks": answer.chunks,
        }
        return {**body, "errors": self._errors} if self._errors else body

    def events(self) -> Iterator[str]:
        """Yield server-sent events; an error before the first piece is raised at once."""
        pieces = self._answer.pieces
        first = next(pieces, "")
        yield data(self._answer.chunks, event="chunks")
        yield self._event({"role": "assistant", "content": first})
        for piece in pieces:
            yield self._event({"content": piece})
        self._store()
        yield self._event({}, self._answer.finish_reason)
        yield data("[DONE]")

    def _event(self, delta: dict[str, str], finish_reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        model = self._answer.model or self._request.model or "secondpass"
        return data(
            {
                "id": self._id,
                "object": "chat.completion.chunk",
                "created": self._created,
                "model": model,
                "choices": [choice],
            }
        )

    def _new_answer(self) -> GeneratedAnswer:
        result = run_search(self._app, self._request)
        self._complete, self._errors = result.complete, result.errors_json()
        return generate_answer(self._app, self._request, result)

    def _cached_answer(self) -> GeneratedAnswer | None:
        cached = None if self._lookup is None else self._app.cache.get(self._lookup)
        if cached is None:
            return None
        self.cache_status, self._lookup = HIT, None
        return GeneratedAnswer(**cached, pieces=iter([cached["text"]]))

    def _store(self) -> None:
        """Cache the answer, if it is complete."""
        answer = self._answer
        if self._lookup is not None and self._complete and answer.finish_reason == "stop":
            fields = {name: getattr(answer, name) for name in _CACHED_FIELDS}
            self._app.cache.put(self._lookup, fields)


def _usage(request: SearchRequest, answer: GeneratedAnswer) -> dict[str, int]:
    """Return token counts; a model reports the sum, so the answer's are estimated."""
    completion = max(1, len(answer.text) // 4)
    prompt = max(answer.tokens - completion, len(request.conversation.query) // 4, 1)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
