"""One answer of a chat: from the request to its text, its sources and what it took."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from secondpass.answer import Answer, stream_answer
from secondpass.answer.answer import AnswerOptions
from secondpass.answer.prompt import beginning
from secondpass.inference.unicode import clean
from secondpass.llm import Stop
from secondpass.rerank.llm.documents import count_tokens
from secondpass.server.http_errors import Problem, invalid
from secondpass.server.index_catalog import Collection
from secondpass.server.openai.citing import Found, chunk, cited
from secondpass.server.openai.metered import Metered
from secondpass.server.openai.schemas import ChatRequest, Sampling
from secondpass.server.state import RerankService
from secondpass.types import RerankResponse

_FINISHED = {Stop.LENGTH: "length", Stop.REFUSAL: "content_filter"}


class Reply:
    """An answer in pieces, taken once with `pieces`; blocks.

    `model` and `chunks` are known when the first piece has come, `text`, `finish`,
    `annotations` and `usage` when the last has.
    """

    def __init__(self, service: RerankService, tenant: str, request: ChatRequest) -> None:
        self._service, self._tenant, self._request = service, tenant, request
        self._collection: Collection | None = None
        self._llm = None
        if service.llm is not None:
            self._llm = Metered(service.llm, request.sampling)
        self._found: Found = {}
        self.text, self.finish = "", "stop"
        self.chunks: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def pieces(self) -> Iterator[str]:
        """Search, then yield the text as it is made.

        Raises Problem, and what `stream_answer` raises.
        """
        self._collection = named(self._service, self._tenant, self._request.model)
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
            search["rerank"] = self._service.model(wanted.model)
        options: AnswerOptions = {
            "llm": self._llm,
            "rewrite": rewrite,
            "reranker": self._service.model(),
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


def named(service: RerankService, tenant: str, name: str | None) -> Collection:
    """Return the index of that name; any other means the default one, unless `strict`.

    Raises Problem: 404 where there is none.
    """
    if not name:
        return service.collections.default(tenant)
    try:
        return service.collections.find(tenant, name)
    except Problem as problem:
        if problem.status != 404:
            raise
        if service.settings.strict:
            raise Problem(404, "unknown model", problem.message) from problem
        return service.collections.default(tenant)


def shortened(text: str, sampling: Sampling) -> tuple[str, bool]:
    """Return a text up to the first of the stops, and whether its tokens were too many."""
    ends = [text.find(stop) for stop in sampling.stop]
    text = text[: min((end for end in ends if end >= 0), default=len(text))]
    most = sampling.max_tokens
    if most is None or count_tokens(text) <= most:
        return text, False
    return beginning(text, most, count_tokens), True
