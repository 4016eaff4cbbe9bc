"""Indexing of one uploaded file: loading, chunking and storing, in steps."""

from __future__ import annotations

import logging
import threading
import time
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from secondpass.errors import MissingExtraError, ReadError, SecondpassError
from secondpass.retrieve.loaders import SourceFile, is_sparse, read_file, text
from secondpass.retrieve.loaders.base import UNREAD_HEAD
from secondpass.retrieve.loaders.files import suffix_of
from secondpass.retrieve.loaders.sandbox import Cancellation, ReadLimits
from secondpass.server.cloudflare.filters import ITEM_COLUMN, ColumnValue
from secondpass.server.cloudflare.indexing_queue import MAX_ATTEMPTS
from secondpass.server.cloudflare.instance import Instance
from secondpass.server.cloudflare.instance_settings import chunking
from secondpass.server.cloudflare.items import MAX_FILE_BYTES, Item, is_compressed
from secondpass.server.scheduler.queue import ClientDisconnectedError, OverloadedError
from secondpass.types import Document

_log = logging.getLogger("secondpass.server")
_MAX_ROWS = 20_000
_MAX_UNPACKED_BYTES = 100_000_000
_TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl")
_ZIP_SUFFIXES = (".docx", ".pptx")
_NO_TEXT_FIELD = "no text field was found"
_READ_SECONDS = 60
# About 64 passages: a second or two of embedding, which nothing interrupts.
_STEP_CHARACTERS = 64_000
_STEP_DOCUMENTS = 64
# Of the passages in the index, as when documents are added at once.
_OPTIMIZE_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """The documents of a file, how many characters were cut, and what else was left out.

    `skipped`: the rows that could not be read.
    """

    documents: list[Document]
    cut: int = 0
    left_out: Mapping[str, int] | None = None
    skipped: Sequence[ReadError] = ()


def load_file(item: Item, path: Path, cancellation: Cancellation) -> LoadedFile:
    """Return the documents of an uploaded file, without ids and metadata of the index.

    A file gives no more text than one of plain text could have. A table without a text column
    is read as plain text; a row that cannot be read is skipped. Raises ReadError for a file
    that cannot be read, MissingExtraError if its loader needs a package.
    """
    suffix = suffix_of(path)
    if is_compressed(suffix):
        raise ReadError(f"files that end in {suffix} are not read", fix="Unpack it first.")
    if suffix in _ZIP_SUFFIXES:
        _check_unpacked_size(path)
    limits = ReadLimits.from_environment(seconds=_READ_SECONDS, characters=MAX_FILE_BYTES)
    source = SourceFile(path, path.parent)
    try:
        with read_file(
            source, limits=limits, cancellation=cancellation, apart=True, strict=False
        ) as found:
            documents = list(_limit_rows(found))
    except ReadError as error:
        if suffix not in _TABLE_SUFFIXES or error.what != _NO_TEXT_FIELD:
            raise
        return LoadedFile(list(text.load(path, item.key)))
    return LoadedFile(documents, found.cut, found.left_out, found.skipped)


def _split_documents(
    item: Item,
    documents: Iterable[Document],
    columns: Mapping[str, ColumnValue],
    *,
    parts: bool,
) -> list[Document]:
    """Return the documents with their ids and metadata in the index; empty ones are dropped.

    `parts`: whether long texts are split into several, so that a step is short.
    """
    metadata = {ITEM_COLUMN: item.id, **columns}
    texts = (
        replace(document, text=part)
        for document in documents
        for part in (_split_text(document.text) if parts else [document.text])
        if part.strip()
    )
    return [
        replace(document, id=item.document_id(number), metadata=metadata)
        for number, document in enumerate(texts)
    ]


def _split_text(content: str) -> Iterator[str]:
    """Yield parts of up to `_STEP_CHARACTERS`, split at a paragraph, a line or a space."""
    start = 0
    while len(content) - start > _STEP_CHARACTERS:
        stop = start + _STEP_CHARACTERS
        lowest = start + _STEP_CHARACTERS // 2
        places = (content.rfind(mark, lowest, stop) for mark in ("\n\n", "\n", " "))
        stop = next((place + 1 for place in places if place >= 0), stop)
        yield content[start:stop]
        start = stop
    yield content[start:]


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    characters = 0
    for document in documents:
        full = characters + len(document.text) > _STEP_CHARACTERS
        if batch and (full or len(batch) >= _STEP_DOCUMENTS):
            yield batch
            batch, characters = [], 0
        batch.append(document)
        characters += len(document.text)
    if batch:
        yield batch


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
    """The result of indexing an item; counts are None if they are unknown.

    `error`: also what the client must know of a completed one.
    """

    status: str
    documents: int | None
    chunks: int | None
    error: str | None = None
    error_type: str | None = None
    log: str | None = None


