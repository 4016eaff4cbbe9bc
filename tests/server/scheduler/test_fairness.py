"""Fair shares of the queue among tenants, on a clock that counts work."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.windowing import PassageAggregation
from secondpass.server.scheduler.queue import (
    BURST,
    MAX_RETRY_AFTER,
    BatchItem,
    FairShares,
    OverloadedError,
    Part,
    WorkQueue,
)
from secondpass.server.scheduler.scheduled_models import (
    TOKENS_AT_ONCE,
    estimate_tokens,
    split_work,
)

TIMEOUT = 150_000.0


@dataclass(frozen=True)
class Arrival:
    """A request: when it comes, in tokens that one worker reads, whose, and its documents."""

    at: float
    tenant: str
    documents: tuple[int, ...]


class Simulation:
    """Runs arrivals through a queue whose clock is moved by its work, all in its thread."""

    def __init__(self, arrivals: Sequence[Arrival]) -> None:
        self.now, self.refused = 0.0, 0
        self.latencies: dict[str, list[float]] = {}
        self.shared = 0
        self._arrivals = sorted(arrivals, key=lambda arrival: arrival.at)
        self._open, self._ended = 0, threading.Event()
        self.queue = WorkQueue(1_000_000, max_batch_work=TOKENS_AT_ONCE, clock=lambda: self.now)

    def run(self) -> Simulation:
        """Run all of it."""
        self._submit_due()
        assert self._ended.wait(60)
        assert self.queue.close(10)
        return self

    def _read(self, works: Sequence[float]) -> list[None]:
        self.shared += len(works) > 1
        self.now += sum(works)
        self._submit_due()
        return [None] * len(works)

    def _submit_due(self) -> None:
        while self._arrivals and (self._arrivals[0].at <= self.now or not self._open):
            arrival = self._arrivals.pop(0)
            self.now = max(self.now, arrival.at)
            self._submit(arrival)
        if not self._arrivals and not self._open:
            self._ended.set()

    def _submit(self, arrival: Arrival) -> None:
        def part(work: float) -> Part:
            return Part(work, lambda: self._read([work]), BatchItem("model", work, self._read))

        parts = [part(work) for _, _, work in split_work(arrival.documents)]
        self._open += 1
        try:
            job = self.queue.submit(parts, arrival.at + TIMEOUT, arrival.tenant)
        except OverloadedError:
            self.refused += arrival.tenant == "heavy"
            assert arrival.tenant == "heavy", "only the heavy tenant is refused"
            self._open -= 1
            return

        def settle(_: object) -> None:
            self._open -= 1
            if job.result.exception() is None:
                waited = self.now - arrival.at
                self.latencies.setdefault(arrival.tenant, []).append(waited)
            else:
                assert arrival.tenant == "heavy", "only the heavy tenant is late"
                self.refused += 1
            if not self._open:
                self._submit_due()

        job.result.add_done_callback(settle)

    def p95(self, tenant: str) -> float:
        """The latency within which 95 of 100 requests are answered."""
        found = sorted(self.latencies[tenant])
        return found[int(0.95 * len(found))]


def arrivals(
    tenant: str, documents: int, load: float, *, seed: int, until: float = 600_000
) -> list[Arrival]:
    """Requests at random times (Poisson) that are `load` of what the worker can do."""
    rng, found, at = random.Random(seed), list[Arrival](), 0.0
    while True:
        lengths = tuple(rng.randint(80, 180) for _ in range(documents))
        at += rng.expovariate(load / sum(lengths))
        if at > until:
            return found
        found.append(Arrival(at, tenant, lengths))


@pytest.mark.parametrize("heavy_documents", [5, 200])
def test_a_heavy_tenant_does_not_slow_down_a_light_one(heavy_documents: int) -> None:
    light = arrivals("light", 20, 0.3, seed=1)
    # The fair share of two is a half each: this is ten times that.
    heavy = arrivals("heavy", heavy_documents, 5.0, seed=2)
    quiet, loaded = Simulation(light).run(), Simulation([*light, *heavy]).run()
    assert len(loaded.latencies["light"]) == len(quiet.latencies["light"]) == len(light)
    assert loaded.p95("light") <= 2 * quiet.p95("light")
    # Nothing is left idle for it: the heavy one has the rest.
    assert loaded.refused
    assert loaded.latencies["heavy"]


def test_small_requests_of_several_tenants_share_batches() -> None:
    found = Simulation([*arrivals("a", 3, 0.4, seed=1), *arrivals("b", 3, 0.4, seed=2)]).run()
    assert found.shared > 100


def test_tenants_that_ask_for_everything_get_equal_parts() -> None:
    heavy = [
        Arrival(0.0, tenant, (1000,) * 100) for tenant in ("a", "b", "c") for _ in range(2)
    ]
    done: list[str] = []
    queue = WorkQueue(1_000_000, clock=lambda: 0.0)
    gate = threading.Event()
    queue.submit([Part(1, gate.wait)], TIMEOUT, "gate")
    jobs = [
        queue.submit(
            [Part(work, lambda a=a: done.append(a.tenant)) for work in a.documents],  # type: ignore[misc]
            TIMEOUT,
            a.tenant,
        )
        for a in heavy
    ]
    gate.set()
    for job in jobs:
        job.result.result(30)
    for count in range(3, len(done), 3):
        found = [done[:count].count(tenant) for tenant in ("a", "b", "c")]
        assert max(found) - min(found) <= 1


def test_who_was_away_goes_first_for_a_burst_and_no_longer() -> None:
    shares = FairShares(burst=10)
    shares.resume("busy")
    for _ in range(100):
        shares.charge("busy", 1)
    shares.resume("back")
    had = 0
    while shares.time("back") < shares.time("busy"):
        shares.charge("back", 1)
        had += 1
    # And for the part that the other one has had in advance.
    assert had == 10 + 1


def test_work_without_a_deadline_waits_for_all_that_has_one() -> None:
    queue, log, gate = WorkQueue(100), list[str](), threading.Event()
    queue.submit([Part(1, gate.wait)], float("inf"), "gate")
    background = queue.submit([Part(1, lambda: log.append("a"))] * 2, float("inf"), "a")
    queue.submit([Part(1, lambda: log.append("b"))] * 2, 1e12, "b")
    gate.set()
    background.result.result(10)
    assert log == ["b", "b", "a", "a"]


def test_one_tenant_fills_only_its_own_queue() -> None:
    queue, gate = WorkQueue(10), threading.Event()
    queue.submit([Part(1, gate.wait)], 1e12, "heavy")
    queue.submit([Part(9, lambda: None)], 1e12, "heavy")
    with pytest.raises(OverloadedError):
        queue.submit([Part(2, lambda: None)], 1e12, "heavy")
    light = queue.submit([Part(9, lambda: 1)], 1e12, "light")
    gate.set()
    assert light.result.result(10) == [1]


def test_the_wait_is_that_of_ones_own_work_and_the_turns_of_others() -> None:
    now = 0.0

    def read() -> None:
        nonlocal now
        now += 1

    queue, gate = WorkQueue(1e9, clock=lambda: now), threading.Event()
    # A speed of 10 a second.
    queue.submit([Part(10, read)], 1e9, "first").result.result(10)
    queue.submit([Part(10, gate.wait)], 1e9, "heavy")
    queue.submit([Part(1_000_000, lambda: None)], 1e9, "heavy")
    assert queue.expected_wait(30, "light") == 0
    queue.admit(30, "light")
    queue.submit([Part(10, lambda: None) for _ in range(5)], 30, "light")
    assert queue.expected_wait(30, "light") == pytest.approx(10)
    with pytest.raises(OverloadedError) as caught:
        queue.submit([Part(1e9, lambda: None)], 1e9, "heavy")
    assert caught.value.retry_after == MAX_RETRY_AFTER
    assert f"{MAX_RETRY_AFTER:.0f} s" in str(caught.value)
    gate.set()


def estimate(query: str, head: str, body: str, aggregate: str = "max") -> int:
    passages = PassageAggregation(aggregate)
    return estimate_tokens(query, head, body, window=512, passages=passages, reach=8 * 512)


@pytest.mark.parametrize("body", ["word " * 4_000_000, "文" * 4_000_000])
def test_a_long_document_counts_for_what_is_read_of_it(body: str) -> None:
    options = ScoringOptions(token_share=4096)
    found = estimate_tokens("a query", "", body, window=512, options=options)
    assert 4096 / 2 < found <= 1.5 * 4096
    first = ScoringOptions(passages=PassageAggregation("first"))
    assert estimate_tokens("q", "", body, window=512, options=first) <= 1.1 * 512
    capped = ScoringOptions(max_tokens_per_doc=64)
    assert estimate_tokens("q", "", body, window=512, options=capped) <= 80


def test_a_short_document_counts_for_its_length() -> None:
    options = ScoringOptions()
    short = estimate_tokens("q" * 40, "t" * 40, "b" * 400, window=512, options=options)
    assert 120 <= short <= 130
    chinese = estimate_tokens("q", "", "文" * 400, window=512, options=options)
    assert chinese >= 300
    assert estimate_tokens("q" * 10**6, "t" * 10**6, "", window=512, options=options) < 2000


def test_parts_have_every_document_once() -> None:
    rng = random.Random(0)
    tokens = [rng.choice([8, 100, 700, 5000]) for _ in range(300)]
    spans = list(split_work(tokens))
    assert [i for start, stop, _ in spans for i in range(start, stop)] == list(range(300))
    assert all(work == sum(tokens[start:stop]) for start, stop, work in spans)
    assert all(work <= TOKENS_AT_ONCE or stop - start == 1 for start, stop, work in spans)
    assert not list(split_work([]))
    assert BURST >= TOKENS_AT_ONCE
