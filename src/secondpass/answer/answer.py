"""From a question to an answer: rewrite, search, choose passages, write or extract."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypedDict, Unpack

from secondpass.answer.citations import CitationFilter, citations
from secondpass.answer.extractive import extract, highlighted
from secondpass.answer.prompt import GroundedPrompt, assemble
from secondpass.answer.query_rewriting import ANSWER, NOT_FOUND, rewritten
from secondpass.answer.types import Answer, AnswerStatus, Passage, Turn
from secondpass.errors import InputError
from secondpass.llm import LLM, Completion, Stop, load_llm
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.inputs import check_count, check_number, check_query
from secondpass.rerank.llm.prompts import PromptTemplate, count_tokens
from secondpass.types import RerankResponse, Status

MIN_PROBABILITY = 0.03
"""Below this the bundled reranker has found nothing; see docs/how-to/answer-questions.md."""

_NO_ANSWER = "The documents do not hold an answer to this."
_EXTRACTED = 3


class Searcher(Protocol):
    """What is asked for passages, such as an `Index`."""

    @property
    def search(self) -> Callable[..., RerankResponse]:
        """Find passages for a query: takes `top_k` and what `Index.search` takes."""
        ...


class AnswerOptions(TypedDict, total=False):
    """The keyword arguments of `stream_answer`."""

    llm: LLM | str | None
    rewrite: bool
    passages: int
    context_tokens: int
    max_tokens: int
    min_probability: float | None
    prompt: PromptTemplate
    reranker: BaseReranker | None
    search: Mapping[str, Any] | None
    history: Sequence[Turn]
    instructions: str


_Piece = str | tuple[Passage, ...] | Answer


class AnswerStream:
    """An answer that arrives in pieces: iterate over it once.

    `passages` are those that it can cite, from the first piece on. `answer` is the whole,
    as soon as the last piece has been taken; None before.
    """

    def __init__(self, pieces: Iterator[_Piece]) -> None:
        self._pieces = pieces
        self.passages: tuple[Passage, ...] = ()
        self.answer: Answer | None = None

    def __iter__(self) -> Iterator[str]:
        for piece in self._pieces:
            if isinstance(piece, Answer):
                self.answer = piece
            elif isinstance(piece, tuple):
                self.passages = piece
            elif piece:
                yield piece


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
    min_probability: float | None = MIN_PROBABILITY,
    prompt: PromptTemplate = ANSWER,
    reranker: BaseReranker | None = None,
    search: Mapping[str, Any] | None = None,
    history: Sequence[Turn] = (),
    instructions: str = "",
) -> AnswerStream:
    """Answer a question from what an index finds, with citations that are checked.

    - `llm`: a language model or its name; None answers with sentences of the passages,
      chosen by `reranker` (the bundled one by default), without any network.
    - `rewrite`: whether the model first turns the question into a query to search for.
    - `passages`: how many results are read, at least 1, `context_tokens` of them in all;
      `max_tokens`: of the answer.
    - `min_probability`: if no passage found is more likely relevant than this, the answer is
      that there is none, and no model is asked to write one. None does not look.
    - `search`: further arguments for `index.search`.
    - `history`: what was said before the question, of which a model reads the last 10 turns;
      `instructions`: what it is told besides the prompt, such as a language or a tone.

    Raises `InputError` for arguments that cannot be used and `LLMError` if the model fails;
    what had been streamed by then stays with the caller.
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
    if rewrite and model is None:
        raise InputError("Rewriting needs a language model", fix="Name one with llm=….")

    def pieces() -> Iterator[_Piece]:
        clock = _Clock()
        asked, tokens, trouble = query, 0, None
        if rewrite and model is not None:
            asked, tokens, trouble = rewritten(model, query, history)
            clock.lap("rewrite")
        found = index.search(asked, top_k=passages, **dict(search or {}))
        clock.lap("search")
        chosen = assemble(found.results, tokens=context_tokens, count=count_tokens)
        chances = [r.probability for r in found.results if r.probability is not None]
        draft = Answer(
            query,
            _NO_ANSWER,
            AnswerStatus.NOT_FOUND,
            passages=chosen,
            model=None if model is None else model.name,
            searched=asked if asked != query else None,
            probability=max(chances, default=None),
            tokens=tokens,
            reason=trouble,
        )
        yield chosen
        why = _nothing(found, chosen, draft.probability, min_probability)
        if why is not None:
            yield _NO_ANSWER
            yield replace(draft, timings=clock.times, reason=_both(trouble, why))
            return
        if model is None:
            yield from _extracted(draft, reranker, clock)
        else:
            asking = GroundedPrompt(model, prompt, max_tokens, tuple(history), instructions)
            yield from _generated(draft, asking, clock)

    return AnswerStream(pieces())


