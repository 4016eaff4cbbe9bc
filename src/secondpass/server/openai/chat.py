"""OpenAI's chat completions: answers from an index, whole or as they are made.

Sources of an answer as clients see them: chunks, and citations of web addresses.

A language model as one request uses it: with the client's sampling, and counted.

One answer of a chat: from the request to its text, its sources and what it took.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from secondpass.answer import Answer, Citation, Passage, stream_answer
from secondpass.answer.answer import AnswerOptions
from secondpass.answer.prompt import beginning
from secondpass.inference.tokenizer import clean
from secondpass.llm import LLM, Completion, Prompt, Stop, TextStream
from secondpass.rerank.llm.prompts import count_tokens
from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.index_catalog import ServedIndex
from secondpass.server.openai.responses import error, fail
from secondpass.server.openai.schemas import ChatRequest, Sampling, read_chat
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler
from secondpass.server.result_fields import json_value, relevance_score, source_url
from secondpass.server.state import ServerState
from secondpass.server.streaming import data, event_stream, pieces
from secondpass.types import RankedDocument, RerankResponse

Found = Mapping[str, RankedDocument]
"""What a search found, by id."""


def chunk(passage: Passage, found: Found) -> dict[str, Any]:
    """Return a passage; `number` is the one in the answer's brackets."""
    result = _result(passage, found)
    document = None if result is None else result.document
    metadata = {} if document is None else document.metadata
    score = passage.probability
    if score is None:
        score = 0.0 if result is None else relevance_score(result)
    return {
        "id": passage.ids[0] if passage.ids else None,
        "type": "text",
        "number": passage.number,
        "score": min(1.0, max(0.0, score)),
        "title": passage.title,
        "text": passage.text,
        "url": source_url(metadata),
        "item": {"key": metadata.get("document_id") or "".join(passage.ids[:1])},
        "metadata": json_value(metadata),
    }


def cited(text: str, citations: Sequence[Citation], found: Found) -> list[dict[str, Any]]:
    """Return the citations whose documents have a web address, placed in the text."""
    rows = []
    for citation in citations:
        result = _result(citation.passage, found)
        document = None if result is None else result.document
        url = None if document is None else source_url(document.metadata)
        end = text.find("]", citation.start) + 1
        if url is None or end == 0:
            continue
        title = citation.passage.title
        place = {
            "url": url,
            "title": url if title is None else title,
            "start_index": citation.start,
            "end_index": end,
        }
        rows.append({"type": "url_citation", "url_citation": place})
    return rows


def _result(passage: Passage, found: Found) -> RankedDocument | None:
    """Return the best of the results that a passage was merged from."""
    there = [found[name] for name in passage.ids if name in found]
    return min(there, key=lambda result: result.rank, default=None)


class Metered(LLM):
    """Writes the answer with a client's sampling; other questions are asked as they are.

    `input_tokens` and `output_tokens` are those of all calls, counted here where the server
    behind does not tell; `stop` is why the answer ended, None before.
    """

    def __init__(self, llm: LLM, sampling: Sampling) -> None:
        self._llm, self._sampling = llm, sampling
        self.input_tokens = self.output_tokens = 0
        self.stop: Stop | None = None

    @property
    def name(self) -> str:
        """That of the model."""
        return self._llm.name

    def complete(self, prompt: Prompt) -> Completion:
        """Return the answer to a prompt that is not the client's."""
        found = self._llm.complete(prompt)
        self._count(prompt, found)
        return found

    def stream(self, prompt: Prompt) -> TextStream:
        """Return the answer piece by piece, as the client wants it sampled."""
        wanted = self._sampling
        prompt = replace(prompt, stop=wanted.stop, seed=wanted.seed, top_p=wanted.top_p)
        if wanted.temperature is not None:
            prompt = replace(prompt, temperature=wanted.temperature)

        def pieces() -> Iterator[str | Completion]:
            stream = self._llm.stream(prompt)
            try:
                yield from stream
            finally:
                stream.close()
            if stream.completion is not None:
                self.stop = stream.completion.stop
                self._count(prompt, stream.completion)
                yield stream.completion

        return TextStream(pieces())

    def _count(self, prompt: Prompt, found: Completion) -> None:
        given, made = found.input_tokens, found.output_tokens
        if given is None:
            given = count_tokens(f"{prompt.system}\n{prompt.user}")
        self.input_tokens += given
        self.output_tokens += count_tokens(found.text) if made is None else made


_FINISHED = {Stop.LENGTH: "length", Stop.REFUSAL: "content_filter"}


