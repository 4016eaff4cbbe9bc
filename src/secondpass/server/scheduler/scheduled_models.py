"""Rerankers and embedders that run through the work queue, for the request of a ticket."""

from __future__ import annotations

import contextvars
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, wait
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from secondpass.errors import SecondpassError
from secondpass.observe import record_wait
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.policies.wrapper import RerankerWrapper, join_reasons, merge_scores
from secondpass.rerank.score import Score, Scored, ScoringJob
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.spans import Sentences
from secondpass.rerank.windowing import MIN_DOCUMENT_TOKENS
from secondpass.retrieve.chunking import approximate_tokens
from secondpass.retrieve.store_protocol import (
    CountsTokens,
    Passage,
    ReadsWindows,
    Remembers,
    TextEncoder,
)
from secondpass.server.scheduler.batch_time import BatchTime
from secondpass.server.scheduler.queue import (
    BatchItem,
    ClientDisconnectedError,
    Job,
    Part,
    QueueTimeoutError,
    WorkQueue,
)
from secondpass.types import Candidate

if TYPE_CHECKING:
    from secondpass.inference.tokenizer import TokenSequence
    from secondpass.retrieve.store_protocol import Embedding

T = TypeVar("T")
TOKENS_AT_ONCE = 1024
"""The least length of a part, which no other request can interrupt.

On a CPU, batches of 8,000 tokens that have to be encoded are no faster.
"""
PART_SECONDS = 0.05
"""How long a part may take; it has more than `TOKENS_AT_ONCE` where these take less.

So it is where most states of the documents are kept: what is read of them takes so little that
the constant costs of a part would be more.
"""
TOKENS_WITH_EXITS = 8 * TOKENS_AT_ONCE
"""The most tokens of a part.

Also those where models exit early, which they do among the candidates of a part.
"""
# A token has about this many bytes in UTF-8.
_BYTES_PER_TOKEN = 4
_MIN_TOKENS = 8
# How long a window is where the model does not say.
_WINDOW_TOKENS = 512
_PARTS_PER_JOB = 16
# How often, in seconds, a wait for another thread checks whether the client is still there.
_POLL_SECONDS = 0.1


@dataclass(slots=True)
class Ticket:
    """The deadline of one request, its jobs in the queue, and whether it was cancelled.

    `tenant`: whose share of the queue its work takes.
    """

    deadline: float = math.inf
    tenant: str = ""
    _jobs: list[Job] = field(default_factory=list)
    _cancelled: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, job: Job) -> None:
        """Bind a job to this request."""
        with self._lock:
            self._jobs.append(job)
            if self._cancelled:
                job.cancel()

    @property
    def cancelled(self) -> bool:
        """Whether the request was cancelled."""
        return self._cancelled

    def cancel(self) -> None:
        """Cancel the jobs of this request, as its client disconnected."""
        with self._lock:
            self._cancelled = True
            for job in self._jobs:
                job.cancel()


_ticket: ContextVar[Ticket | None] = ContextVar("ticket", default=None)


@contextmanager
def use_ticket(ticket: Ticket) -> Iterator[None]:
    """Queue what is scored inside, also in threads that are started there, for this ticket."""
    token = _ticket.set(ticket)
    try:
        yield
    finally:
        _ticket.reset(token)


def current_ticket() -> Ticket:
    """Return the ticket of the request that this thread works for; one without end if none."""
    ticket = _ticket.get()
    return Ticket() if ticket is None else ticket


def check_ticket() -> None:
    """Raise ClientDisconnectedError or QueueTimeoutError where the request is over."""
    ticket = _ticket.get()
    if ticket is None:
        return
    if ticket.cancelled:
        raise ClientDisconnectedError("The client disconnected")
    if time.monotonic() > ticket.deadline:
        raise QueueTimeoutError("The request timed out")


def wait_for(work: Future[T]) -> T:
    """Return the result of another thread's work for this request; blocks.

    Raises ClientDisconnectedError or QueueTimeoutError as soon as the request is over; work
    that has not started by then is cancelled.
    """
    while not work.done():
        wait([work], None if _ticket.get() is None else _POLL_SECONDS)
        if not work.done():
            try:
                check_ticket()
            except SecondpassError:
                work.cancel()
                raise
    try:
        return work.result()
    except CancelledError:
        raise ClientDisconnectedError("The server stops") from None


