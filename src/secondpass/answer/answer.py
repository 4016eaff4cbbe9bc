"""Answers to questions: rewrite, search, select passages, then generate or extract."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Literal, Protocol, TypedDict, Unpack, get_args

from secondpass.answer.citations import CitationFilter, find_citations
from secondpass.answer.extractive import extract_answer, find_spans, text_of_spans
from secondpass.answer.passages import select_passages
from secondpass.answer.prompt import ANSWER_TEMPLATE, NOT_FOUND, GroundedPrompt
from secondpass.answer.query_rewriting import rewrite_query
from secondpass.answer.types import Answer, AnswerStatus, Passage, Turn
from secondpass.errors import InputError, nearest
from secondpass.llm import LLM, Completion, Stop, load_llm
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.inputs import check_count, check_number, check_query
from secondpass.rerank.llm.prompts import PromptTemplate, count_tokens
from secondpass.types import RerankResponse, Status

MIN_PROBABILITY = 0.03
"""Below this the bundled reranker has found nothing; see docs/how-to/answer-questions.md."""

_NO_ANSWER = "The documents do not hold an answer to this."


AnswerContext = Literal["passages", "spans"]
"""What a language model reads: whole passages, or the sentences of them that answer."""


class Searcher(Protocol):
    """Anything that is searched for passages, such as an `Index`."""

    @property
    def search(self) -> Callable[..., RerankResponse]:
        """Search for a query; takes `top_k` and the options of `Index.search`."""
        ...


class AnswerOptions(TypedDict, total=False):
    """The keyword arguments of `stream_answer`."""

    llm: LLM | str | None
    rewrite: bool
    passages: int
    context_tokens: int
    max_tokens: int
    context: AnswerContext
    min_probability: float | None
    prompt: PromptTemplate
    reranker: BaseReranker | None
    search: Mapping[str, Any] | None
    history: Sequence[Turn]
    instructions: str


_Event = str | tuple[Passage, ...] | Answer


class AnswerStream:
    """A streaming answer: iterate over it once for pieces of text.

    `passages` are those that it can cite, from the first piece on. `answer` is the whole
    answer once the last piece has been taken, None before.
    """

    def __init__(self, events: Generator[_Event, None, None]) -> None:
        self._events = events
        self.passages: tuple[Passage, ...] = ()
        self.answer: Answer | None = None

    def __iter__(self) -> Iterator[str]:
        for event in self._events:
            if isinstance(event, Answer):
                self.answer = event
            elif isinstance(event, tuple):
                self.passages = event
            elif event:
                yield event

    def close(self) -> None:
        """Stop before the end and close the connection to the language model."""
        self._events.close()


def answer(index: Searcher, query: str, **options: Unpack[AnswerOptions]) -> Answer:
    """Return a whole answer; the arguments are those of `stream_answer`."""
    stream = stream_answer(index, query, **options)
    for _ in stream:
        pass
    assert stream.answer is not None
    return stream.answer


def stream_answer(
    index: Searcher,
    query: str,
    *,
    llm: LLM | str | None = None,
    rewrite: bool = False,
    passages: int = 5,
    context_tokens: int = 1500,
    max_tokens: int = 500,
    context: AnswerContext = "passages",
    min_probability: float | None = MIN_PROBABILITY,
    prompt: PromptTemplate = ANSWER_TEMPLATE,
    reranker: BaseReranker | None = None,
    search: Mapping[str, Any] | None = None,
    history: Sequence[Turn] = (),
    instructions: str = "",
) -> AnswerStream:
    """Answer a question from search results, with citations that are checked.

    - `llm`: a language model, which the caller closes, or the name of one, which is loaded
      for this answer and closed after it. None answers with sentences of the passages,
      chosen by `reranker` (the bundled one by default), without any network.
    - `rewrite`: whether the model first turns the question into a query to search for; the
      question is then its variant (`query_variants`), unless there is a `history`.
    - `passages`: how many results are read, at least 1; `context_tokens`: their limit in
      all; `max_tokens`: the limit of the answer.
    - `context`: "spans" sends the language model only the sentences of each passage that
      answer, by `reranker`, and in likely passages those before and after the best: two fifths
      of the tokens; docs/how-to/show-relevant-sentences.md has what that costs.
    - `min_probability`: if no passage has at least this probability of relevance, the
      answer is that there is none, and no model is called to write one. None skips this
      check.
    - `search`: further arguments for `index.search`.
    - `history`: the conversation before the question, of which a model gets the last 10
      turns; `instructions`: added to the system prompt, such as a language or a tone.

    Raises `InputError` for invalid arguments and `LLMError` if the model fails; text that
    was streamed before stays with the caller.
    """
    query = check_query(query)
    for name, value in (
        ("passages", passages),
        ("context_tokens", context_tokens),
        ("max_tokens", max_tokens),
    ):
        if check_count(name, value) is None:
            raise InputError(f"{name} must be a whole number above 0, not None")
    check_number("min_probability", min_probability)
    model = load_llm(llm) if isinstance(llm, str) else llm
    if context not in get_args(AnswerContext):
        raise InputError(
            f"context cannot be {context!r}",
            fix=nearest(str(context), get_args(AnswerContext)),
        )
    if context == "spans" and model is None:
        raise InputError(
            "context is what a language model reads, and there is none",
            fix="Name one with llm=…, or leave context out.",
        )
    if rewrite and model is None:
        raise InputError("Rewriting needs a language model", fix="Name one with llm=….")

    def run() -> Iterator[_Event]:
        stopwatch = _Stopwatch()
        search_query, tokens, problem = query, 0, None
        if rewrite and model is not None:
            search_query, tokens, problem = rewrite_query(model, query, history)
            stopwatch.lap("rewrite")
        options = dict(search or {})
        if search_query != query and not history:
            # A follow-up question alone would find passages on something else.
            options = {"query_variants": [query], **options}
        response = index.search(search_query, top_k=passages, **options)
        stopwatch.lap("search")
        selected = select_passages(
            response.results, max_tokens=context_tokens, count_tokens=count_tokens
        )
        probabilities = [r.probability for r in response.results if r.probability is not None]
        draft = Answer(
            query,
            _NO_ANSWER,
            AnswerStatus.NOT_FOUND,
            passages=selected,
            model=None if model is None else model.name,
            searched=search_query if search_query != query else None,
            probability=max(probabilities, default=None),
            tokens=tokens,
            reason=problem,
        )
        yield selected
        no_answer_reason = _no_answer_reason(response, draft, min_probability)
        if no_answer_reason is not None:
            yield _NO_ANSWER
            reason = _join_reasons(problem, no_answer_reason)
            yield replace(draft, timings=stopwatch.timings, reason=reason)
            return
        if model is None:
            extracted = extract_answer(draft, reranker)
            stopwatch.lap("extract")
            yield extracted.text
            yield replace(extracted, timings=stopwatch.timings)
        else:
            sent = selected
            if context == "spans":
                found, likelihoods = find_spans(query, selected, reranker)
                draft = replace(draft, passages=tuple(found))
                sent = tuple(
                    replace(passage, text=text_of_spans(passage, likelihood))
                    for passage, likelihood in zip(found, likelihoods, strict=True)
                )
                stopwatch.lap("spans")
            grounded = GroundedPrompt(prompt, max_tokens, tuple(history), instructions)
            yield from _generate(draft, sent, model, grounded, stopwatch)

    def events() -> Generator[_Event, None, None]:
        # A model connects when it is first called, so one that is never used needs no close.
        try:
            yield from run()
        finally:
            if isinstance(llm, str) and model is not None:
                model.close()

    return AnswerStream(events())


def _generate(
    draft: Answer,
    sent: Sequence[Passage],
    llm: LLM,
    prompt: GroundedPrompt,
    stopwatch: _Stopwatch,
) -> Iterator[str | Answer]:
    citation_filter = CitationFilter([p.number for p in draft.passages])
    generated, text, held_back = "", "", True
    with closing(llm.stream(prompt.build(draft.query, sent))) as stream:
        for piece in stream:
            generated += piece
            # Nothing is shown while it may still become the marker for "no answer".
            if held_back and NOT_FOUND.startswith(generated.strip()[: len(NOT_FOUND)]):
                continue
            shown = citation_filter.feed(generated if held_back else piece)
            held_back = False
            text += shown
            yield shown
        completion: Completion | None = stream.completion
    rest = citation_filter.flush()
    text += rest
    yield rest
    stopwatch.lap("generate")
    draft = replace(
        draft,
        tokens=draft.tokens + (0 if completion is None else completion.tokens),
        timings=stopwatch.timings,
        removed=tuple(citation_filter.removed),
    )
    if held_back:
        yield _NO_ANSWER
        empty = (
            "the model found no answer in the passages"
            if generated.strip()
            else "the model returned no text"
        )
        yield replace(draft, reason=_join_reasons(draft.reason, empty))
        return
    stop = Stop.END if completion is None else completion.stop
    problem = None if stop in (Stop.END, Stop.OTHER) else f"the answer ended by {stop}"
    yield replace(
        draft,
        text=text,
        status=AnswerStatus.GENERATED,
        citations=tuple(find_citations(text, draft.passages)),
        reason=_join_reasons(draft.reason, problem),
    )


def _no_answer_reason(
    response: RerankResponse, draft: Answer, min_probability: float | None
) -> str | None:
    """Return why there is nothing to answer from, or None."""
    if not draft.passages:
        return response.reason if response.reason is not None else "nothing was found"
    # Probabilities of a fallback or a skipped second pass are no model's: they must not
    # refuse an answer.
    reranked = response.status in (Status.RERANKED, Status.PARTIALLY_RERANKED)
    best = draft.probability
    if reranked and min_probability is not None and best is not None and best < min_probability:
        return (
            f"the best passage is relevant with probability {best:.3f},"
            f" below {min_probability:g}"
        )
    return None


def _join_reasons(*reasons: str | None) -> str | None:
    return "; ".join(reason for reason in reasons if reason is not None) or None


class _Stopwatch:
    """Milliseconds by stage, and in total."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._laps[stage], self._last = (now - self._last) * 1000, now

    @property
    def timings(self) -> dict[str, float]:
        return {**self._laps, "total": (time.perf_counter() - self._start) * 1000}
