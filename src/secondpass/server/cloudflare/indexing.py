"""What is done with one file: read, cut, embedded and stored, or taken out."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

from secondpass.errors import MissingExtraError, ReadError, SecondpassError
from secondpass.server.cloudflare.fields import ITEM
from secondpass.server.cloudflare.instance import Instance
from secondpass.server.cloudflare.instance_settings import chunking
from secondpass.server.cloudflare.item import Item
from secondpass.server.cloudflare.reading import read_item, told
from secondpass.server.cloudflare.work import MOST_ATTEMPTS
from secondpass.server.scheduler.jobs import GoneError, OverloadedError
from secondpass.types import Document

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
    except (OverloadedError, GoneError):
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
    if ITEM not in index.store.fields:
        return []
    # The id is made here, of hexadecimal digits.
    found = index.store.each_document(filter=f"{ITEM} = '{item.id}'")
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
    except (OverloadedError, GoneError):
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