class IndexingTask:
    """The indexing of one item, in steps; between two, others have their turn.

    A step stores one batch of documents. The file is loaded in a thread before the first.
    """

    def __init__(self, instance: Instance, item: Item) -> None:
        self.instance, self.item = instance, item
        self._began = time.perf_counter()
        self._cancellation = Cancellation()
        self._loaded: Future[LoadedFile] = Future()
        self._batches: deque[list[Document]] | None = None
        self._documents = self._passages = self._steps = 0

    @property
    def is_loading(self) -> bool:
        """Whether the file is still being loaded."""
        return not self._loaded.done()

    def start(self, when_loaded: Callable[[], None]) -> None:
        """Load the file in a thread, and call a function when that has ended."""
        if self.item.attempts >= MAX_ATTEMPTS:
            self._loaded.set_result(LoadedFile([]))
            return
        path = self.instance.items.raw.path(self.item.file)

        def load() -> None:
            try:
                self._loaded.set_result(load_file(self.item, path, self._cancellation))
            except BaseException as error:  # noqa: BLE001 - the first step raises it again
                self._loaded.set_exception(error)
            when_loaded()

        threading.Thread(target=load, name="secondpass-loading", daemon=True).start()

    def is_current(self) -> bool:
        """Return whether the item is still to be indexed, as it was when this began."""
        instance = self.instance
        if instance.is_deleted or instance.deleting or instance.settings["paused"]:
            return False
        return instance.queue.is_current(self.item)

    def cancel(self) -> None:
        """End the loading of the file, if it has not ended."""
        self._cancellation.cancel()

    def put_back(self) -> None:
        """End this, and queue the item again unless it has changed."""
        self.cancel()
        if not self.instance.is_deleted:
            self.instance.queue.put_back(self.item)

    def step(self) -> bool:
        """Store the next batch; return whether the item is finished, and its outcome recorded.

        Raises OverloadedError, after which it can be called again, and
        ClientDisconnectedError; any other error is the outcome.
        """
        outcome = self._try_step()
        self.instance.mark_changed()
        if outcome is None:
            return False
        _record(self.instance, self.item, outcome, time.perf_counter() - self._began)
        return True

    def _try_step(self) -> _Outcome | None:
        instance, item = self.instance, self.item
        path = instance.items.raw.path(item.file)
        if item.attempts >= MAX_ATTEMPTS:
            why = f"its indexing was started {MAX_ATTEMPTS} times and never finished"
            return _Outcome("error", None, item.chunks, why, "interrupted")
        try:
            return self._step()
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

    def _step(self) -> _Outcome | None:
        instance, item = self.instance, self.item
        loaded = self._loaded.result()
        size, overlap = chunking(instance.settings)
        if self._batches is None:
            columns = item.index_columns(instance.fields)
            documents = _split_documents(
                item, loaded.documents, columns, parts=size is not None
            )
            self._documents = len(documents)
            instance.queue.record_documents(item, self._documents)
            instance.index()
            self._batches = deque(_batches(documents))
        if self._batches:
            report = instance.served_index.add(
                self._batches[0], chunk_tokens=size, overlap=overlap
            )
            self._batches.popleft()
            self._passages += report.passages
            self._steps += 1
        if self._batches:
            return None
        _remove_documents(instance, item, range(self._documents, item.documents))
        index = instance.index()
        large = self._passages > _OPTIMIZE_SHARE * index.count_passages()
        if self._steps > 1 and large:
            index.optimize()
        if not self._documents:
            return _Outcome("skipped", 0, 0, "the file holds no text", "empty")
        chunks = len(item_chunks(instance, item))
        note, log = _notes(item, loaded)
        return _Outcome("completed", self._documents, chunks, note, log=log)


def _notes(item: Item, loaded: LoadedFile) -> tuple[str | None, str | None]:
    """Return what the client must know of a file that was indexed, and what its log says."""
    notes: list[str] = []
    if loaded.cut:
        notes.append(
            f"its last {loaded.cut:,} characters were not indexed: a file may have "
            f"{MAX_FILE_BYTES:,}"
        )
    if loaded.skipped:
        first = loaded.skipped[0]
        line = (first.where or "").rpartition(", ")[2]
        why = "" if first.why is None else f": {first.why}"
        count = len(loaded.skipped)
        notes.append(f"rows skipped: {count:,}, the first at {line}: {first.what}{why}")
    characters = sum(len(document.text.strip()) for document in loaded.documents)
    path = Path(item.file)
    table = suffix_of(path) in _TABLE_SUFFIXES
    if not table and is_sparse(path, item.size, characters):
        notes.append(f"it gave very little text for its size: {characters:,} characters")
    kinds = sorted((loaded.left_out or {}).items())
    notes += [f"kept as text: {kind}" for kind, _ in kinds if kind.startswith(UNREAD_HEAD)]
    left_out = [f"{n} {kind}" for kind, n in kinds if not kind.startswith(UNREAD_HEAD)]
    log = [*notes, *([f"left out: {', '.join(left_out)}"] if left_out else [])]
    return "; ".join(notes) or None, "; ".join(log) or None


def _record(instance: Instance, item: Item, outcome: _Outcome, seconds: float) -> None:
    unchanged = instance.queue.finish(
        item,
        outcome.status,
        documents=outcome.documents,
        chunks=outcome.chunks,
        error=outcome.error,
    )
    if not unchanged:
        return
    message = outcome.error if outcome.log is None else outcome.log
    instance.item_log.add(
        item,
        outcome.status,
        message,
        chunks=outcome.chunks,
        error=outcome.error_type,
        milliseconds=round(seconds * 1000),
    )
    if item.job is not None:
        line = f"{item.key}: {outcome.status}"
        line = line if message is None else f"{line}, {message}"
        instance.jobs.add_log(item.job, line, is_error=outcome.status == "error")
    instance.notify_item(item.id)


def remove_item(instance: Instance, item: Item) -> None:
    """Remove a deleted item from the index, with its file and its record."""
    _remove_documents(instance, item, range(item.documents))
    instance.items.raw.remove(item.file)
    instance.queue.remove(item)
    instance.mark_changed()
    instance.notify_item(item.id)


def _remove_documents(instance: Instance, item: Item, numbers: Iterable[int]) -> None:
    ids = [item.document_id(number) for number in numbers]
    if ids:
        instance.index().delete(ids)


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
