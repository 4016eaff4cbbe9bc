"""What is done with one file: read, cut, embedded and stored, or taken out.

From an uploaded file to the documents that the index stores.

The thread that indexes what was uploaded, beside the requests.
"""

from __future__ import annotations

import logging
import threading
import time
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from secondpass.errors import MissingExtraError, ReadError, SecondpassError
from secondpass.retrieve.loaders import SourceFile, office, read_file, sandbox, text
from secondpass.retrieve.loaders.files import suffix_of
from secondpass.server.cloudflare.filters import ITEM, Value
from secondpass.server.cloudflare.instance import Instance
from secondpass.server.cloudflare.instance_settings import chunking
from secondpass.server.cloudflare.items import Item, is_packed
from secondpass.server.cloudflare.jobs import MOST_ATTEMPTS
from secondpass.server.http_errors import HttpError
from secondpass.server.scheduler.queue import ClientDisconnectedError, OverloadedError
from secondpass.server.scheduler.scheduled_models import Ticket, while_wanted, with_ticket
from secondpass.types import Document

_MOST_ROWS = 20_000
_MOST_UNPACKED = 100_000_000
_ROWS = (".csv", ".tsv", ".jsonl")
_ZIPPED = (".docx", ".pptx")
_NO_TEXT_FIELD = "no text field was found"


def read_item(item: Item, path: Path, columns: Mapping[str, Value]) -> list[Document]:
    """Return the documents of a file, with the ids and the metadata that the index gets.

    A table without a column of text is read as plain text. Raises ReadError for a file that
    cannot be read, MissingExtraError where reading it needs a package, GoneError when the
    worker is told to leave off.
    """
    try:
        found = _read(path)
    except ReadError as error:
        if suffix_of(path) not in _ROWS or error.what != _NO_TEXT_FIELD:
            raise
        found = list(text.load(path, item.key))
    metadata = {ITEM: item.id, **columns}
    return [
        replace(document, id=item.document(number), metadata=metadata)
        for number, document in enumerate(d for d in found if d.text.strip())
    ]


def told(error: SecondpassError, item: Item, path: Path) -> str:
    """Return what to tell a client of an error: the file by its key, no path of this server."""
    if isinstance(error, MissingExtraError):
        return str(error)
    why = "" if error.why is None else f": {error.why}"
    fix = "" if error.fix is None else f". {error.fix}"
    text = f"{error.what}{why}{fix}"
    return text.replace(str(path), item.key).replace(path.name, item.key)


def _read(path: Path) -> list[Document]:
    suffix = suffix_of(path)
    if is_packed(suffix):
        raise ReadError(f"files that end in {suffix} are not read", fix="Unpack it first.")
    if suffix in _ZIPPED:
        _check_unpacked(path)
    left_off = threading.Event()

    def read() -> list[Document]:
        with sandbox.cancel_on(left_off):
            return list(_bounded(read_file(SourceFile(path, path.parent))))

    try:
        return while_wanted(read)
    except ClientDisconnectedError:
        left_off.set()
        office.sandbox().cancel()
        raise


def _bounded(documents: Iterator[Document]) -> Iterator[Document]:
    for number, document in enumerate(documents):
        if number >= _MOST_ROWS:
            raise ReadError(
                f"the file has more than {_MOST_ROWS:,} rows", fix="Upload it in parts."
            )
        yield document