class Reply:
    """An answer in pieces, taken once with `pieces`; blocks.

    `model` and `chunks` are known when the first piece has come, `text`, `finish`,
    `annotations` and `usage` when the last has.
    """

    def __init__(self, state: ServerState, tenant: str, request: ChatRequest) -> None:
        self._state, self._tenant, self._request = state, tenant, request
        self._collection: ServedIndex | None = None
        self._llm = None
        if state.llm is not None:
            self._llm = Metered(state.llm, request.sampling)
        self._found: Found = {}
        self.text, self.finish = "", "stop"
        self.chunks: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def pieces(self) -> Iterator[str]:
        """Search, then yield the text as it is made.

        Raises Problem, and what `stream_answer` raises.
        """
        self._collection = named(self._state, self._tenant, self._request.model)
        conversation = self._request.conversation
        stream = stream_answer(self, conversation.question, **self._options())
        for piece in stream:
            if not self.text:
                self.chunks = [chunk(p, self._found) for p in stream.passages]
            said = clean(piece) if self._llm is not None else self._shortened(piece)
            self.text += said
            yield said
        assert stream.answer is not None
        self._end(stream.answer)

    @property
    def model(self) -> str:
        """The name that the client asked for, or else the index's own."""
        if self._request.model:
            return self._request.model
        return "" if self._collection is None else self._collection.place.label

    def search(self, query: str, **options: Any) -> RerankResponse:
        """Search the index, as `stream_answer` asks for it, and remember what was found."""
        assert self._collection is not None
        response = self._collection.index.search(query, **options)
        self._found = {r.id: r for r in response.results if r.id is not None}
        return response

    @property
    def usage(self) -> dict[str, int]:
        """The tokens; of the question and the sentences where no model was asked."""
        if self._llm is not None and self._llm.input_tokens:
            given, made = self._llm.input_tokens, self._llm.output_tokens
        else:
            given = count_tokens(self._request.conversation.question)
            made = count_tokens(self.text)
        return {
            "prompt_tokens": given,
            "completion_tokens": made,
            "total_tokens": given + made,
        }

    def _options(self) -> AnswerOptions:
        request, wanted = self._request, self._request.retrieval
        rewrite = wanted.rewrite
        if rewrite is None:
            rewrite = self._llm is not None and bool(request.conversation.history)
        elif rewrite and self._llm is None:
            raise invalid("query_rewrite needs a language model, and this server has none")
        search: dict[str, Any] = {} if wanted.mode is None else {"mode": wanted.mode}
        if not wanted.rerank:
            search["rerank"] = False
        elif wanted.model is not None:
            search["rerank"] = self._state.model(wanted.model)
        options: AnswerOptions = {
            "llm": self._llm,
            "rewrite": rewrite,
            "reranker": self._state.model(),
            "search": search,
            "history": request.conversation.history,
            "instructions": request.conversation.instructions,
        }
        if wanted.passages is not None:
            options["passages"] = wanted.passages
        if request.sampling.max_tokens is not None:
            options["max_tokens"] = request.sampling.max_tokens
        return options

    def _shortened(self, text: str) -> str:
        """Return sentences within the limits that a model would have kept to itself."""
        kept, cut = shortened(text, self._request.sampling)
        if cut:
            self.finish = "length"
        return kept

    def _end(self, answer: Answer) -> None:
        if self._llm is not None and self._llm.stop is not None:
            self.finish = _FINISHED.get(self._llm.stop, "stop")
        self.chunks = [chunk(p, self._found) for p in answer.passages]
        kept = [c for c in answer.citations if c.start < len(self.text)]
        self.annotations = cited(self.text, kept, self._found)


def named(state: ServerState, tenant: str, name: str | None) -> ServedIndex:
    """Return the index of that name; any other means the default one, unless `strict`.

    Raises Problem: 404 where there is none.
    """
    if not name:
        return state.catalog.default(tenant)
    try:
        return state.catalog.find(tenant, name)
    except HttpError as problem:
        if problem.status != 404:
            raise
        if state.settings.strict:
            raise HttpError(404, "unknown model", problem.message) from problem
        return state.catalog.default(tenant)


def shortened(text: str, sampling: Sampling) -> tuple[str, bool]:
    """Return a text up to the first of the stops, and whether its tokens were too many."""
    ends = [text.find(stop) for stop in sampling.stop]
    text = text[: min((end for end in ends if end >= 0), default=len(text))]
    most = sampling.max_tokens
    if most is None or count_tokens(text) <= most:
        return text, False
    return beginning(text, most, count_tokens), True


def routes(handler: RequestHandler) -> list[Route]:
    """Return the route of chat completions."""

    async def work(context: RequestContext) -> Any:
        request = read_chat(await handler.body(context))
        reply = Reply(handler.state, context.caller.tenant, request)
        if request.stream:
            return await _streamed(handler, context, reply, request.include_usage)
        await handler.done(context, lambda: list(reply.pieces()))
        return _whole(context, reply)

    endpoint = handler.endpoint("openai-chat", fail, "search", work)
    return [Route("/v1/chat/completions", endpoint, methods=["POST"])]


def _head(context: RequestContext, reply: Reply, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{context.id}",
        "object": kind,
        "created": int(time.time()),
        "model": reply.model,
    }


def _whole(context: RequestContext, reply: Reply) -> dict[str, Any]:
    message = {
        "role": "assistant",
        "content": reply.text,
        "refusal": None,
        "annotations": reply.annotations,
    }
    choice = {"index": 0, "message": message, "finish_reason": reply.finish, "logprobs": None}
    head = _head(context, reply, "chat.completion")
    return {**head, "choices": [choice], "usage": reply.usage, "chunks": reply.chunks}


async def _streamed(
    handler: RequestHandler, context: RequestContext, reply: Reply, include_usage: bool
) -> Response:
    texts = await pieces(handler, context, reply.pieces)
    head = _head(context, reply, "chat.completion.chunk")
    # Where usage is wanted, all chunks before the last have it as null.
    usage: dict[str, Any] = {"usage": None} if include_usage else {}

    def frame(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return data({**head, "choices": [choice], **usage, **more})

    async def frames() -> AsyncIterator[str]:
        # With a choice in it: many clients read the first one of every chunk.
        yield frame({"role": "assistant", "content": ""}, chunks=reply.chunks)
        async for text in texts:
            yield frame({"content": text})
        cited = {"annotations": reply.annotations} if reply.annotations else {}
        yield frame(cited, reply.finish)
        if include_usage:
            yield data({**head, "choices": [], "usage": reply.usage})
        yield data("[DONE]")

    return event_stream(frames(), lambda problem: data({"error": error(problem)}))
