"""Calls to the shards of a search: by owner or to any, with hedges, deadlines and counts."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from secondpass.cluster.hedge import AnswerTimes, HedgeBudget, first_answer
from secondpass.cluster.shard import Refusal, ShardStatus
from secondpass.errors import IndexStoreError, RetrieverError, SecondpassError
from secondpass.server.scheduler.queue import OverloadedError, QueueTimeoutError
from secondpass.server.scheduler.scheduled_models import current_ticket, wait_for

_log = logging.getLogger("secondpass.server")
POLL_SECONDS = 1.0
"""How often each shard is asked what it has, and whether it reads."""
_POLL_TIMEOUT = 5.0
# What a request keeps for its own work after the shards have answered.
_SHARE_OF_TIME = 0.8
# The shortest time, in seconds, before a shard that refused is asked again; it doubles.
_PAUSE_SECONDS = 0.05
OVERLOADED = "is overloaded"
"""Why a shard that refused has read nothing."""


class Transport(Protocol):
    """Sends calls to shards; used from one event loop."""

    @property
    def shards(self) -> int:
        """How many shards there are."""

    def send(self, shard: int, method: str, arguments: Sequence[Any]) -> Awaitable[Any]:
        """Call a method of `Shard` at any replica of a shard, and return its result.

        A `Refusal` is a result; what is raised says that no answer came.
        """


@dataclass(frozen=True, slots=True)
class OwnerAnswers:
    """What each shard answered, by its number, and why others did not.

    `retry_after`: the longest time, in seconds, after which an overloaded shard asked to be
    tried again; None where none was overloaded.
    """

    found: Mapping[int, Any]
    missing: Mapping[int, str]
    retry_after: float | None = None


class ShardCalls:
    """The shards as a search asks them; thread-safe.

    `timeout`: seconds that a request waits for a shard at most. `replicas`: how many copies of
    a shard there are at most; a copy that is alone is not asked twice for the same. Who asks
    for what a shard alone can do gets its answer, or learns that there is none; who asks for
    what each shard can do is answered by another one where one fails.

    A shard that is overloaded is asked again as long as others read for the same request, which
    this costs no time; then what it owns stays unread.

    A shard that has not answered in time is `down` until it answers again: it is asked once a
    second to read a pair, and searches do without it meanwhile. `on_status` is called as often,
    with the statuses of those that answer.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        timeout: float,
        replicas: int = 1,
        on_status: Callable[[Sequence[ShardStatus]], None] = lambda statuses: None,
    ) -> None:
        self.timeout, self._replicas = timeout, replicas
        self._transport, self._on_status = transport, on_status
        self.down: dict[int, str] = {}
        self.unread: Counter[int] = Counter()
        self.unanswered: Counter[int] = Counter()
        self.overloaded: Counter[int] = Counter()
        self.hedged: Counter[int] = Counter()
        self._statuses: dict[int, ShardStatus] = {}
        self._answered = threading.Condition()
        self._times = {"read": AnswerTimes(), "search": AnswerTimes()}
        self._budget = HedgeBudget()
        self._turns = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="secondpass-shards", daemon=True
        )
        self._thread.start()

    @property
    def count(self) -> int:
        """How many shards there are."""
        return self._transport.shards

    @property
    def problems(self) -> dict[str, str]:
        """What shards could not do, by the name of the index."""
        return {n: p for status in self._statuses.values() for n, p in status.problems.items()}

    def start(self) -> None:
        """Begin to ask the shards how they are."""
        for shard in range(self.count):
            asyncio.run_coroutine_threadsafe(self._watch(shard), self._loop)
        asyncio.run_coroutine_threadsafe(self._report(), self._loop)

    def wait(self, seconds: float) -> None:
        """Wait until each shard has answered once, or for so long; blocks."""
        ends = time.monotonic() + seconds
        with self._answered:
            while len(self._statuses) < self.count and (left := ends - time.monotonic()) > 0:
                self._answered.wait(left)

    def close(self) -> None:
        """Stop asking."""
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def time_left(self) -> float:
        """Return how many seconds a shard may take for the request of this thread."""
        left = current_ticket().deadline - time.monotonic()
        return min(self.timeout, _SHARE_OF_TIME * left)

    def ask_any(self, method: str, *arguments: Any) -> Any:
        """Return what one shard answers; blocks.

        Raises RetrieverError where none does, and the error that the shard answers with.
        """
        seconds = self.time_left()
        call = self._any(self._order(), method, arguments, seconds)
        try:
            return wait_for(asyncio.run_coroutine_threadsafe(call, self._loop))
        except SecondpassError:
            raise
        except Exception as error:
            raise RetrieverError(
                "no shard answers",
                why=f"of {self.count} the last one asked {_why(error, seconds)}",
                fix="See /ready for those that are missing; they are started again.",
            ) from error

    def ask_owners(
        self, calls: Mapping[int, tuple[str, Sequence[Any]]], documents: Mapping[int, int]
    ) -> OwnerAnswers:
        """Return what each shard answers to its own call, and why others did not; blocks.

        `calls`: a method and its arguments, without the last one, the ticket of the request.
        `documents`: how many each is asked to read, for the counts. Raises the error that a
        shard answers with, except that it is overloaded.
        """
        work = self._owners(calls, self.time_left(), current_ticket().tenant)
        answers = wait_for(asyncio.run_coroutine_threadsafe(work, self._loop))
        for shard, why in answers.missing.items():
            self.unread[shard] += documents[shard]
            counts = self.overloaded if why == OVERLOADED else self.unanswered
            counts[shard] += 1
        return answers

    def metrics(self) -> Collector:
        """Return the counts for Prometheus."""
        return _ShardCollector(self)

    def _order(self) -> list[int]:
        """Return the shards in the order in which they are asked: those that answer first."""
        turn = next(self._turns) % self.count
        numbers = [*range(turn, self.count), *range(turn)]
        return sorted(numbers, key=lambda shard: shard in self.down)

    async def _any(
        self, order: Sequence[int], method: str, arguments: Sequence[Any], seconds: float
    ) -> Any:
        async def ask(attempt: int) -> Any:
            shard = order[attempt % len(order)]
            answer = await self._transport.send(shard, method, arguments)
            # Another shard may have what this one cannot read.
            if isinstance(answer, Refusal) and issubclass(answer.kind, IndexStoreError):
                raise answer.error()
            return answer

        times, began = self._times["search"], time.monotonic()
        answer, attempt = await first_answer(
            ask,
            delay=times.delay(seconds),
            timeout=seconds,
            budget=self._budget,
            hedges=min(2, self.count * self._replicas - 1),
        )
        times.add(time.monotonic() - began)
        if attempt:
            self.hedged[order[0]] += 1
        return _value(answer)

    async def _owners(
        self, calls: Mapping[int, tuple[str, Sequence[Any]]], seconds: float, tenant: str
    ) -> OwnerAnswers:
        missing = {shard: why for shard in calls if (why := self.down.get(shard)) is not None}
        asked = [shard for shard in calls if shard not in missing]
        reading = _Reading(asked)
        answers = await asyncio.gather(
            *(self._owner(shard, *calls[shard], seconds, tenant, reading) for shard in asked),
            return_exceptions=True,
        )
        found: dict[int, Any] = {}
        retry_after: float | None = None
        for shard, answer in zip(asked, answers, strict=True):
            if isinstance(answer, OverloadedError):
                missing[shard] = OVERLOADED
                retry_after = max(retry_after or 0.0, answer.retry_after)
            elif isinstance(answer, QueueTimeoutError):
                # It works, but has more to do than the time allows.
                missing[shard] = _why(TimeoutError(), seconds)
            elif isinstance(answer, SecondpassError):
                raise answer
            elif isinstance(answer, BaseException):
                missing[shard] = _why(answer, seconds)
                self._note_down(shard, answer, seconds)
            else:
                found[shard] = answer
        return OwnerAnswers(found, missing, retry_after)

    async def _owner(
        self,
        shard: int,
        method: str,
        arguments: Sequence[Any],
        seconds: float,
        tenant: str,
        reading: _Reading,
    ) -> Any:
        """Ask one shard, and again where it is overloaded while others are `reading`."""
        ends, pause, copies = time.monotonic() + seconds, _PAUSE_SECONDS, self._replicas - 1
        try:
            while True:
                try:
                    return await self._read(shard, method, arguments, ends, tenant)
                except OverloadedError as error:
                    # Those that were refused must not wait for each other.
                    reading.leave(shard)
                    if copies > 0:
                        # Another copy may have time at once.
                        copies = 0
                        continue
                    # Half of what waits may be done by then; drawn, so that those that were
                    # refused together do not come back together.
                    wait = random.uniform(0.5, 1.0) * max(pause, error.retry_after)
                    pause *= 2
                    if time.monotonic() + wait >= ends or not await reading.lasts(wait):
                        raise
        finally:
            reading.leave(shard)

    async def _read(
        self, shard: int, method: str, arguments: Sequence[Any], ends: float, tenant: str
    ) -> Any:
        """Return what a replica of a shard answers until a time; another one if it is slow."""

        async def ask(attempt: int) -> Any:
            # Clocks differ between processes: what counts is how much time is left.
            ticket = (ends - time.monotonic(), tenant)
            answer = await self._transport.send(shard, method, (*arguments, ticket))
            if isinstance(answer, Refusal) and issubclass(answer.kind, OverloadedError):
                # No answer: another replica may have the time, or be reading already.
                raise answer.error()
            return answer

        times, began = self._times["read"], time.monotonic()
        seconds = ends - began
        answer, attempt = await first_answer(
            ask,
            delay=times.delay(seconds),
            timeout=seconds,
            budget=self._budget,
            hedges=min(1, self._replicas - 1),
            again=lambda error: not isinstance(error, OverloadedError),
        )
        times.add(time.monotonic() - began)
        if attempt:
            self.hedged[shard] += 1
        return _value(answer)

    async def _watch(self, shard: int) -> None:
        """Ask one shard again and again how it is."""
        while True:
            try:
                async with asyncio.timeout(_POLL_TIMEOUT):
                    status = _value(await self._transport.send(shard, "status", ()))
            except Exception as error:  # noqa: BLE001 - any failure: it does not answer
                self._note_down(shard, error, _POLL_TIMEOUT)
            else:
                known = shard in self._statuses
                with self._answered:
                    self._statuses[shard] = status
                    self._answered.notify_all()
                if self.down.pop(shard, None) is not None and known:
                    _log.warning("a shard answers again", extra={"fields": {"shard": shard}})
            await asyncio.sleep(POLL_SECONDS)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            known = [s for shard, s in self._statuses.items() if shard not in self.down]
            if known:
                # It may ask the shards itself, which this loop carries out.
                await asyncio.to_thread(self._tell, known)

    def _tell(self, statuses: Sequence[ShardStatus]) -> None:
        try:
            self._on_status(statuses)
        except SecondpassError as error:
            _log.warning("the version of an index cannot be changed: %s", error)

    def _note_down(self, shard: int, error: BaseException, seconds: float) -> None:
        if shard not in self.down and shard in self._statuses:
            fields = {"shard": shard, "why": repr(error)[:300]}
            _log.warning("a shard does not answer", extra={"fields": fields})
        self.down[shard] = _why(error, seconds)