def _check_unpacked(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(one.file_size for one in packed.infolist())
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ReadError("the file cannot be read", why=str(error)) from error
    if size > _MOST_UNPACKED:
        raise ReadError(
            "the file cannot be read",
            why=f"it unpacks to more than {_MOST_UNPACKED:,} bytes",
        )


_log = logging.getLogger("secondpass.server")


@dataclass(frozen=True, slots=True)
class _Outcome:
    status: str
    documents: int | None
    chunks: int | None
    error: str | None = None
    kind: str | None = None


def index_item(instance: Instance, item: Item) -> None:
    """Do with a file what it waits for, and record what came of it.

    Raises OverloadedError and GoneError, after the file was put back; whatever else goes
    wrong is the file's, and recorded.
    """
    started = time.perf_counter()
    try:
        if item.deleted:
            _take_out(instance, item)
            return
        outcome = _outcome(instance, item)
    except (OverloadedError, ClientDisconnectedError):
        instance.work.give_back(item)
        raise
    milliseconds = round((time.perf_counter() - started) * 1000)
    ended = instance.work.end(
        item,
        outcome.status,
        documents=outcome.documents,
        chunks=outcome.chunks,
        error=outcome.error,
    )
    instance.has_changed()
    if not ended:
        return
    instance.log.add(
        item,
        outcome.status,
        outcome.error,
        chunks=outcome.chunks,
        error=outcome.kind,
        milliseconds=milliseconds,
    )
    if item.job is not None:
        said = f"{item.key}: {outcome.status}"
        said = said if outcome.error is None else f"{said}, {outcome.error}"
        instance.jobs.note(item.job, said, bad=outcome.status == "error")
    instance.settled(item.id)


def chunks_of(instance: Instance, item: Item) -> list[Document]:
    """Return all chunks of a file that the index holds, in the order of its text."""
    index = instance.index()
    if ITEM not in index.fields:
        return []
    # The id is made here, of hexadecimal digits.
    found = index.iter_documents(filter=f"{ITEM} = '{item.id}'")
    return sorted((d for some in found for d in some), key=_place)


def _place(chunk: Document) -> tuple[int, int]:
    name, _, part = str(chunk.id).partition("#")
    return int(name.rpartition(".")[2]), int(part or 0)


def _outcome(instance: Instance, item: Item) -> _Outcome:
    path = instance.items.raw.path(item.file)
    if item.attempts >= MOST_ATTEMPTS:
        why = f"indexing it was begun {MOST_ATTEMPTS} times and never came to its end"
        return _Outcome("error", None, item.chunks, why, "interrupted")
    try:
        return _indexed(instance, item)
    except (OverloadedError, ClientDisconnectedError):
        raise
    except (ReadError, MissingExtraError) as error:
        # What the index holds is of the file that was there before.
        _remove(instance, item, range(item.documents))
        return _Outcome("error", 0, 0, told(error, item, path), "unreadable")
    except SecondpassError as error:
        return _Outcome("error", None, item.chunks, told(error, item, path), "failed")
    except Exception:  # noqa: BLE001 - one file must not end the indexing of all others
        if not instance.gone:
            _log.exception("item %s was not indexed", item.id)
        return _Outcome("error", None, item.chunks, "something went wrong", "failed")


def _indexed(instance: Instance, item: Item) -> _Outcome:
    settings = instance.settings
    path = instance.items.raw.path(item.file)
    documents = read_item(item, path, item.columns(instance.fields))
    before, now = item.documents, len(documents)
    instance.work.note_documents(item, now)
    size, overlap = chunking(settings)
    instance.index()
    instance.collection.add(documents, chunk_tokens=size, overlap=overlap)
    _remove(instance, item, range(now, before))
    if not documents:
        return _Outcome("skipped", 0, 0, "the file holds no text", "empty")
    return _Outcome("completed", now, len(chunks_of(instance, item)))


def _take_out(instance: Instance, item: Item) -> None:
    _remove(instance, item, range(item.documents))
    instance.items.raw.remove(item.file)
    instance.work.forget(item)
    instance.has_changed()
    instance.settled(item.id)


def _remove(instance: Instance, item: Item, numbers: Iterable[int]) -> None:
    ids = [item.document(number) for number in numbers]
    if ids:
        instance.index().delete(ids)


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
            except ClientDisconnectedError:
                self.wake(instance)
            except (SecondpassError, HttpError) as error:
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
