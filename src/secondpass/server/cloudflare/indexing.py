"""Indexing of uploaded files: loading, chunking, storing, and the worker thread."""

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
from secondpass.server.cloudflare.filters import ITEM_COLUMN, ColumnValue
from secondpass.server.cloudflare.indexing_queue import MAX_ATTEMPTS
from secondpass.server.cloudflare.instance import Instance
from secondpass.server.cloudflare.instance_settings import chunking
from secondpass.server.cloudflare.items import Item, is_compressed
from secondpass.server.http_errors import HttpError
from secondpass.server.scheduler.queue import ClientDisconnectedError, OverloadedError
from secondpass.server.scheduler.scheduled_models import Ticket, run_abandonable, use_ticket
from secondpass.types import Document

_log = logging.getLogger("secondpass.server")
_MAX_ROWS = 20_000
_MAX_UNPACKED_BYTES = 100_000_000
_TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl")
_ZIP_SUFFIXES = (".docx", ".pptx")
_NO_TEXT_FIELD = "no text field was found"


def load_documents(
    item: Item, path: Path, columns: Mapping[str, ColumnValue]
) -> list[Document]:
    """Return the documents of an uploaded file, with their ids and metadata in the index.

    A table without a text column is read as plain text. Raises ReadError for a file that
    cannot be read, MissingExtraError if its loader needs a package, ClientDisconnectedError
    when the worker is stopped.
    """
    try:
        documents = _load(path)
    except ReadError as error:
        if suffix_of(path) not in _TABLE_SUFFIXES or error.what != _NO_TEXT_FIELD:
            raise
        documents = list(text.load(path, item.key))
    metadata = {ITEM_COLUMN: item.id, **columns}
    return [
        replace(document, id=item.document_id(number), metadata=metadata)
        for number, document in enumerate(d for d in documents if d.text.strip())
    ]


def _load(path: Path) -> list[Document]:
    suffix = suffix_of(path)
    if is_compressed(suffix):
        raise ReadError(f"files that end in {suffix} are not read", fix="Unpack it first.")
    if suffix in _ZIP_SUFFIXES:
        _check_unpacked_size(path)
    cancelled = threading.Event()

    def load() -> list[Document]:
        with sandbox.cancel_on(cancelled):
            return list(_limit_rows(read_file(SourceFile(path, path.parent))))

    try:
        return run_abandonable(load)
    except ClientDisconnectedError:
        cancelled.set()
        office.sandbox().cancel()
        raise


def _limit_rows(documents: Iterator[Document]) -> Iterator[Document]:
    for number, document in enumerate(documents):
        if number >= _MAX_ROWS:
            raise ReadError(
                f"the file has more than {_MAX_ROWS:,} rows", fix="Upload it in parts."
            )
        yield document


