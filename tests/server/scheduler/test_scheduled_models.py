"""Waiting for what other threads do: it ends with the request, whatever they are at."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from secondpass.server.scheduler.queue import ClientDisconnectedError, QueueTimeoutError
from secondpass.server.scheduler.scheduled_models import (
    Ticket,
    awaited,
    still_wanted,
    while_wanted,
    with_ticket,
)


def test_without_a_ticket_it_is_waited_for() -> None:
    with ThreadPoolExecutor(1) as threads:
        assert awaited(threads.submit(lambda: 5)) == 5
    assert while_wanted(lambda: 5) == 5
    still_wanted()


def test_errors_come_through() -> None:
    def fail() -> None:
        raise TimeoutError("of its own")

    with with_ticket(Ticket()), ThreadPoolExecutor(1) as threads:
        for waited in (lambda: awaited(threads.submit(fail)), lambda: while_wanted(fail)):
            with pytest.raises(TimeoutError, match="of its own"):
                waited()


def test_what_has_not_begun_when_it_is_too_late_is_not_done() -> None:
    work: Future[None] = Future()
    with with_ticket(Ticket(time.monotonic() + 0.1)):
        with pytest.raises(QueueTimeoutError):
            awaited(work)
        with pytest.raises(QueueTimeoutError):
            still_wanted()
    assert work.cancelled()


def test_a_ticket_that_is_given_up_ends_the_waiting() -> None:
    ticket, work = Ticket(), Future[None]()
    threading.Timer(0.05, ticket.cancel).start()
    with with_ticket(ticket):
        with pytest.raises(ClientDisconnectedError):
            awaited(work)
        begun: list[int] = []
        with pytest.raises(ClientDisconnectedError):
            while_wanted(lambda: begun.append(1))
    assert work.cancelled()
    assert not begun


def test_what_a_stopping_server_cancels_is_gone() -> None:
    work: Future[None] = Future()
    work.cancel()
    with pytest.raises(ClientDisconnectedError, match="stops"):
        awaited(work)


def test_work_in_a_thread_knows_its_ticket() -> None:
    ticket = Ticket(time.monotonic() - 1)
    with with_ticket(ticket), pytest.raises(QueueTimeoutError):
        while_wanted(lambda: None)
    with with_ticket(Ticket()):
        assert while_wanted(lambda: still_wanted() or 5) == 5  # type: ignore[func-returns-value]
