"""A reranker whose work waits its turn among that of all requests.

An embedder whose work waits its turn among that of all requests.
"""

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
from secondpass.rerank.base import BaseReranker, Score, Scored, ScoringJob
from secondpass.rerank.policies.wrapper import RerankerWrapper, merge_scores
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.retrieve.chunking import approximate_tokens
from secondpass.retrieve.store_protocol import CountsTokens, Passage, Remembers, TextEncoder
from secondpass.server.scheduler.queue import (
    ClientDisconnectedError,
    Job,
    Joint,
    Part,
    QueueTimeoutError,
    WorkQueue,
)
from secondpass.types import Candidate

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding


TOKENS_AT_ONCE = 8192
"""How long a part is that no other request can interrupt."""
# A token of English has about so many characters.
_CHARACTERS = 4
_LEAST_TOKENS = 8
# How often, in seconds, what cannot be stopped is asked whether it is still wanted.
_GLANCE = 0.1

T = TypeVar("T")


@dataclass(slots=True)
class Ticket:
    """One request's place in the queue: until when it counts, and whether it still does."""

    deadline: float = math.inf
    _jobs: list[Job] = field(default_factory=list)
    _gone: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def hold(self, job: Job) -> None:
        """Bind a job to this request."""
        with self._lock:
            self._jobs.append(job)
            if self._gone:
                job.cancel()

    @property
    def gone(self) -> bool:
        """Whether nobody waits for the request any more."""
        return self._gone

    def cancel(self) -> None:
        """Give up the request's place: nobody waits for it any more."""
        with self._lock:
            self._gone = True
            for job in self._jobs:
                job.cancel()


_ticket: ContextVar[Ticket | None] = ContextVar("ticket", default=None)


@contextmanager
def with_ticket(ticket: Ticket) -> Iterator[None]:
    """Let what is scored inside, also in threads that are started there, use this ticket."""
    token = _ticket.set(ticket)
    try:
        yield
    finally:
        _ticket.reset(token)


def still_wanted() -> None:
    """Raise GoneError or LateError where nobody waits for this request any more."""
    ticket = _ticket.get()
    if ticket is None:
        return
    if ticket.gone:
        raise ClientDisconnectedError("Nobody waits for it any more")
    if time.monotonic() > ticket.deadline:
        raise QueueTimeoutError("The request was not done in time")


def awaited(work: Future[T]) -> T:
    """Return what other threads do for this request; blocks.

    Raises GoneError and LateError as soon as nobody waits for it any more, and what has not
    begun by then is not done.
    """
    while not work.done():
        wait([work], None if _ticket.get() is None else _GLANCE)
        if not work.done():
            try:
                still_wanted()
            except SecondpassError:
                work.cancel()
                raise
    try:
        return work.result()
    except CancelledError:
        raise ClientDisconnectedError("The server stops") from None


def while_wanted(do: Callable[[], T]) -> T:
    """Do what blocks and cannot be stopped, and return what it gives.

    Raises GoneError as soon as nobody waits for it; what was begun then ends unseen.
    """
    still_wanted()
    found, context = Future[T](), contextvars.copy_context()

    def work() -> None:
        try:
            found.set_result(context.run(do))
        except BaseException as error:  # noqa: BLE001 - for whoever waits
            found.set_exception(error)

    found.set_running_or_notify_cancel()
    threading.Thread(target=work, name="secondpass-beside", daemon=True).start()
    return awaited(found)


