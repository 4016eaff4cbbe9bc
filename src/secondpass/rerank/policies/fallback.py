"""Fallbacks for a reranker that fails: the next one of a chain, or the first stage's order."""

from __future__ import annotations

import contextvars
import copy
import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Literal, TypeVar, Unpack, get_args

from secondpass.errors import (
    InputError,
    ModelError,
    ProviderError,
    ProviderTimeoutError,
    nearest,
)
from secondpass.options import OnFailure, RerankOptions
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.inputs import DocumentLike, check_count, check_number
from secondpass.rerank.score import Score, Scored, SpanSource
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.spans import Sentences
from secondpass.rerank.worker_threads import run_in_thread
from secondpass.types import Candidate, RerankResponse, ScoreKind, Status

T = TypeVar("T")


class CircuitBreaker:
    """Stops calls to a reranker that fails again and again; thread-safe.

    - closed: calls pass. After `failures` in a row, at least 1, it opens.
    - open: no call passes for `pause` seconds, 0 or more.
    - half-open: one call passes as a trial. If it succeeds the breaker closes, if it fails the
      pause begins again; until then no other call passes.

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
        self._failure_count = 0
        self._opened: float | None = None
        self._in_trial = False
        self._ticket = 0

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """The state that the next call meets."""
        with self._lock:
            if self._opened is None:
                return "closed"
            return "half-open" if self._clock() - self._opened >= self.pause else "open"

    def admit(self) -> int | None:
        """Return a ticket if a call may pass now, else None.

        Each ticket is passed once to `record_success`, `record_failure` or `release`. Tickets
        from before the breaker opened are ignored.
        """
        with self._lock:
            if self._opened is None:
                return self._ticket
            if self._in_trial or self._clock() - self._opened < self.pause:
                return None
            self._in_trial = True
            return self._ticket

    def record_success(self, ticket: int) -> None:
        """Record that the call succeeded."""
        with self._lock:
            if ticket == self._ticket:
                self._failure_count, self._opened, self._in_trial = 0, None, False

    def record_failure(self, ticket: int) -> None:
        """Record that the call failed."""
        with self._lock:
            if ticket != self._ticket:
                return
            self._failure_count += 1
            if self._in_trial or self._failure_count >= self.failures:
                self._opened, self._in_trial = self._clock(), False
                self._ticket += 1

    def release(self, ticket: int) -> None:
        """Give a ticket back whose call says nothing about the reranker."""
        with self._lock:
            if ticket == self._ticket:
                self._in_trial = False


class DeadlineRunner(Generic[T]):
    """Runs calls in threads of their own and waits at most `seconds` for each.

    A thread cannot be stopped, so a call that took too long runs to its own end; while there
    are `max_abandoned` of those, further calls fail at once instead of piling up.
    """

    def __init__(self, name: str, seconds: float, *, max_abandoned: int = 8) -> None:
        self.name, self.seconds, self.max_abandoned = name, seconds, max_abandoned
        self._abandoned = 0
        self._lock = threading.Lock()

    def call(self, work: Callable[[], T]) -> T:
        """Return the result of `work`; raises its error, or `ProviderTimeoutError`."""
        with self._lock:
            if self._abandoned >= self.max_abandoned:
                raise ProviderError(
                    f"{self.name} is still busy",
                    why=f"{self._abandoned} calls that took too long are still running",
                    retryable=True,
                )
        future: Future[T] = Future()
        context = contextvars.copy_context()

        def run() -> None:
            try:
                result = context.run(work)
            except BaseException as error:  # noqa: BLE001 - raised by the waiting caller
                future.set_exception(error)
            else:
                future.set_result(result)

        # Not a pool: the interpreter would wait for its threads at exit.
        threading.Thread(target=run, name="secondpass-stage", daemon=True).start()
        try:
            return future.result(self.seconds)
        except TimeoutError:
            if future.done():
                return future.result()
            self._abandon(future)
            raise ProviderTimeoutError(
                f"{self.name} took too long", why=f"the timeout is {self.seconds:g} s"
            ) from None

    def _abandon(self, future: Future[T]) -> None:
        with self._lock:
            self._abandoned += 1
        future.add_done_callback(self._end)

    def _end(self, future: Future[T]) -> None:
        # Its caller has raised the timeout; retrieve the error, so that it is not logged.
        future.exception()
        with self._lock:
            self._abandoned -= 1


@dataclass(frozen=True, slots=True)
class Stage:
    """One reranker of a chain with its circuit breaker and its timeout, None for no limit."""

    reranker: BaseReranker
    breaker: CircuitBreaker
    runner: DeadlineRunner[Scored] | None

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Return valid scores in time, or raise; invalid arguments do not count as failures."""
        ticket = self.breaker.admit()
        if ticket is None:
            raise ProviderError(
                f"{self.reranker.model} is disabled for a while",
                why=f"it failed {self.breaker.failures} times in a row",
                retryable=True,
            )
        try:
            scored = self._score(query, candidates, options)
        except InputError:
            self.breaker.release(ticket)
            raise
        except Exception:
            self.breaker.record_failure(ticket)
            raise
        except BaseException:
            self.breaker.release(ticket)
            raise
        self.breaker.record_success(ticket)
        return scored

    def _score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        if self.runner is None:
            scored = self.reranker.score(query, candidates, options)
        else:
            scored = self.runner.call(lambda: self.reranker.score(query, candidates, options))
        values = [s.value for s in scored.scores]
        if len(values) != len(candidates) or not all(map(math.isfinite, values)):
            raise ModelError(
                f"{self.reranker.model} gave no usable scores",
                why=f"it has {sum(map(math.isfinite, values))} finite scores for "
                f"{len(candidates)} documents",
            )
        return scored