def _extracted(
    draft: Answer, reranker: BaseReranker | None, clock: _Clock
) -> Iterator[str | Answer]:
    if reranker is None:
        from secondpass.reranker import Reranker

        reranker = Reranker()
    marked, scores = highlighted(draft.query, draft.passages, reranker)
    text = extract(marked, scores, most=_EXTRACTED)
    clock.lap("extract")
    yield text
    yield replace(
        draft,
        text=text,
        status=AnswerStatus.EXTRACTIVE,
        citations=tuple(citations(text, marked)),
        passages=tuple(marked),
        model=reranker.model,
        timings=clock.times,
    )


def _generated(draft: Answer, asking: GroundedPrompt, clock: _Clock) -> Iterator[str | Answer]:
    stream = asking.llm.stream(asking.prompt(draft.query, draft.passages))
    numbers = CitationFilter([p.number for p in draft.passages])
    said, kept, first = "", "", True
    for piece in stream:
        said += piece
        if first and NOT_FOUND.startswith(said.strip()[: len(NOT_FOUND)]):
            continue
        kept_now = numbers.feed(said if first else piece)
        first = False
        kept += kept_now
        yield kept_now
    rest = numbers.end()
    kept += rest
    yield rest
    whole: Completion | None = stream.completion
    clock.lap("generate")
    tokens = draft.tokens + (0 if whole is None else whole.tokens)
    draft = replace(draft, tokens=tokens, timings=clock.times, removed=tuple(numbers.removed))
    if first:
        yield _NO_ANSWER
        empty = (
            "the model found no answer in them" if said.strip() else "the model said nothing"
        )
        yield replace(draft, reason=_both(draft.reason, empty))
        return
    stop = Stop.END if whole is None else whole.stop
    trouble = None if stop in (Stop.END, Stop.OTHER) else f"the answer ended by {stop}"
    yield replace(
        draft,
        text=kept,
        status=AnswerStatus.GENERATED,
        citations=tuple(citations(kept, draft.passages)),
        reason=_both(draft.reason, trouble),
    )


def _nothing(
    found: RerankResponse,
    chosen: tuple[Passage, ...],
    probability: float | None,
    least: float | None,
) -> str | None:
    """Return why there is nothing to answer from, or None."""
    if not chosen:
        return found.reason if found.reason is not None else "nothing was found"
    # A fallback's or a skipped pass's numbers are no model's: they must refuse nothing.
    judged = found.status in (Status.RERANKED, Status.PARTIALLY_RERANKED)
    if judged and least is not None and probability is not None and probability < least:
        return (
            f"the best passage is relevant with probability {probability:.3f}, below {least:g}"
        )
    return None


def _both(one: str | None, other: str | None) -> str | None:
    return "; ".join(part for part in (one, other) if part is not None) or None


class _Clock:
    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._laps[name], self._last = (now - self._last) * 1000, now

    @property
    def times(self) -> dict[str, float]:
        return {**self._laps, "total": (time.perf_counter() - self._start) * 1000}
