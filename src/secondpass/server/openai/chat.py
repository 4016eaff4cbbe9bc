"""Chat completions: one answer from an index, its sources and its tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from secondpass.answer import Answer, stream_answer
from secondpass.answer.answer import AnswerOptions
from secondpass.answer.passages import truncate_to_tokens
from secondpass.inference.unicode import clean
from secondpass.llm import LLM, Completion, Prompt, Stop, TextStream
from secondpass.rerank.llm.prompts import count_tokens
from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.index_catalog import ServedIndex
from secondpass.server.openai.responses import ResultsByRank, passage_chunk, url_citations
from secondpass.server.openai.schemas import ChatRequest, Sampling
from secondpass.server.request_context import RequestContext
from secondpass.server.state import ServerState
from secondpass.types import RerankResponse

_FINISH_REASONS = {Stop.LENGTH: "length", Stop.REFUSAL: "content_filter"}


class MeteredLLM(LLM):
    """A language model with one client's sampling, and a count of its tokens.

    Only the answer is streamed and so sampled as the client says; other prompts, such as for
    rewriting the query, are sent as they are. `input_tokens` and `output_tokens` are those of
    all calls, counted here where the provider does not report them; `stop` is why the answer
    ended, None before.
    """

    def __init__(self, llm: LLM, sampling: Sampling) -> None:
        self._llm, self._sampling = llm, sampling
        self.input_tokens = self.output_tokens = 0
        self.stop: Stop | None = None

    @property
    def name(self) -> str:
        """The name of the model."""
        return self._llm.name

    def complete(self, prompt: Prompt) -> Completion:
        """Return the completion of a prompt that is not the client's."""
        completion = self._llm.complete(prompt)
        self._count(prompt, completion)
        return completion

    def stream(self, prompt: Prompt) -> TextStream:
        """Stream the answer, sampled as the client asked."""
        sampling = self._sampling
        prompt = replace(prompt, stop=sampling.stop, seed=sampling.seed, top_p=sampling.top_p)
        if sampling.temperature is not None:
            prompt = replace(prompt, temperature=sampling.temperature)

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

    def _count(self, prompt: Prompt, completion: Completion) -> None:
        input_tokens, output_tokens = completion.input_tokens, completion.output_tokens
        if input_tokens is None:
            input_tokens = count_tokens(f"{prompt.system}\n{prompt.user}")
        if output_tokens is None:
            output_tokens = count_tokens(completion.text)
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens


class ChatReply:
    """One answer, produced once by `pieces`; blocks.

    `model` and `chunks` are known when the first piece has come, `text`, `finish`,
    `annotations` and `usage` when the last has.
    """

    def __init__(
        self, state: ServerState, context: RequestContext, request: ChatRequest
    ) -> None:
        self._state, self._context, self._request = state, context, request
        self._served: ServedIndex | None = None
        self._llm = None
        if state.llm is not None:
            self._llm = MeteredLLM(state.llm, request.sampling)
        self._results: ResultsByRank = {}
        self.text, self.finish = "", "stop"
        self.chunks: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def pieces(self) -> Iterator[str]:
        """Search, then yield the text as it is written.

        Raises HttpError, and what `stream_answer` raises.
        """
        self._served = find_index(self._state, self._context.caller.tenant, self._request.model)
        conversation = self._request.conversation
        stream = stream_answer(self, conversation.question, **self._options())
        for piece in stream:
            if not self.text:
                self.chunks = [passage_chunk(p, self._results) for p in stream.passages]
            text = clean(piece) if self._llm is not None else self._truncate(piece)
            self.text += text
            yield text
        assert stream.answer is not None
        self._end(stream.answer)

    @property
    def model(self) -> str:
        """The name that the client sent, or else the index's own."""
        if self._request.model:
            return self._request.model
        return "" if self._served is None else self._served.key.label

    def search(self, query: str, **options: Any) -> RerankResponse:
        """Search the index for `stream_answer`; keep the results, warn of what is not read."""
        assert self._served is not None
        response = self._served.source.search(query, **options)
        self._context.warnings += response.warnings
        self._results = {r.rank: r for r in response.results}
        return response

    @property
    def usage(self) -> dict[str, int]:
        """The tokens; of the question and the sentences where no language model was used."""
        if self._llm is not None and self._llm.input_tokens:
            prompt, written = self._llm.input_tokens, self._llm.output_tokens
        else:
            prompt = count_tokens(self._request.conversation.question)
            written = count_tokens(self.text)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
        }

    def _options(self) -> AnswerOptions:
        request, retrieval = self._request, self._request.retrieval
        rewrite = retrieval.rewrite
        if rewrite is None:
            rewrite = self._llm is not None and bool(request.conversation.history)
        elif rewrite and self._llm is None:
            raise invalid("query_rewrite needs a language model, and this server has none")
        search: dict[str, Any] = {} if retrieval.mode is None else {"mode": retrieval.mode}
        if not retrieval.rerank:
            search["rerank"] = False
        elif retrieval.model is not None:
            search["rerank"] = self._state.model(retrieval.model)
        options: AnswerOptions = {
            "llm": self._llm,
            "rewrite": rewrite,
            "reranker": self._state.model(),
            "search": search,
            "history": request.conversation.history,
            "instructions": request.conversation.instructions,
        }
        if retrieval.passages is not None:
            options["passages"] = retrieval.passages
        if request.sampling.max_tokens is not None:
            options["max_tokens"] = request.sampling.max_tokens
        return options

    def _truncate(self, text: str) -> str:
        """Apply the limits that a language model would have applied itself."""
        text, truncated = truncate(text, self._request.sampling)
        if truncated:
            self.finish = "length"
        return text

    def _end(self, answer: Answer) -> None:
        if self._llm is not None and self._llm.stop is not None:
            self.finish = _FINISH_REASONS.get(self._llm.stop, "stop")
        self.chunks = [passage_chunk(p, self._results) for p in answer.passages]
        citations = [c for c in answer.citations if c.start < len(self.text)]
        self.annotations = url_citations(self.text, citations, self._results)


def find_index(state: ServerState, tenant: str, name: str | None) -> ServedIndex:
    """Return the index of that name; any other name means the default one, unless `strict`.

    Raises HttpError: 404 where there is none.
    """
    if not name:
        return state.catalog.default(tenant)
    try:
        return state.catalog.find(tenant, name)
    except HttpError as error:
        if error.status != 404:
            raise
        if state.settings.strict:
            raise HttpError(404, "unknown model", error.message) from error
        return state.catalog.default(tenant)


def truncate(text: str, sampling: Sampling) -> tuple[str, bool]:
    """Return a text up to the first stop sequence and within `max_tokens`.

    The second value is whether it had more tokens.
    """
    ends = [text.find(stop) for stop in sampling.stop]
    text = text[: min((end for end in ends if end >= 0), default=len(text))]
    limit = sampling.max_tokens
    if limit is None or count_tokens(text) <= limit:
        return text, False
    return truncate_to_tokens(text, limit, count_tokens), True