class Fallback(BaseReranker):
    """Uses a reranker and, where it fails, those of a chain in order.

    - `chain`: the rerankers to use next.
    - `on_failure`: what happens if all of them fail: "fallback" returns the first stage's order
      with status "fallback", "raise" raises the last error.
    - `timeout`: seconds for each of them, above 0, or one number (or None) for each; None for
      no limit. Work that took too long goes on in the background.
    - `failures`, `pause`: after so many failures in a row a reranker is not used for so many
      seconds (see `CircuitBreaker`).

    A response of the chain has status "reranked", its `model`, and in `reason` why the first
    reranker failed. `min_score` is meant for the first reranker's scores, so it applies to no
    other's. Invalid arguments (`InputError`) raise at once. Raises `InputError` for options
    outside these ranges.
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
        for item in rerankers:
            if not isinstance(item, BaseReranker):
                raise InputError(f"chain must hold rerankers, not {type(item).__name__}")
        self.on_failure = on_failure
        self.stages = tuple(
            Stage(item, CircuitBreaker(failures=failures, pause=pause), _runner(item, seconds))
            for item, seconds in zip(
                rerankers, _check_timeouts(timeout, len(rerankers)), strict=True
            )
        )

    @property
    def model(self) -> str:
        """The name of the first reranker's model."""
        return self.stages[0].reranker.model

    @property
    def base(self) -> BaseReranker:
        """The backend of the first reranker."""
        return self.stages[0].reranker.base

    def models_without_instructions(self) -> tuple[str, ...]:
        """Return those of the whole chain."""
        return tuple(
            name
            for stage in self.stages
            for name in stage.reranker.models_without_instructions()
        )

    def map_base(self, function: Callable[[BaseReranker], BaseReranker]) -> Fallback:
        """Return a copy of this policy with all backends replaced; it shares the breakers."""
        twin = copy.copy(self)
        twin.stages = tuple(
            replace(stage, reranker=stage.reranker.map_base(function)) for stage in self.stages
        )
        return twin

    async def arerank(
        self, query: str, documents: Iterable[DocumentLike], **options: Unpack[RerankOptions]
    ) -> RerankResponse:
        """Do as `rerank`, in a thread of a pool for network waits."""
        return await run_in_thread(lambda: self.rerank(query, documents, **options))

    @property
    def spans_from(self) -> SpanSource | None:
        """Where the spans of the first reranker that gives some come from."""
        sources = (stage.reranker.spans_from for stage in self.stages)
        return next((source for source in sources if source is not None), None)

    def score_sentences(
        self,
        query: str,
        candidates: Sequence[Candidate],
        sentences: Sequence[Sentences],
        options: ScoringOptions,
    ) -> Scored:
        """Score sentences with the first reranker that can and does not fail."""
        errors: list[Exception] = []
        for stage in self.stages:
            if stage.reranker.spans_from is None:
                continue
            try:
                return stage.reranker.score_sentences(query, candidates, sentences, options)
            except InputError:
                raise
            except Exception as error:  # noqa: BLE001 - no error of a model may fail a search
                errors.append(error)
        if self.on_failure == "raise":
            raise errors[-1]
        none = Score(0.0, windows=0, scored=False)
        reason = f"no spans: {_reason(errors)}"
        return Scored([none] * sum(map(len, sentences)), ScoreKind.LOGIT, reason=reason)

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Return the scores of the first success, else the first stage's order."""
        errors: list[Exception] = []
        for stage in self.stages:
            try:
                scored = stage.score(query, candidates, options)
            except InputError:
                raise
            except Exception as error:  # noqa: BLE001 - no error of a model may fail a search
                errors.append(error)
                continue
            if not errors:
                return scored
            return _from_chain(scored, stage.reranker.model, errors)
        if self.on_failure == "raise":
            raise errors[-1]
        return first_stage_order(candidates, _reason(errors))


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
    """Raise `InputError` for a single name or reranker in place of a list."""
    if isinstance(chain, str | Path | BaseReranker):
        raise InputError("chain must be a list", why=f"it is {chain!r}")


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
        thresholds_apply=False,
    )


def _from_chain(scored: Scored, model: str, errors: Sequence[Exception]) -> Scored:
    reason = _reason(errors)
    return replace(
        scored,
        model=model if scored.model is None else scored.model,
        reason=reason if scored.reason is None else f"{reason}; {scored.reason}",
        thresholds_apply=False,
    )


def _reason(errors: Sequence[Exception]) -> str:
    return "; ".join(
        str(e) if isinstance(e, ModelError) else f"{type(e).__name__}: {e}" for e in errors
    )


def _runner(reranker: BaseReranker, seconds: float | None) -> DeadlineRunner[Scored] | None:
    return None if seconds is None else DeadlineRunner(reranker.model, seconds)


def _check_timeouts(
    timeout: float | Sequence[float | None] | None, count: int
) -> list[float | None]:
    if timeout is None or isinstance(timeout, int | float):
        timeouts: list[float | None] = [timeout] * count
    elif isinstance(timeout, str):
        raise InputError(f"timeout must be a number of seconds, not {timeout!r}")
    else:
        timeouts = list(timeout)
    if len(timeouts) != count:
        raise InputError(f"timeout has {len(timeouts)} numbers for {count} rerankers")
    checked = [check_number("timeout", seconds) for seconds in timeouts]
    for seconds in checked:
        if seconds is not None and not 0 < seconds < math.inf:
            raise InputError(f"timeout must be a number of seconds above 0, not {seconds!r}")
    return checked
