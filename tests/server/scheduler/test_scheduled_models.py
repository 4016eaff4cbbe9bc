"""Waiting for what other threads do, which ends with the request; parts of the queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from secondpass import Reranker, Spans
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.server.scheduler import scheduled_models
from secondpass.server.scheduler.queue import (
    Batch,
    ClientDisconnectedError,
    QueueTimeoutError,
    WorkQueue,
)
from secondpass.server.scheduler.scheduled_models import (
    PART_SECONDS,
    TOKENS_AT_ONCE,
    TOKENS_WITH_EXITS,
    ScheduledReranker,
    Ticket,
    check_ticket,
    run_abandonable,
    use_ticket,
    wait_for,
)
from secondpass.types import Candidate, Document, ScoreKind


def test_without_a_ticket_it_is_waited_for() -> None:
    with ThreadPoolExecutor(1) as threads:
        assert wait_for(threads.submit(lambda: 5)) == 5
    assert run_abandonable(lambda: 5) == 5
    check_ticket()


def test_errors_come_through() -> None:
    def fail() -> None:
        raise TimeoutError("of its own")

    with use_ticket(Ticket()), ThreadPoolExecutor(1) as threads:
        for waited in (lambda: wait_for(threads.submit(fail)), lambda: run_abandonable(fail)):
            with pytest.raises(TimeoutError, match="of its own"):
                waited()


def test_what_has_not_begun_when_it_is_too_late_is_not_done() -> None:
    work: Future[None] = Future()
    with use_ticket(Ticket(time.monotonic() + 0.1)):
        with pytest.raises(QueueTimeoutError):
            wait_for(work)
        with pytest.raises(QueueTimeoutError):
            check_ticket()
    assert work.cancelled()


def test_a_ticket_that_is_given_up_ends_the_waiting() -> None:
    ticket, work = Ticket(), Future[None]()
    threading.Timer(0.05, ticket.cancel).start()
    with use_ticket(ticket):
        with pytest.raises(ClientDisconnectedError):
            wait_for(work)
        begun: list[int] = []
        with pytest.raises(ClientDisconnectedError):
            run_abandonable(lambda: begun.append(1))
    assert work.cancelled()
    assert not begun


def test_what_a_stopping_server_cancels_is_gone() -> None:
    work: Future[None] = Future()
    work.cancel()
    with pytest.raises(ClientDisconnectedError, match="stops"):
        wait_for(work)


def test_work_in_a_thread_knows_its_ticket() -> None:
    ticket = Ticket(time.monotonic() - 1)
    with use_ticket(ticket), pytest.raises(QueueTimeoutError):
        run_abandonable(lambda: None)
    with use_ticket(Ticket()):
        assert run_abandonable(lambda: check_ticket() or 5) == 5  # type: ignore[func-returns-value]


def test_sentences_of_short_documents_share_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduled_models, "PART_SECONDS", 0.0)
    texts = [f"The sea is blue. Number {n} is salty, too." for n in range(20)]
    texts[3:5] = ["", " \n"]
    every = Spans(threshold=0, max_spans=None)
    reranker, batches = Reranker(), list[Batch]()
    queue = WorkQueue(10_000, on_batch=batches.append)
    whole = ScheduledReranker(reranker, queue).rerank("Is the sea salty?", texts, spans=every)
    # One part for the scores of all documents, one for the sentences of all.
    assert len(batches) == 2
    cut = ScheduledReranker(reranker, queue, tokens_at_once=40)
    parts = cut.rerank("Is the sea salty?", texts, spans=every)
    assert len(batches) > 6
    assert queue.close(10)
    alone = reranker.rerank("Is the sea salty?", texts, spans=every)
    # All texts are known by now, so that the query alone was encoded: once, not once a part.
    assert parts.usage.tokens == alone.usage.tokens > 0
    for found in (whole, parts):
        for result, expected in zip(found.results, alone.results, strict=True):
            assert [s[:2] for s in result.spans] == [s[:2] for s in expected.spans]
            assert [s.score for s in result.spans] == pytest.approx(
                [s.score for s in expected.spans], abs=5e-3
            )


def test_candidates_of_an_early_exit_are_compared_in_large_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scheduled_models, "PART_SECONDS", 0.0)
    texts = [f"Page {n} says nothing about the color of anything at all." for n in range(60)]
    texts += ["The sea is blue.", "Blue is the color of the sea."]
    reranker, batches = Reranker(), list[Batch]()
    queue = WorkQueue(10_000, on_batch=batches.append)
    scheduled = ScheduledReranker(reranker, queue, tokens_at_once=100)
    query = "What color has the sea?"
    found = scheduled.rerank(query, texts, early_exit_at=2)
    assert len(batches) == 1
    alone = reranker.rerank(query, texts, early_exit_at=2)
    assert [r.index for r in found.results[:2]] == [r.index for r in alone.results[:2]]
    assert found.usage.scored == alone.usage.scored < len(texts)
    assert len(found.results) == len(texts)
    scheduled.rerank(query, texts)
    assert len(batches) > 5
    assert queue.close(10)


class Reader(BaseReranker):
    """Takes `seconds` for a call, and counts what each call reads."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.calls: list[int] = []

    @property
    def model(self) -> str:
        return "reader"

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        time.sleep(self.seconds)
        self.calls.append(len(candidates))
        return Scored([Score(0.5) for _ in candidates], ScoreKind.LOGIT)


@pytest.mark.parametrize(("seconds", "fewer"), [(0.0, True), (2 * PART_SECONDS, False)])
def test_parts_are_larger_where_they_are_read_at_once(seconds: float, fewer: bool) -> None:
    reader, queue = Reader(seconds), WorkQueue(1e9, max_batch_work=TOKENS_AT_ONCE)
    scheduled = ScheduledReranker(reader, queue)
    # Half a part of tokens each.
    candidates = [Candidate(Document("word " * 400)) for _ in range(12)]
    for _ in range(2):
        scheduled.score("query", candidates, ScoringOptions())
    assert sum(reader.calls) == 2 * len(candidates)
    first, second = reader.calls[:6], reader.calls[6:]
    assert first == [2] * 6
    assert (len(second) < 6) == fewer
    assert queue.close(10)


def test_no_part_is_larger_than_the_largest() -> None:
    reader, queue = Reader(0.0), WorkQueue(1e9, max_batch_work=TOKENS_AT_ONCE)
    scheduled = ScheduledReranker(reader, queue, tokens_at_once=TOKENS_WITH_EXITS)
    candidates = [Candidate(Document("word " * 400)) for _ in range(60)]
    scheduled.score("query", candidates, ScoringOptions())
    first = list(reader.calls)
    assert len(first) > 2
    scheduled.score("query", candidates, ScoringOptions())
    assert reader.calls == first * 2
    assert queue.close(10)


def test_a_session_with_states_has_times_of_its_own() -> None:
    queue = WorkQueue(1e9, max_batch_work=TOKENS_AT_ONCE)
    slow, quick = Reader(2 * PART_SECONDS), Reader(0.0)
    scheduled = ScheduledReranker(slow, queue)
    candidates = [Candidate(Document("word " * 400)) for _ in range(4)]
    scheduled.score("query", candidates, ScoringOptions())
    twin = scheduled.map_base(lambda _: quick)
    for _ in range(2):
        twin.score("query", candidates, ScoringOptions())
    assert quick.calls == [2, 2, 4]
    scheduled.score("query", candidates, ScoringOptions())
    assert slow.calls == [2, 2, 2, 2]
    assert queue.close(10)