class _Reading:
    """The shards that read for a request and were never refused; for one event loop."""

    def __init__(self, shards: Iterable[int]) -> None:
        self._shards, self._none = set(shards), asyncio.Event()

    def leave(self, shard: int) -> None:
        """Note that a shard was refused, or has read."""
        self._shards.discard(shard)
        if not self._shards:
            self._none.set()

    async def lasts(self, seconds: float) -> bool:
        """Wait so long; return False as soon as none reads."""
        try:
            async with asyncio.timeout(seconds):
                await self._none.wait()
        except TimeoutError:
            return True
        return False


class _ShardCollector(Collector):
    """Metrics of shards: whether each answers, and what it did not read."""

    def __init__(self, calls: ShardCalls) -> None:
        self._calls = calls

    def collect(self) -> Iterable[Metric]:
        """Return the gauges and counters, by the number of the shard."""
        calls, labels = self._calls, ["shard"]
        up = GaugeMetricFamily("secondpass_shard_up", "1 for one that answers.", None, labels)
        for shard in range(calls.count):
            up.add_metric([str(shard)], float(shard not in calls.down))
        yield up
        for name, text, counts in (
            ("unanswered", "Requests that a shard did not answer in time.", calls.unanswered),
            ("overloaded", "Requests that a shard had no time for.", calls.overloaded),
            ("unread_documents", "Candidates that a shard left unread.", calls.unread),
            ("hedges", "Requests that were answered when they were sent again.", calls.hedged),
        ):
            family = CounterMetricFamily(f"secondpass_shard_{name}", text, labels=labels)
            for shard in range(calls.count):
                family.add_metric([str(shard)], counts[shard])
            yield family


async def _cancel_all() -> None:
    own = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not own]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _value(answer: Any) -> Any:
    if isinstance(answer, Refusal):
        raise answer.error()
    return answer


def _why(error: BaseException, seconds: float) -> str:
    if isinstance(error, TimeoutError):
        return f"did not answer in {seconds:.2g} s"
    if isinstance(error, SecondpassError):
        return f"failed: {error.what}"
    return f"does not run ({type(error).__name__})"
