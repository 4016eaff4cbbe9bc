"""What happens when a reranker fails: the next one of a chain, or the first stage's order.

A circuit breaker: what failed again and again is left alone for a while.

Work that is waited for only so long.
"""

from __future__ import annotations

import contextvars
import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, Unpack, get_args

from secondpass.errors import (
    InputError,
    ModelError,
    ProviderError,
    ProviderTimeoutError,
    nearest,
)
from secondpass.options import OnFailure, RerankOptions
from secondpass.rerank.base import BaseReranker, Score, Scored
from secondpass.rerank.inputs import DocumentLike, check_count, check_number
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.worker_threads import in_waiting_thread
from secondpass.types import Candidate, RerankResponse, ScoreKind, Status

if TYPE_CHECKING:
    from secondpass.rerank.precomputed.store import StateStore


class CircuitBreaker:
    """Counts the failures of one stage; safe to use from several threads at once.

    - closed: calls pass. After `failures` in a row, at least 1, it opens.
    - open: no call passes for `pause` seconds, 0 or more.
    - half-open: one call passes to try. If it succeeds the breaker closes, if it fails the
      pause begins again; until then no other passes.

    `clock` is in seconds. After M. Nygard, Release It! (2007).
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        pause: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_count("failures", failures)
        seconds = check_number("pause", pause)
        if seconds is None or not 0 <= seconds < math.inf:
            raise InputError(f"pause must be a number of seconds, 0 or more, not {pause!r}")
        self.failures, self.pause = failures, seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failed = 0
        self._opened: float | None = None
        self._trying = False
        self._ticket = 0

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """What the next call would meet."""
        with self._lock:
            if self._opened is None:
                return "closed"
            return "half-open" if self._clock() - self._opened >= self.pause else "open"

    def admit(self) -> int | None:
        """Return a ticket if a call may pass now, else None.

        Each ticket is given back once, to `succeeded`, `failed` or `withdrawn`. One that
        was given before the breaker opened says nothing about what came after.
        """
        with self._lock:
            if self._opened is None:
                return self._ticket
            if self._trying or self._clock() - self._opened < self.pause:
                return None
            self._trying = True
            return self._ticket

    def succeeded(self, ticket: int) -> None:
        """Note that the call succeeded."""
        with self._lock:
            if ticket == self._ticket:
                self._failed, self._opened, self._trying = 0, None, False

    def failed(self, ticket: int) -> None:
        """Note that the call failed."""
        with self._lock:
            if ticket != self._ticket:
                return
            self._failed += 1
            if self._trying or self._failed >= self.failures:
                self._opened, self._trying = self._clock(), False
                self._ticket += 1

    def withdrawn(self, ticket: int) -> None:
        """Note that the call says nothing about the stage."""
        with self._lock:
            if ticket == self._ticket:
                self._trying = False


T = TypeVar("T")


class DeadlineRunner(Generic[T]):
    """Waits at most `seconds` for one call, in a thread that is left behind after that.

    A thread cannot be stopped, so what was left behind runs to its own end; while there
    are `most` of them, further calls fail at once instead of piling up.
    """

    def __init__(self, name: str, seconds: float, *, most: int = 8) -> None:
        self.name, self.seconds, self.most = name, seconds, most
        self._behind = 0
        self._lock = threading.Lock()

    def call(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, or raise what it raises or `ProviderTimeoutError`."""
        with self._lock:
            if self._behind >= self.most:
                raise ProviderError(
                    f"{self.name} is still busy",
                    why=f"{self._behind} calls that took too long have not ended",
                    retryable=True,
                )
        future: Future[T] = Future()
        context = contextvars.copy_context()

        def run() -> None:
            try:
                result = context.run(work)
            except BaseException as error:  # noqa: BLE001 - handed to who waits
                future.set_exception(error)
            else:
                future.set_result(result)

        # Not a pool: its threads would be waited for when the program ends.
        threading.Thread(target=run, name="secondpass-stage", daemon=True).start()
        try:
            return future.result(self.seconds)
        except TimeoutError:
            if future.done():
                return future.result()
            self._leave(future)
            raise ProviderTimeoutError(
                f"{self.name} took too long", why=f"it was given {self.seconds:g} s"
            ) from None

    def _leave(self, future: Future[T]) -> None:
        with self._lock:
            self._behind += 1
        future.add_done_callback(self._ended)

    def _ended(self, future: Future[T]) -> None:
        # An error that nobody waits for any more has been reported as the time-out.
        future.exception()
        with self._lock:
            self._behind -= 1


