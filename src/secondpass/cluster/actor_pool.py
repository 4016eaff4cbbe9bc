"""A pool of Ray actors: tasks go to whichever is free, results come in the order of asking."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from secondpass.cluster.ray_runtime import RayRuntime
from secondpass.errors import InputError, ModelError, SecondpassError

START_SECONDS = 180.0
"""How long actors may take to start: a machine of a cluster may load a model for minutes."""
STALL_SECONDS = 1800.0
"""How long no task may end."""

# One that runs, and one that waits beside it, so that an actor need not wait for this process.
_TASKS_EACH = 2
# An actor that ends again and again, for want of memory say, must not be started for ever.
_RESTARTS = 3
_MIN_SHARE = 0.01


@dataclass(slots=True, eq=False)
class Task:
    """A call of an actor's method; `reference` is that of Ray, None before it is sent."""

    method: str
    arguments: tuple[Any, ...]
    reference: Any = None
    actor: int = -1
    done: bool = False


class ActorPool:
    """Actors that all do the same work, each with its model loaded once.

    A task of an actor that is killed is done again by its successor, so a method must give the
    same result however often it is called, and change nothing outside. Each actor asks for an
    equal share of the CPUs that are free, at most one. Use it as a context manager; not
    thread-safe.
    """

    def __init__(
        self,
        runtime: RayRuntime,
        worker: type[Any],
        arguments: Sequence[Any],
        *,
        actors: int | None = None,
        start_seconds: float = START_SECONDS,
    ) -> None:
        self._ray = runtime.ray
        self._runtime = runtime
        self._queue: deque[Task] = deque()
        self._running: dict[Any, Task] = {}
        free = runtime.free_cpus()
        self.size = max(1, int(free)) if actors is None else check_actors(actors)
        self.share = actor_share(free, self.size)
        remote = self._ray.remote(worker).options(
            num_cpus=self.share, max_restarts=_RESTARTS, max_task_retries=_RESTARTS
        )
        self._actors = [remote.remote(*arguments) for _ in range(self.size)]
        self._load = [0] * self.size
        try:
            self.about = self._describe(start_seconds)
        except BaseException:
            self.close()
            raise

    def _describe(self, seconds: float) -> list[Any]:
        """Return what each actor says about itself, once all have started."""
        references = [actor.describe.remote() for actor in self._actors]
        ready, _ = self._ray.wait(references, num_returns=self.size, timeout=seconds)
        if len(ready) < self.size:
            raise InputError(
                f"{self.size - len(ready)} of {self.size} actors of Ray did not start",
                why=f"in {seconds:g} s; each asks for {self.share:g} CPUs, and of "
                f"{self._runtime.total_cpus():g} in the cluster "
                f"{self._runtime.free_cpus():g} are free",
                fix="Ask for fewer with --actors, or end what holds the CPUs: `ray status` "
                "shows it.",
            )
        return [self._fetch(reference) for reference in references]

    def submit(self, method: str, *arguments: Any) -> Task:
        """Have a method called, as soon as an actor is free."""
        task = Task(method, arguments)
        self._queue.append(task)
        self._collect(0.0)
        self._send()
        return task

    def result(self, task: Task) -> Any:
        """Wait for a task, and return its result or raise its error.

        Raises ModelError if actors end again and again, or none has ended a task for long.
        """
        last = time.monotonic()
        while not task.done:
            if self._collect(10.0):
                last = time.monotonic()
            elif time.monotonic() - last > STALL_SECONDS:
                raise ModelError(
                    "The actors of Ray do nothing",
                    why=f"no task ended in {STALL_SECONDS:g} s; of "
                    f"{self._runtime.total_cpus():g} CPUs {self._runtime.free_cpus():g} are "
                    "free",
                    fix="Look at `ray status`, and run the command again.",
                )
            self._send()
        return self._fetch(task.reference)

    def map(self, method: str, parts: Iterable[Sequence[Any]]) -> Iterator[Any]:
        """Yield the results of calls with these arguments, in their order."""
        waiting: deque[Task] = deque()
        for arguments in parts:
            waiting.append(self.submit(method, *arguments))
            if len(waiting) > self.size * _TASKS_EACH:
                yield self.result(waiting.popleft())
        while waiting:
            yield self.result(waiting.popleft())

    def _send(self) -> None:
        while self._queue:
            actor = min(range(self.size), key=self._load.__getitem__)
            if self._load[actor] >= _TASKS_EACH:
                return
            task = self._queue.popleft()
            method = getattr(self._actors[actor], task.method)
            task.reference, task.actor = method.remote(*task.arguments), actor
            task.arguments = ()
            self._load[actor] += 1
            self._running[task.reference] = task

    def _collect(self, seconds: float) -> bool:
        """Note which tasks have ended, after at most so long; return whether one has."""
        if not self._running:
            return False
        running = list(self._running)
        ready, _ = self._ray.wait(running, num_returns=1, timeout=seconds)
        if ready:
            more, _ = self._ray.wait(running, num_returns=len(running), timeout=0)
            ready = list({*ready, *more})
        for reference in ready:
            task = self._running.pop(reference)
            task.done = True
            self._load[task.actor] -= 1
        return bool(ready)

    def _fetch(self, reference: Any) -> Any:
        exceptions = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except exceptions.RayTaskError as error:
            # The error itself, not Ray's text of the other process's stack.
            if isinstance(error.cause, SecondpassError):
                raise error.cause from None
            raise
        except exceptions.RayActorError as error:
            raise ModelError(
                "An actor of Ray has ended",
                why=" ".join(str(error).split())[:500],
                fix="It was started again as often as is sensible. Give it more memory, or "
                "use fewer with --actors, and run the command again.",
            ) from error

    def close(self) -> None:
        """End the actors, and forget all tasks."""
        self._queue.clear()
        self._running.clear()
        for actor in self._actors:
            self._ray.kill(actor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def check_actors(actors: int) -> int:
    """Return a number of actors; raises InputError for one below 1."""
    if actors < 1:
        raise InputError(
            "There must be at least one actor",
            where="--actors",
            why=f"it is {actors}",
            fix="Leave it out for one for each CPU that is free.",
        )
    return actors


def actor_share(free: float, actors: int) -> float:
    """Return how many CPUs each actor asks for: an equal part of those free, at most 1.

    Where other actors, of Ray Serve say, hold nearly all CPUs, it is 0.01: who asks for more
    than is free waits without a word.
    """
    return max(_MIN_SHARE, min(1.0, int(free / actors * 100) / 100))
