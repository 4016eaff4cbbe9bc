"""The worker thread that indexes uploaded files: tenants take turns, a batch of a file each."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable

from secondpass.errors import SecondpassError
from secondpass.server.cloudflare.indexing import IndexingTask, remove_item
from secondpass.server.cloudflare.instance import Instance
from secondpass.server.http_errors import HttpError
from secondpass.server.scheduler.queue import ClientDisconnectedError, OverloadedError
from secondpass.server.scheduler.scheduled_models import Ticket, use_ticket

_log = logging.getLogger("secondpass.server")
_MAX_PAUSE = 5.0
# Each is a process that may fill its memory.
_MAX_LOADING = 2


class IndexingWorker:
    """A thread that indexes files in turns: one tenant after the other, the oldest file first.

    A turn stores one batch of a file. Before each it is checked whether the file is still
    there and unchanged. Requests go before it in the work queue. An item that is interrupted
    by the end of the process is indexed after the next start.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._scheduled: dict[str, list[Instance]] = {}
        self._tasks: dict[str, IndexingTask] = {}
        self._turns: deque[str] = deque()
        # Tenants of which something has changed since their last turn.
        self._changed: set[str] = set()
        self._thread: threading.Thread | None = None
        self._current: Instance | None = None
        self._ticket = Ticket()
        self._stopping = False

    def start(self, unfinished: Callable[[], Iterable[Instance]]) -> None:
        """Start the thread, with the instances that were not finished at the last stop."""
        self._stopping = False
        self._thread = threading.Thread(
            target=self._run, args=(unfinished,), name="secondpass-indexing", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; items that are not finished are put back."""
        with self._condition:
            self._stopping = True
            self._ticket.cancel()
            for task in self._tasks.values():
                task.cancel()
            self._condition.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def schedule(self, instance: Instance) -> None:
        """Add an instance with waiting items, or one of which an item has changed."""
        tenant = instance.key.tenant
        with self._condition:
            if self._stopping:
                return
            instances = self._scheduled.setdefault(tenant, [])
            if instance not in instances:
                instances.append(instance)
            if tenant not in self._turns:
                self._turns.append(tenant)
            self._changed.add(tenant)
            self._condition.notify_all()

    def cancel(self, instance: Instance) -> None:
        """Interrupt the item of an instance that is about to be deleted."""
        with self._condition:
            if self._current is instance:
                self._ticket.cancel()
            task = self._tasks.get(instance.key.tenant)
            if task is not None and task.instance is instance:
                task.cancel()
                self._changed.add(instance.key.tenant)
                self._condition.notify_all()

    def _run(self, unfinished: Callable[[], Iterable[Instance]]) -> None:
        for instance in unfinished():
            self.schedule(instance)
        while True:
            with self._condition:
                self._condition.wait_for(
                    lambda: self._stopping or any(map(self._is_ready, self._turns))
                )
                if self._stopping:
                    break
                tenant = self._next_tenant()
                self._changed.discard(tenant)
                self._ticket = Ticket()
            self._take_turn(tenant)
        for task in self._tasks.values():
            task.put_back()
        self._tasks.clear()
        self._scheduled.clear()
        self._turns.clear()

    def _is_ready(self, tenant: str) -> bool:
        """Return whether a turn of this tenant would do anything."""
        if tenant in self._changed:
            return True
        task = self._tasks.get(tenant)
        if task is not None:
            return not task.is_loading
        return bool(self._scheduled.get(tenant)) and self._can_load

    @property
    def _can_load(self) -> bool:
        return sum(task.is_loading for task in self._tasks.values()) < _MAX_LOADING

    def _next_tenant(self) -> str:
        while True:
            tenant = self._turns[0]
            self._turns.rotate(-1)
            if self._is_ready(tenant):
                return tenant

    def _take_turn(self, tenant: str) -> None:
        task = self._tasks.get(tenant)
        instance = None if task is None else task.instance
        try:
            if task is None:
                self._begin(tenant)
            elif not task.is_current():
                self._end(task)
            elif not task.is_loading:
                self._step(task)
        except OverloadedError as error:
            self._pause(error.retry_after)
        except ClientDisconnectedError:
            if task is not None:
                self._end(task)
        except Exception as error:  # noqa: BLE001 - the other instances must go on
            self._report(tenant, instance, error)
        finally:
            self._current = None
            with self._condition:
                if tenant not in self._tasks and not self._scheduled.get(tenant):
                    self._turns.remove(tenant)

    def _report(self, tenant: str, instance: Instance | None, error: Exception) -> None:
        """Log an error of an instance, and leave the instance alone until it changes."""
        failed = self._current if instance is None else instance
        with self._condition:
            self._tasks.pop(tenant, None)
            if failed in (instances := self._scheduled.get(tenant, [])):
                instances.remove(failed)
        if failed is None or failed.is_deleted:
            return
        if isinstance(error, SecondpassError | HttpError):
            _log.error("instance %s cannot be indexed: %s", failed.name, error)
        else:
            _log.error("instance %s cannot be indexed", failed.name, exc_info=error)

    def _begin(self, tenant: str) -> None:
        """Remove the next deleted item, or begin the next of the oldest instance."""
        with self._condition:
            instances = list(self._scheduled.get(tenant, []))
        ages = {}
        for instance in instances:
            self._current = instance
            idle = instance.is_deleted or instance.deleting or instance.settings["paused"]
            age = None if idle else instance.queue.next_age()
            if age is not None:
                ages[instance] = age
                continue
            with self._condition:
                self._scheduled[tenant].remove(instance)
            if not idle:
                # An item that came after the question has scheduled the instance again.
                instance.jobs.complete_all_done()
                if instance.queue.has_pending():
                    self.schedule(instance)
        if not ages:
            return
        instance = self._current = min(ages, key=lambda instance: ages[instance])
        with instance.write_lock:
            if instance.is_deleted or instance.deleting:
                return
            item = instance.queue.take(deleted_only=not self._can_load)
            if item is None:
                return
            if item.is_deleted:
                remove_item(instance, item)
                return
            task = IndexingTask(instance, item)
            with self._condition:
                self._tasks[tenant] = task
        task.start(self._notify)

    def _step(self, task: IndexingTask) -> None:
        instance = self._current = task.instance
        with instance.write_lock:
            # Again, as it may have waited for the lock.
            if not task.is_current():
                self._end(task)
                return
            with use_ticket(self._ticket):
                finished = task.step()
        if finished:
            with self._condition:
                self._tasks.pop(instance.key.tenant, None)

    def _end(self, task: IndexingTask) -> None:
        """End a task before its item is finished."""
        with self._condition:
            self._tasks.pop(task.instance.key.tenant, None)
        task.put_back()

    def _notify(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def _pause(self, seconds: float) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._stopping, min(seconds, _MAX_PAUSE))