@dataclass(frozen=True, slots=True)
class Stage:
    """One reranker of a chain, with the breaker that watches it and the time it has."""

    reranker: BaseReranker
    breaker: CircuitBreaker
    patience: DeadlineRunner[Scored] | None

    def score(
        self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
    ) -> Scored:
        """Return sound scores in time, or raise; only the caller's mistakes are not counted."""
        ticket = self.breaker.admit()
        if ticket is None:
            raise ProviderError(
                f"{self.reranker.model} is left alone",
                why=f"it failed {self.breaker.failures} times in a row",
                retryable=True,
            )
        try:
            scored = self._scored(query, candidates, reading)
        except InputError:
            self.breaker.withdrawn(ticket)
            raise
        except Exception:
            self.breaker.failed(ticket)
            raise
        except BaseException:
            self.breaker.withdrawn(ticket)
            raise
        self.breaker.succeeded(ticket)
        return scored

    def _scored(
        self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
    ) -> Scored:
        if self.patience is None:
            scored = self.reranker.score(query, candidates, reading)
        else:
            scored = self.patience.call(lambda: self.reranker.score(query, candidates, reading))
        values = [s.value for s in scored.scores]
        if len(values) != len(candidates) or not all(map(math.isfinite, values)):
            raise ModelError(
                f"{self.reranker.model} gave no usable answer",
                why=f"it has {sum(map(math.isfinite, values))} finite scores for "
                f"{len(candidates)} documents",
            )
        return scored


class Fallback(BaseReranker):
    """Asks a reranker, then those of a chain in order, and says who answered.

    - `on_failure`: what happens if all of them fail: "fallback" gives the first stage's
      order with status "fallback", "raise" raises the last error.
    - `timeout`: seconds that each of them has, above 0, or one number (or None) for each;
      None for as long as it takes. Work that took too long goes on in the background.
    - `failures`, `pause`: after so many failures in a row a reranker is left alone for so
      many seconds (see `CircuitBreaker`).

    An answer of the chain has status "reranked", the `model` that gave it and the `reason`
    why it was asked. `min_score` is meant for the first reranker's scores, so it applies
    to no other's. Mistakes in arguments (`InputError`) are raised, never covered up.
    """

    def __init__(
        self,
        reranker: BaseReranker,
        *,
        chain: Iterable[BaseReranker] = (),
        on_failure: OnFailure = "fallback",
        timeout: float | Sequence[float | None] | None = None,
        failures: int = 5,
        pause: float = 30.0,
    ) -> None:
        check_on_failure(on_failure)
        rerankers = [reranker, *chain]
        for one in rerankers:
            if not isinstance(one, BaseReranker):
                raise InputError(f"A chain is of rerankers, not {type(one).__name__}")
        self.on_failure = on_failure
        self.stages = tuple(
            Stage(one, CircuitBreaker(failures=failures, pause=pause), _patience(one, seconds))
            for one, seconds in zip(rerankers, _times(timeout, len(rerankers)), strict=True)
        )

    @property
    def model(self) -> str:
        """The name of the first reranker's model."""
        return self.stages[0].reranker.model

    @property
    def base(self) -> BaseReranker:
        """The backend of the first reranker."""
        return self.stages[0].reranker.base

    def with_states(self, store: StateStore) -> Fallback:
        """Return this policy with the store handed to the first, whose records they are.

        Breakers are shared with this one.
        """
        twin = Fallback.__new__(Fallback)
        twin.on_failure = self.on_failure
        first, *rest = self.stages
        twin.stages = (replace(first, reranker=first.reranker.with_states(store)), *rest)
        return twin

    async def arerank(
        self, query: str, documents: Iterable[DocumentLike], **options: Unpack[RerankOptions]
    ) -> RerankResponse:
        """Do as `rerank`, in one of many threads that only wait."""
        return await in_waiting_thread(lambda: self.rerank(query, documents, **options))

    def score(
        self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
    ) -> Scored:
        """Return the scores of the first that answers, else the first stage's order."""
        problems: list[Exception] = []
        for stage in self.stages:
            try:
                scored = stage.score(query, candidates, reading)
            except InputError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the search answers
                problems.append(error)
                continue
            if not problems:
                return scored
            return _stood_in(scored, stage.reranker.model, problems)
        if self.on_failure == "raise":
            raise problems[-1]
        return first_stage_order(candidates, _reason(problems))