class ScheduledReranker(RerankerWrapper):
    """Scores through a `WorkQueue`, in parts of about `tokens_at_once` tokens.

    Parts of several requests are scored together, as far as the model can.

    For rerankers whose scores do not depend on the other candidates. Raises
    `OverloadedError` where too much waits, `QueueTimeoutError` after the deadline of the request's
    `Ticket`.
    """

    def __init__(
        self, reranker: BaseReranker, queue: WorkQueue, *, tokens_at_once: int = TOKENS_AT_ONCE
    ) -> None:
        super().__init__(reranker)
        self.queue = queue
        self._tokens = tokens_at_once

    @property
    def identity(self) -> str | None:
        """That of the wrapped reranker: waiting changes no score."""
        return self.reranker.identity

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Queue the candidates in parts, wait for all, and put them together."""
        spans = list(self._spans([_tokens(query, c, options) for c in candidates]))

        def part(start: int, stop: int, work: float) -> Part:
            asked = ScoringJob(query, candidates[start:stop], options)
            # Objects are equal to themselves alone: one session, one place to keep states.
            joint = Joint(self.reranker, asked, self.reranker.score_batch)
            return Part(work, lambda: self.reranker.score(*asked), joint)

        parts: list[Scored] = submit_and_wait(self.queue, [part(*span) for span in spans])
        found: dict[int, Score] = {}
        for (start, stop, _), scored in zip(spans, parts, strict=True):
            found |= dict(zip(range(start, stop), scored.scores, strict=True))
        return merge_scores(found, len(candidates), parts=parts)

    def _spans(self, tokens: Sequence[int]) -> Iterator[tuple[int, int, float]]:
        start, held = 0, 0
        for position, count in enumerate(tokens):
            if held and held + count > self._tokens:
                yield start, position, float(held)
                start, held = position, 0
            held += count
        yield start, len(tokens), float(held)


def submit_and_wait(queue: WorkQueue, parts: Sequence[Part]) -> list[Any]:
    """Return what the parts of one job gave, waited for until the deadline of the ticket."""
    ticket = _ticket.get()
    deadline = math.inf if ticket is None else ticket.deadline
    job = queue.submit(parts, deadline)
    if ticket is not None:
        ticket.hold(job)
    left = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
    try:
        return job.result.result(left)
    except CancelledError:
        raise ClientDisconnectedError("The request was given up") from None
    except TimeoutError:
        job.cancel()
        raise job.late(queue.pause) from None
    finally:
        record_wait("queue", job.submitted, job.begun)


def _tokens(query: str, candidate: Candidate, reading: ScoringOptions) -> int:
    head, body = reading.texts([candidate])[0]
    return _LEAST_TOKENS + (len(query) + len(head) + len(body)) // _CHARACTERS


_TEXTS_AT_ONCE = 32
_PARTS_AT_ONCE = 8


class ScheduledEncoder:
    """Encodes through a `WorkQueue`, in parts, so that searches do not wait for a whole batch.

    Raises what `ScheduledReranker` raises.
    """

    def __init__(self, encoder: TextEncoder, queue: WorkQueue) -> None:
        self.name, self.digest, self.dimension = encoder.name, encoder.digest, encoder.dimension
        self._encoder, self._queue = encoder, queue

    def encode(self, texts: Sequence[str]) -> Embedding:
        """Return `[len(texts), dimension]` float32."""
        groups = [texts[i : i + _TEXTS_AT_ONCE] for i in range(0, len(texts), _TEXTS_AT_ONCE)]
        found: list[Embedding] = []
        # Some at a time: all of a large file at once would fill the queue for everybody.
        for start in range(0, len(groups), _PARTS_AT_ONCE):
            some = groups[start : start + _PARTS_AT_ONCE]
            found += submit_and_wait(self._queue, [self._part(group) for group in some])
        return np.concatenate(found) if found else self._encoder.encode([])

    def _part(self, texts: Sequence[str]) -> Part:
        work = float(sum(map(approximate_tokens, texts)) + len(texts))
        return Part(work, lambda: self._encoder.encode(texts))

    def remember(self, passages: Sequence[Passage]) -> None:
        """Hand on passages that are about to be stored."""
        if isinstance(self._encoder, Remembers):
            self._encoder.remember(passages)

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens, without the special ones."""
        if isinstance(self._encoder, CountsTokens):
            return self._encoder.count_tokens(text)
        return approximate_tokens(text)