def run_abandonable(function: Callable[[], T]) -> T:
    """Run a blocking function that cannot be stopped, in a thread of its own.

    Raises ClientDisconnectedError or QueueTimeoutError as soon as the request is over; the
    function then runs on, and its result is dropped.
    """
    check_ticket()
    result, context = Future[T](), contextvars.copy_context()

    def run() -> None:
        try:
            result.set_result(context.run(function))
        except BaseException as error:  # noqa: BLE001 - raised again by `wait_for`
            result.set_exception(error)

    result.set_running_or_notify_cancel()
    threading.Thread(target=run, name="secondpass-beside", daemon=True).start()
    return wait_for(result)


class ScheduledReranker(RerankerWrapper):
    """Scores through a `WorkQueue`, in parts of about `tokens_at_once` tokens.

    Parts have up to `TOKENS_WITH_EXITS` where these take less than `PART_SECONDS`. Parts of
    several requests are scored in one batch, where the model can. For rerankers whose scores do
    not depend on the other candidates. Raises `OverloadedError` where too much work waits, and
    `QueueTimeoutError` after the deadline of the request's `Ticket`.
    """

    def __init__(
        self, reranker: BaseReranker, queue: WorkQueue, *, tokens_at_once: int = TOKENS_AT_ONCE
    ) -> None:
        super().__init__(reranker)
        self.queue = queue
        self._tokens = tokens_at_once
        self._time = BatchTime(tokens_at_once)
        window = reranker.base.max_length
        self._window = _WINDOW_TOKENS if window is None else window

    @property
    def identity(self) -> str | None:
        """The identity of the wrapped reranker: the queue changes no score."""
        return self.reranker.identity

    @property
    def default_rescorer(self) -> str | None:
        """The model that reads the first results of the wrapped reranker again."""
        return self.reranker.default_rescorer

    def map_base(self, function: Callable[[BaseReranker], BaseReranker]) -> BaseReranker:
        """Return a copy with the backends inside replaced; one that runs elsewhere unqueued."""
        twin = super().map_base(function)
        if isinstance(twin, ScheduledReranker):
            if not twin.reranker.base.runs_here:
                return twin.reranker
            # One that has states of documents is faster.
            twin._time = BatchTime(self._tokens)
        return twin

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Queue the candidates in parts, wait for all, and merge the scores."""
        window = self._window if options.max_length is None else options.max_length
        tokens = [
            estimate_tokens(query, head, body, window=window, options=options)
            for head, body in options.texts(candidates)
        ]
        at_once = self._tokens_at_once()
        if options.early_exit_at is not None:
            at_once = max(at_once, TOKENS_WITH_EXITS)
        spans = list(split_work(tokens, at_once))

        def part(start: int, stop: int, work: float) -> Part:
            job = ScoringJob(query, candidates[start:stop], options)
            # Rerankers compare by identity: one key for one session and its cache of states.
            item = BatchItem(self.reranker, job, self.reranker.score_batch)
            return Part(work, lambda: self._score(job, work), item)

        parts: list[Scored] = submit_and_wait(self.queue, [part(*span) for span in spans])
        scores: dict[int, Score] = {}
        for (start, stop, _), scored in zip(spans, parts, strict=True):
            scores |= dict(zip(range(start, stop), scored.scores, strict=True))
        return merge_scores(scores, len(candidates), parts=parts)

    def score_sentences(
        self,
        query: str,
        candidates: Sequence[Candidate],
        sentences: Sequence[Sentences],
        options: ScoringOptions,
    ) -> Scored:
        """Queue the candidates in parts, each with all of its sentences."""
        read = [pair for pair in zip(candidates, sentences, strict=True) if pair[1]]
        tokens = [
            _MIN_TOKENS + sum(end - start for start, end in spans) // _BYTES_PER_TOKEN
            for _, spans in read
        ]

        def part(start: int, stop: int, work: float) -> Part:
            some, their = zip(*read[start:stop], strict=True)
            return Part(
                work, lambda: self.reranker.score_sentences(query, some, their, options)
            )

        split = split_work(tokens, self._tokens_at_once())
        parts: list[Scored] = submit_and_wait(self.queue, [part(*one) for one in split])
        return Scored(
            [score for scored in parts for score in scored.scores],
            parts[0].kind,
            pairs=sum(scored.pairs for scored in parts),
            tokens=sum(scored.tokens for scored in parts),
            reason=join_reasons(scored.reason for scored in parts),
        )

    def _tokens_at_once(self) -> int:
        if not self._time.measured:
            return self._tokens
        within = min(TOKENS_WITH_EXITS, self._time.work_within(PART_SECONDS))
        return max(self._tokens, int(within))

    def _score(self, job: ScoringJob, work: float) -> Scored:
        began = time.perf_counter()
        scored = self.reranker.score(*job)
        self._time.measure(work, time.perf_counter() - began)
        return scored


def split_work(
    tokens: Sequence[int], at_once: int = TOKENS_AT_ONCE
) -> Iterator[tuple[int, int, float]]:
    """Yield the start, the end and the tokens of each part; a text is never split."""
    start, total = 0, 0
    for position, count in enumerate(tokens):
        if total and total + count > at_once:
            yield start, position, float(total)
            start, total = position, 0
        total += count
    if total:
        yield start, len(tokens), float(total)


def submit_and_wait(
    queue: WorkQueue, parts: Sequence[Part], tenant: str | None = None
) -> list[Any]:
    """Return the results of the parts of one job, within the deadline of the ticket.

    `tenant`: whose work it is; None for that of the ticket.
    """
    ticket = _ticket.get()
    deadline = math.inf if ticket is None else ticket.deadline
    if tenant is None:
        tenant = "" if ticket is None else ticket.tenant
    job = queue.submit(parts, deadline, tenant)
    if ticket is not None:
        ticket.add(job)
    timeout = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
    try:
        return job.result.result(timeout)
    except CancelledError:
        raise ClientDisconnectedError("The client disconnected") from None
    except TimeoutError:
        job.cancel()
        raise job.timeout_error(queue.expected_wait(deadline, tenant)) from None
    finally:
        record_wait("queue", job.submitted, job.started)


def estimate_tokens(
    query: str, head: str, body: str, *, window: int, options: ScoringOptions
) -> int:
    """Estimate how many tokens a model reads of a document, in windows of `window` tokens.

    The query and the head are read with each window. What is sent may be far more than what
    the options let a model read.
    """
    query_tokens, head_tokens = _count(query, window), _count(head, window // 2)
    size = max(MIN_DOCUMENT_TOKENS, window - query_tokens - head_tokens)
    read = _count(body, min(options.token_share, options.tokens_in_reach))
    spans = options.passages.windows(read, size)
    body_tokens = sum(end - start for start, end in spans)
    return body_tokens + len(spans) * (_MIN_TOKENS + query_tokens + head_tokens)


def _count(text: str, most: int) -> int:
    """Estimate how many tokens a text has, up to `most`."""
    text = text[: (most + 1) * _BYTES_PER_TOKEN]
    return min(most, len(text.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN)


class ScheduledEncoder:
    """Encodes through a `WorkQueue`, in parts, so that searches do not wait for a whole batch.

    `tenant`: whose work it is; None for that of the request. Raises what `ScheduledReranker`
    raises.
    """

    def __init__(
        self, encoder: TextEncoder, queue: WorkQueue, *, tenant: str | None = None
    ) -> None:
        self.name, self.digest, self.dimension = encoder.name, encoder.digest, encoder.dimension
        self._encoder, self._queue, self._tenant = encoder, queue, tenant
        self._max_tokens: int = getattr(encoder, "max_length", _WINDOW_TOKENS)

    def encode(self, texts: Sequence[str]) -> Embedding:
        """Return `[len(texts), dimension]` float32."""
        tokens = [_MIN_TOKENS + _count(text, self._max_tokens) for text in texts]
        parts = [self._part(texts[i:j], work) for i, j, work in split_work(tokens)]
        embeddings: list[Embedding] = []
        # A few parts a job: all of a large file at once would fill the queue for everybody.
        for start in range(0, len(parts), _PARTS_PER_JOB):
            job = parts[start : start + _PARTS_PER_JOB]
            embeddings += submit_and_wait(self._queue, job, self._tenant)
        return np.concatenate(embeddings) if embeddings else self._encoder.encode([])

    def _part(self, texts: Sequence[str], work: float) -> Part:
        return Part(work, lambda: self._encoder.encode(texts))

    def remember(self, passages: Sequence[Passage]) -> None:
        """Pass on passages that are about to be stored; long ones are read in parts too."""
        if not isinstance(self._encoder, ReadsWindows):
            if isinstance(self._encoder, Remembers):
                self._encoder.remember(passages)
            return
        encoder = self._encoder
        sequences = encoder.unread_windows(passages)
        parts = [
            self._windows_part(encoder, sequences[i:j], work)
            for i, j, work in split_work([len(ids) for ids, _ in sequences])
        ]
        for start in range(0, len(parts), _PARTS_PER_JOB):
            submit_and_wait(self._queue, parts[start : start + _PARTS_PER_JOB], self._tenant)

    def _windows_part(
        self, encoder: ReadsWindows, sequences: Sequence[TokenSequence], work: float
    ) -> Part:
        return Part(work, lambda: encoder.read_windows(sequences))

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens, without the special ones."""
        if isinstance(self._encoder, CountsTokens):
            return self._encoder.count_tokens(text)
        return approximate_tokens(text)
