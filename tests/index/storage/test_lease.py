"""The lease: one writer at a time, whatever happens to it, and no two clocks compared."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from secondpass.errors import IndexStoreError
from secondpass.index.storage import lease as lease_module
from secondpass.index.storage.lease import NAME, Lease
from secondpass.index.storage.objects import FolderObjects
from tests.server.load import until


@pytest.fixture
def objects(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path / "objects")


class Clock:
    """A clock in seconds, which each look moves on."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def stopped(objects: FolderObjects, **more: float) -> Lease:
    """Return a lease whose holder never renews it: its thread waits for too long."""
    lease = Lease(objects, seconds=1000, clock=Clock())
    with lease.use():
        pass
    return lease


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "_POLL_SECONDS", 0.001)


def test_epochs_grow_with_the_writers(objects: FolderObjects) -> None:
    for epoch in (1, 2, 3):
        lease = Lease(objects)
        with lease.use() as one, lease.use() as other:
            assert one == other == epoch
        with lease.use() as again:
            assert again == epoch
        assert lease.held
        lease.release()
        assert not lease.held
        lease.release()


def test_another_writer_waits_until_it_is_released(objects: FolderObjects) -> None:
    one, other = Lease(objects), Lease(objects)
    with one.use():
        took = list[int]()

        def take() -> None:
            with other.use() as epoch:
                took.append(epoch)

        thread = threading.Thread(target=take)
        thread.start()
        assert took == []
    one.release()
    thread.join()
    assert took == [2]
    other.release()


def test_who_waits_in_vain_is_told_by_whom(objects: FolderObjects) -> None:
    holder = stopped(objects)
    with (
        pytest.raises(IndexStoreError, match="another process writes") as raised,
        Lease(objects, wait=0.0).use(),
    ):
        pass
    assert "process " in str(raised.value)
    assert raised.value.fix is not None
    holder.release()


def test_a_dead_holder_is_followed_by_the_clock_of_who_waits(objects: FolderObjects) -> None:
    dead = stopped(objects)
    waiting = Lease(objects, wait=5000, clock=Clock(step=100))
    with waiting.use() as epoch:
        assert epoch == 2
    # The first one notices at its next turn, and takes the next epoch after the second.
    dead._clock.now = 2000.0  # type: ignore[attr-defined]
    assert not dead.held
    waiting.release()
    with dead.use() as epoch:
        assert epoch == 3
    assert (dead.lost, waiting.lost) == (1, 0)
    dead.release()


def test_a_holder_that_renews_is_not_robbed(objects: FolderObjects) -> None:
    holder = Lease(objects, seconds=0.3)
    with holder.use():
        record = json.loads((objects.folder / NAME).read_bytes())
        changed: Callable[[], bool] = lambda: (  # noqa: E731
            json.loads((objects.folder / NAME).read_bytes())["token"] != record["token"]
        )
        until(changed)
        with pytest.raises(IndexStoreError), Lease(objects, wait=0.2).use():
            pass
        assert holder.held
    holder.release()


def test_an_idle_holder_gives_it_back(objects: FolderObjects) -> None:
    holder = Lease(objects, seconds=0.3, idle=0.0)
    with holder.use():
        pass
    until(lambda: not holder.held)
    until(lambda: json.loads((objects.folder / NAME).read_bytes())["released"])
    with holder.use() as epoch:
        assert epoch == 2
    holder.release()


def test_after_a_pause_a_lease_that_nobody_took_goes_on(objects: FolderObjects) -> None:
    holder = stopped(objects)
    holder._clock.now = 5000.0  # type: ignore[attr-defined]
    assert not holder.held
    with holder.use() as epoch:
        assert epoch == 1
    assert holder.lost == 0
    holder.release()


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b'{"epoch": 1}', b'{"epoch": 1, "owner": "x", "seconds": 1, '
     b'"token": "t", "released": false, "format": 2}'],
)  # fmt: skip
def test_another_object_is_left_as_it_is(objects: FolderObjects, content: bytes) -> None:
    objects.put_if(NAME, content, None)
    with (
        pytest.raises(IndexStoreError, match="lease of the index cannot be read"),
        Lease(objects).use(),
    ):
        pass
    found = objects.get(NAME)
    assert found is not None
    assert found[0] == content


def test_many_writers_take_turns(objects: FolderObjects) -> None:
    inside, epochs = list[int](), list[int]()

    def write() -> None:
        lease = Lease(objects)
        with lease.use() as epoch:
            inside.append(epoch)
            assert inside == [epoch]
            epochs.append(epoch)
            inside.remove(epoch)
        lease.release()

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(epochs) == list(range(1, 9))