def with_fallback(
    reranker: BaseReranker,
    chain: Sequence[BaseReranker],
    *,
    on_failure: OnFailure,
    timeout: float | None,
) -> BaseReranker:
    """Return the reranker under a `Fallback`, or as it is where nothing asks for one."""
    from secondpass.rerank.hosted.model import HostedReranker

    # A provider's own deadline keeps what was answered by then; another would lose it.
    rerankers = (reranker, *chain)
    times = [None if isinstance(one.base, HostedReranker) else timeout for one in rerankers]
    if not chain and on_failure == "raise" and times == [None]:
        return reranker
    return Fallback(reranker, chain=chain, on_failure=on_failure, timeout=times)


def check_chain(chain: object) -> None:
    """Raise `InputError` for one name or reranker where a list of them is meant."""
    if isinstance(chain, str | Path | BaseReranker):
        raise InputError("chain must be a list", why=f"{chain!r} was given")


def check_on_failure(on_failure: str) -> None:
    """Raise `InputError` unless it is "raise" or "fallback"."""
    if on_failure not in get_args(OnFailure):
        raise InputError(
            f"on_failure cannot be {on_failure!r}",
            fix=nearest(str(on_failure), get_args(OnFailure)),
        )


def first_stage_order(candidates: Sequence[Candidate], reason: str) -> Scored:
    """Return scores that keep the first stage's order: minus the rank, of the best -1."""
    ranks = [i + 1 if c.rank is None else c.rank for i, c in enumerate(candidates)]
    return Scored(
        [Score(-float(rank), windows=0, scored=False) for rank in ranks],
        ScoreKind.RANK,
        status=Status.FALLBACK,
        reason=reason,
        threshold=False,
    )


def _stood_in(scored: Scored, model: str, problems: Sequence[Exception]) -> Scored:
    reasons = (
        [_reason(problems)] if scored.reason is None else [_reason(problems), scored.reason]
    )
    return replace(
        scored,
        model=model if scored.model is None else scored.model,
        reason="; ".join(reasons),
        threshold=False,
    )


def _reason(problems: Sequence[Exception]) -> str:
    return "; ".join(
        str(p) if isinstance(p, ModelError) else f"{type(p).__name__}: {p}" for p in problems
    )


def _patience(reranker: BaseReranker, seconds: float | None) -> DeadlineRunner[Scored] | None:
    return None if seconds is None else DeadlineRunner(reranker.model, seconds)


def _times(timeout: float | Sequence[float | None] | None, count: int) -> list[float | None]:
    if timeout is None or isinstance(timeout, int | float):
        given: list[float | None] = [timeout] * count
    elif isinstance(timeout, str):
        raise InputError(f"timeout must be a number of seconds, not {timeout!r}")
    else:
        given = list(timeout)
    if len(given) != count:
        raise InputError(f"timeout has {len(given)} numbers for {count} rerankers")
    checked = [check_number("timeout", seconds) for seconds in given]
    for seconds in checked:
        if seconds is not None and not 0 < seconds < math.inf:
            raise InputError(f"timeout must be a number of seconds above 0, not {seconds!r}")
    return checked
