"""Work that is waited for only so long."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from secondpass.errors import ProviderError, ProviderTimeoutError

T = TypeVar("T")


class Patience(Generic[T]):
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
