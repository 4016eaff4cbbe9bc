"""The thread that indexes what was uploaded, beside the requests."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable

from secondpass.errors import SecondpassError
from secondpass.server.cloudflare.indexing import index_item
from secondpass.server.cloudflare.instance import Instance
from secondpass.server.http_errors import Problem
from secondpass.server.scheduler.jobs import GoneError, OverloadedError
from secondpass.server.scheduler.scheduled_models import Ticket, with_ticket

_log = logging.getLogger("secondpass.server")
_LONGEST_PAUSE = 5.0


class Worker:
    """Indexes one file at a time, the instances in turn, behind all requests in the queue.

    What it is at when the process ends, it begins again at the next start.
    """

    def __init__(self) -> None:
        self._turns: deque[Instance] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._current: Instance | None = None
        self._ticket = Ticket()
        self._stopping = False

    def start(self, waiting: Callable[[], Iterable[Instance]]) -> None:
        """Begin, with the instances of which something waits from last time."""
        self._stopping = False
        self._thread = threading.Thread(
            target=self._run, args=(waiting,), name="secondpass-indexing", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Leave off; what is under way is put back."""
        with self._changed:
            self._stopping = True
            self._turns.clear()
            self._ticket.cancel()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def wake(self, instance: Instance) -> None:
        """Say that something of an instance waits."""
        with self._changed:
            if not self._stopping and instance not in self._turns:
                self._turns.append(instance)
                self._changed.notify_all()

    def give_up(self, instance: Instance) -> None:
        """Leave off what is under way for an instance, which is about to be removed."""
        with self._changed:
            if self._current is instance:
                self._ticket.cancel()

    def _run(self, waiting: Callable[[], Iterable[Instance]]) -> None:
        for instance in waiting():
            self.wake(instance)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._turns or self._stopping)
                if self._stopping:
                    return
                instance = self._current = self._turns.popleft()
                self._ticket = Ticket()
            try:
                if self._next(instance):
                    self.wake(instance)
            except OverloadedError as error:
                self._pause(error.retry_after)
                self.wake(instance)
            except GoneError:
                self.wake(instance)
            except (SecondpassError, Problem) as error:
                if not instance.gone:
                    _log.error("instance %s is not indexed: %s", instance.name, error)
            except Exception:  # noqa: BLE001 - the other instances must go on
                _log.exception("instance %s is not indexed", instance.name)
            finally:
                self._current = None

    def _next(self, instance: Instance) -> bool:
        """Do the next thing; return whether there may be more."""
        with instance.writing:
            if instance.gone or instance.leaving or instance.settings["paused"]:
                return False
            item = instance.work.take()
            if item is None:
                instance.jobs.settle_all()
                return False
            with with_ticket(self._ticket):
                index_item(instance, item)
            return True

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, min(seconds, _LONGEST_PAUSE))