def _check_unpacked_size(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ReadError("the file cannot be read", why=str(error)) from error
    if size > _MAX_UNPACKED_BYTES:
        raise ReadError(
            "the file cannot be read",
            why=f"it unpacks to more than {_MAX_UNPACKED_BYTES:,} bytes",
        )


def _client_message(error: SecondpassError, item: Item, path: Path) -> str:
    """Return an error message with the key of the file instead of paths of this server."""
    if isinstance(error, MissingExtraError):
        return str(error)
    why = "" if error.why is None else f": {error.why}"
    fix = "" if error.fix is None else f". {error.fix}"
    message = f"{error.what}{why}{fix}"
    return message.replace(str(path), item.key).replace(path.name, item.key)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The result of indexing an item; counts are None if they are unknown."""

    status: str
    documents: int | None
    chunks: int | None
    error: str | None = None
    error_type: str | None = None


def process_item(instance: Instance, item: Item) -> None:
    """Index an item or remove it from the index, and record the outcome.

    Raises OverloadedError and ClientDisconnectedError, after putting the item back into the
    queue; any other error is recorded as the item's.
    """
    started = time.perf_counter()
    try:
        if item.is_deleted:
            _remove_item(instance, item)
            return
        outcome = _try_index(instance, item)
    except (OverloadedError, ClientDisconnectedError):
        instance.queue.put_back(item)
        raise
    milliseconds = round((time.perf_counter() - started) * 1000)
    unchanged = instance.queue.finish(
        item,
        outcome.status,
        documents=outcome.documents,
        chunks=outcome.chunks,
        error=outcome.error,
    )
    instance.mark_changed()
    if not unchanged:
        return
    instance.item_log.add(
        item,
        outcome.status,
        outcome.error,
        chunks=outcome.chunks,
        error=outcome.error_type,
        milliseconds=milliseconds,
    )
    if item.job is not None:
        message = f"{item.key}: {outcome.status}"
        message = message if outcome.error is None else f"{message}, {outcome.error}"
        instance.jobs.add_log(item.job, message, is_error=outcome.status == "error")
    instance.notify_item(item.id)


def item_chunks(instance: Instance, item: Item) -> list[Document]:
    """Return the chunks of an item in the index, in the order of its text."""
    index = instance.index()
    if ITEM_COLUMN not in index.fields:
        return []
    # The id is hexadecimal and needs no quoting.
    batches = index.iter_documents(filter=f"{ITEM_COLUMN} = '{item.id}'")
    return sorted((chunk for batch in batches for chunk in batch), key=_chunk_position)


def _chunk_position(chunk: Document) -> tuple[int, int]:
    return int(str(chunk.document_id).rpartition(".")[2]), chunk.chunk


def _try_index(instance: Instance, item: Item) -> _Outcome:
    path = instance.items.raw.path(item.file)
    if item.attempts >= MAX_ATTEMPTS:
        why = f"its indexing was started {MAX_ATTEMPTS} times and never finished"
        return _Outcome("error", None, item.chunks, why, "interrupted")
    try:
        return _index_item(instance, item)
    except (OverloadedError, ClientDisconnectedError):
        raise
    except (ReadError, MissingExtraError) as error:
        # The index holds the previous version of the file.
        _remove_documents(instance, item, range(item.documents))
        return _Outcome("error", 0, 0, _client_message(error, item, path), "unreadable")
    except SecondpassError as error:
        message = _client_message(error, item, path)
        return _Outcome("error", None, item.chunks, message, "failed")
    except Exception:  # noqa: BLE001 - one file must not stop the indexing of all others
        if not instance.is_deleted:
            _log.exception("item %s was not indexed", item.id)
        return _Outcome("error", None, item.chunks, "internal error", "failed")


def _index_item(instance: Instance, item: Item) -> _Outcome:
    settings = instance.settings
    path = instance.items.raw.path(item.file)
    documents = load_documents(item, path, item.index_columns(instance.fields))
    before, now = item.documents, len(documents)
    instance.queue.record_documents(item, now)
    size, overlap = chunking(settings)
    instance.index()
    instance.served_index.add(documents, chunk_tokens=size, overlap=overlap)
    _remove_documents(instance, item, range(now, before))
    if not documents:
        return _Outcome("skipped", 0, 0, "the file holds no text", "empty")
    return _Outcome("completed", now, len(item_chunks(instance, item)))


def _remove_item(instance: Instance, item: Item) -> None:
    _remove_documents(instance, item, range(item.documents))
    instance.items.raw.remove(item.file)
    instance.queue.remove(item)
    instance.mark_changed()
    instance.notify_item(item.id)


def _remove_documents(instance: Instance, item: Item, numbers: Iterable[int]) -> None:
    ids = [item.document_id(number) for number in numbers]
    if ids:
        instance.index().delete(ids)


_MAX_PAUSE = 5.0


class IndexingWorker:
    """A thread that indexes one item at a time, taking turns between instances.

    Requests go before it in the work queue. An item that is interrupted by the end of the
    process is indexed after the next start.
    """

    def __init__(self) -> None:
        self._instances: deque[Instance] = deque()
        self._condition = threading.Condition()
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
        """Stop the thread; the current item is put back."""
        with self._condition:
            self._stopping = True
            self._instances.clear()
            self._ticket.cancel()
            self._condition.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def schedule(self, instance: Instance) -> None:
        """Add an instance with waiting items."""
        with self._condition:
            if not self._stopping and instance not in self._instances:
                self._instances.append(instance)
                self._condition.notify_all()

    def cancel(self, instance: Instance) -> None:
        """Interrupt the item of an instance that is about to be deleted."""
        with self._condition:
            if self._current is instance:
                self._ticket.cancel()

    def _run(self, unfinished: Callable[[], Iterable[Instance]]) -> None:
        for instance in unfinished():
            self.schedule(instance)
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._instances or self._stopping)
                if self._stopping:
                    return
                instance = self._current = self._instances.popleft()
                self._ticket = Ticket()
            try:
                if self._process_next(instance):
                    self.schedule(instance)
            except OverloadedError as error:
                self._pause(error.retry_after)
                self.schedule(instance)
            except ClientDisconnectedError:
                self.schedule(instance)
            except (SecondpassError, HttpError) as error:
                if not instance.is_deleted:
                    _log.error("instance %s cannot be indexed: %s", instance.name, error)
            except Exception:  # noqa: BLE001 - the other instances must go on
                _log.exception("instance %s cannot be indexed", instance.name)
            finally:
                self._current = None

    def _process_next(self, instance: Instance) -> bool:
        """Process one item; return whether there may be more."""
        with instance.write_lock:
            if instance.is_deleted or instance.deleting or instance.settings["paused"]:
                return False
            item = instance.queue.take()
            if item is None:
                instance.jobs.complete_all_done()
                return False
            with use_ticket(self._ticket):
                process_item(instance, item)
            return True

    def _pause(self, seconds: float) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._stopping, min(seconds, _MAX_PAUSE))
