"""The lease of an index: at most one process writes to it at a time."""

from __future__ import annotations

import errno
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from secondpass.errors import IndexStoreError
from secondpass.index.storage.objects import Objects

NAME = "lease.json"
SECONDS = 15.0
"""How long a lease lasts without being renewed."""
WAIT = 60.0
"""How long a writer waits for the lease of another one, in seconds."""
_FORMAT = 1
_IDLE_SECONDS = 5.0
_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """What the lease object says; `epoch` grows with every writer that takes the lease.

    `token` differs in every record, so no two have the same content.
    """

    epoch: int
    owner: str
    seconds: float
    token: str
    released: bool = False
    format: int = _FORMAT

    def to_bytes(self) -> bytes:
        """Return the record as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> LeaseRecord:
        """Parse a record; raises IndexStoreError for another object."""
        try:
            found: Any = json.loads(content)
            record = cls(
                int(found["epoch"]),
                str(found["owner"]),
                float(found["seconds"]),
                str(found["token"]),
                found["released"] is True,
                int(found["format"]),
            )
        except (ValueError, TypeError, KeyError):
            record = None
        if record is None or record.format > _FORMAT:
            raise IndexStoreError(
                "the lease of the index cannot be read",
                where=f"{where}/{NAME}",
                why="it was written by a newer version, or by another program",
                fix="Update with: pip install -U secondpass; or choose another prefix.",
            )
        return record


class Lease:
    """The right of one process to write; thread-safe.

    It is an object that is written with conditional puts. The holder renews it three times
    in `seconds`, and releases it when it has not written for a while. A waiting process takes
    a lease that it has seen unchanged for the holder's `seconds` by its own clock, so no two
    clocks are compared. A holder that was frozen may find out late that it lost the lease:
    its commits must fail by the epoch, which `use` returns.

    `last_epoch` returns the epoch of the last commit, which a new lease must be above: its
    object may have been lost, as in a bucket that was restored without it.
    """

    def __init__(
        self,
        objects: Objects,
        *,
        seconds: float = SECONDS,
        wait: float = WAIT,
        idle: float = _IDLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        last_epoch: Callable[[], int] = lambda: 0,
    ) -> None:
        self._last_epoch = last_epoch
        self.seconds, self.wait, self.idle = seconds, wait, idle
        self._objects, self._clock = objects, clock
        self._record: LeaseRecord | None = None
        self._tag: str | None = None
        self._renewed = self._used = 0.0
        self._users = 0
        self._lost = 0
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._renewing: threading.Thread | None = None

    @property
    def held(self) -> bool:
        """Whether this process holds the lease, as far as it knows.

        It waits for nothing, also while another thread waits for the lease.
        """
        return self._record is not None and self._age() < self.seconds

    @property
    def lost(self) -> int:
        """How often another process took the lease while this one believed to hold it."""
        return self._lost

    @contextmanager
    def use(self) -> Iterator[int]:
        """Hold the lease inside the block, and yield its epoch; wait for another holder.

        Raises IndexStoreError where another process holds it for longer than `wait` seconds.
        """
        with self._lock:
            epoch = self._hold()
            self._users += 1
        try:
            yield epoch
        finally:
            with self._lock:
                self._users -= 1
                self._used = self._clock()

    def holder(self) -> str | None:
        """Return who has the lease, as it is stored; None where it was given back.

        A process that was killed has it until another one writes.
        """
        found = self._objects.get(NAME)
        if found is None:
            return None
        record = LeaseRecord.from_bytes(found[0], self._objects.url)
        return None if record.released else record.owner

    def verify(self) -> None:
        """Find out whether the lease was lost, as far as the storage can be reached."""
        with self._lock, suppress(IndexStoreError):
            self._renew()

    def release(self) -> None:
        """Give the lease back, so that the next writer need not wait; never raises."""
        with self._lock:
            record, tag = self._record, self._tag
            self._record = self._tag = None
        self._wake.set()
        if record is not None:
            with suppress(IndexStoreError):
                released = replace(record, released=True, token=secrets.token_hex(8))
                self._objects.put_if(NAME, released.to_bytes(), tag)
        thread = self._renewing
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _hold(self) -> int:
        record = self._record
        if record is not None and (self._age() < self.seconds or self._renew()):
            return record.epoch
        taken = self._take()
        self._renewing = threading.Thread(
            target=self._keep, args=(taken.epoch,), name="secondpass-lease", daemon=True
        )
        self._wake = threading.Event()
        self._renewing.start()
        return taken.epoch

    def _take(self) -> LeaseRecord:
        """Wait until the lease can be taken, and take it."""
        begun, seen_tag, seen_at = self._clock(), "", 0.0
        while True:
            found = self._objects.get(NAME)
            now = self._clock()
            other: LeaseRecord | None = None
            if found is not None:
                other = LeaseRecord.from_bytes(found[0], self._objects.url)
                if found[1] != seen_tag:
                    seen_tag, seen_at = found[1], now
            if other is None or other.released or now - seen_at >= other.seconds:
                record = LeaseRecord(
                    1 + (self._last_epoch() if other is None else other.epoch),
                    f"process {os.getpid()} on {socket.gethostname()}",
                    self.seconds,
                    secrets.token_hex(8),
                )
                tag = self._objects.put_if(
                    NAME, record.to_bytes(), None if found is None else found[1]
                )
                if tag is not None:
                    self._record, self._tag, self._renewed = record, tag, now
                    self._used = now
                    return record
            elif now - begun >= self.wait:
                raise IndexStoreError(
                    "another process writes to the index",
                    where=self._objects.url,
                    why=f"{other.owner} holds its lease, and renewed it within "
                    f"{other.seconds:g} seconds",
                    fix="Wait until it has finished, or stop it; its lease then ends by "
                    "itself.",
                    errno=errno.EBUSY,
                )
            time.sleep(_POLL_SECONDS)

    def _renew(self) -> bool:
        """Write the lease again; return False, and drop it, where another process has it."""
        record = self._record
        if record is None:
            return False
        started = self._clock()
        renewed = replace(record, token=secrets.token_hex(8))
        tag = self._objects.put_if(NAME, renewed.to_bytes(), self._tag)
        if tag is None:
            self._record = self._tag = None
            self._lost += 1
            return False
        self._record, self._tag, self._renewed = renewed, tag, started
        return True

    def _keep(self, epoch: int) -> None:
        """Renew the lease of this epoch until it is released, lost or idle."""
        wake = self._wake
        while not wake.wait(self.seconds / 3):
            with self._lock:
                if self._record is None or self._record.epoch != epoch:
                    return
                idle = not self._users and self._clock() - self._used >= self.idle
                # Where the storage cannot be reached, the next turn tries again.
                with suppress(IndexStoreError):
                    if not idle and not self._renew():
                        return
            if idle:
                self.release()
                return

    def _age(self) -> float:
        return self._clock() - self._renewed
