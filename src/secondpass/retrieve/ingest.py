"""Files and documents into a first stage: only what has changed is cut and embedded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Literal

from secondpass.errors import InputError, MissingExtraError, ReadError
from secondpass.inference.unicode import clean
from secondpass.retrieve.chunking import (
    TokenCounter,
    approximate_tokens,
    check_chunking,
    passages,
)
from secondpass.retrieve.loaders import SourceFile, find_files, is_one_document, read_file
from secondpass.retrieve.manifest import Manifest, Scan, document_hash, scan
from secondpass.retrieve.store_protocol import (
    CountsTokens,
    FirstStage,
    Passage,
    Remembers,
    TextEncoder,
    searchable,
)
from secondpass.types import Document

_BATCH_CHARACTERS = 4_000_000

AsIndexed = Literal["index"]
"""As the index was made."""


@dataclass(slots=True)
class IngestReport:
    """What an ingest did.

    - `files`: read now; `files_unchanged`: skipped whole; `files_removed`: gone from their
      folder since the last time, and so from the index.
    - `documents`: read now, of which `added`, `updated`, `unchanged`, `empty` (without any
      text, not stored) or `duplicates` (an id that stood before in the same file; the last
      one counts).
    - `deleted`: documents taken out because their file no longer has them.
    - `passages`: written; `errors`: what could not be read; `seconds`: the time it took.
    """

    files: int = 0
    files_unchanged: int = 0
    files_removed: int = 0
    documents: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    empty: int = 0
    duplicates: int = 0
    deleted: int = 0
    passages: int = 0
    errors: list[ReadError] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class IngestProgress:
    """How far an ingest is: `total` is an estimate, from line counts; None if unknown."""

    documents: int
    total: int | None
    passages: int
    file: str | None


Progress = Callable[[IngestProgress], None]


def ingest(
    paths: Iterable[str | Path],
    store: FirstStage,
    embedder: TextEncoder | None,
    *,
    chunk_tokens: int | AsIndexed | None = "index",
    overlap: int | AsIndexed = "index",
    fields: Sequence[str] | None = None,
    count_tokens: TokenCounter | None = None,
    batch_size: int = 64,
    progress: Progress | None = None,
    on_error: Callable[[ReadError], None] | None = None,
) -> IngestReport:
    """Read files and folders into a store, and take out what they no longer hold.

    Every `batch_size` documents are stored in one atomic step, so an ingest that is
    stopped at any moment loses at most the batch at hand; run again, it embeds only what
    is not stored yet. Files with the same content as last time are skipped. A file that
    cannot be read goes to `on_error` and is left for the next time.

    Raises ReadError for such a file where there is no `on_error`, and always for a path
    that does not exist; InputError for metadata that does not fit that of the others.
    """
    work = _Work(store, embedder, chunk_tokens, overlap, count_tokens, batch_size)
    work.progress, work.on_error = progress, on_error
    work.manifest = manifest = Manifest(store.folder)
    settings = json.dumps([work.settings, None if fields is None else list(fields)])
    given = [Path(p).absolute() for p in paths]
    try:
        files = list(find_files(given))
        todo: list[tuple[SourceFile, Scan]] = []
        for file in files:
            try:
                seen = scan(file.path, settings)
            except ReadError as error:
                work.failed(error)
                continue
            if manifest.digest(str(file.path)) == seen.digest:
                work.report.files_unchanged += 1
            else:
                todo.append((file, seen))
        work.total = sum(1 if is_one_document(f.path) else s.lines for f, s in todo)
        for file, seen in todo:
            try:
                work.read(file, seen, fields)
            except ReadError as error:
                work.failed(error)
            except MissingExtraError as error:
                if on_error is None:
                    raise
                # One PDF in a folder of text must not stop the text.
                work.failed(ReadError(error.what, where=str(file.path), fix=error.fix))
        work.flush()
        _remove_gone(given, files, work, manifest)
        work.finish(optimize=True)
    finally:
        manifest.save()
    return work.report


def add_documents(
    documents: Iterable[Document],
    store: FirstStage,
    embedder: TextEncoder | None,
    *,
    chunk_tokens: int | AsIndexed | None = "index",
    overlap: int | AsIndexed = "index",
    count_tokens: TokenCounter | None = None,
    batch_size: int = 64,
    progress: Callable[[int], None] | None = None,
) -> IngestReport:
    """Store documents, each batch in one atomic step, replacing those of the same id.

    A document without an id gets one made of its content. Those that are stored already,
    with the same content, are left as they are. Raises InputError for metadata that does
    not fit that of the others; the batches before it stay stored. `progress` is called
    with the number of documents done since its last call.
    """
    work = _Work(store, embedder, chunk_tokens, overlap, count_tokens, batch_size)
    told = 0

    def tell(now: IngestProgress) -> None:
        nonlocal told
        if progress is not None and now.documents > told:
            progress(now.documents - told)
            told = now.documents

    work.progress = tell
    for document in documents:
        name = document_hash(document)[:32] if document.id is None else document.id
        work.add(replace(document, id=clean(name)), None)
    work.flush()
    # A few documents must not cost the rewriting of a large index.
    work.finish(optimize=work.report.passages > 0.2 * store.count())
    return work.report


class _Work:
    """The documents at hand, on their way into the store."""

    def __init__(
        self,
        store: FirstStage,
        embedder: TextEncoder | None,
        chunk_tokens: int | AsIndexed | None,
        overlap: int | AsIndexed,
        count_tokens: TokenCounter | None,
        batch_size: int,
    ) -> None:
        made = store.settings
        self.chunk_tokens = made.chunk_tokens if chunk_tokens == "index" else chunk_tokens
        self.overlap = made.overlap if overlap == "index" else overlap
        check_chunking(self.chunk_tokens, self.overlap)
        if batch_size < 1:
            raise InputError("batch_size is too small", why=f"it is {batch_size}")
        if store.dimension and embedder is None:
            raise InputError("this index needs an embedder", where=str(store.folder))
        self.store, self.batch_size = store, batch_size
        self.embedder = embedder if store.dimension else None
        if count_tokens is None and isinstance(embedder, CountsTokens):
            count_tokens = embedder.count_tokens
        self.count = approximate_tokens if count_tokens is None else count_tokens
        digest = "" if self.embedder is None else self.embedder.digest
        self.settings = json.dumps([digest, self.chunk_tokens, self.overlap])
        self.report = IngestReport()
        self.progress: Progress | None = None
        self.on_error: Callable[[ReadError], None] | None = None
        self.manifest: Manifest | None = None
        self.total: int | None = None
        self._began = perf_counter()
        self._file: str | None = None
        self._pending: dict[str, tuple[Document, str | None]] = {}
        self._characters = 0
        self._done: list[tuple[str, str, set[str] | None]] = []
        self._refused: set[str] = set()

    def read(self, file: SourceFile, seen: Scan, fields: Sequence[str] | None) -> None:
        """Take all documents of a file; it counts as read once they are stored."""
        source = self._file = str(file.path)
        # Of a file that was never read, nothing can have vanished.
        known = self.manifest is not None and source in self.manifest
        ids: set[str] = set()
        self.report.files += 1
        for document in read_file(file, fields):
            name = clean(str(document.id))
            self.report.duplicates += name in ids
            ids.add(name)
            self.add(replace(document, id=name), source)
        self._done.append((source, seen.digest, ids if known else None))

    def add(self, document: Document, source: str | None) -> None:
        """Take one document, and store a batch where that fills one."""
        name = str(document.id)
        self.report.documents += 1
        other = self._pending.get(name)
        if other is not None and other[1] != source:
            self._refuse(name, other[1], source)
            return
        # In the order of their last mention, so that the last one counts.
        self._pending.pop(name, None)
        self._pending[name] = (document, source)
        self._characters += len(document.text)
        full = len(self._pending) >= self.batch_size
        if full or self._characters >= _BATCH_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Store what is at hand, and note the files that are stored whole."""
        pending, self._pending, self._characters = self._pending, {}, 0
        manifest = self.manifest
        if manifest is not None:
            for source in {s for _, s in pending.values() if s is not None}:
                if source not in manifest:
                    manifest.set(source, None)
            # Before the documents: else a kill here would leave some of an unknown file.
            manifest.save()
        if pending:
            self._store(pending)
        for source, digest, ids in self._done:
            if ids is not None:
                self.report.deleted += self.store.delete(self.store.ids_from(source) - ids)
            if manifest is not None and source not in self._refused:
                manifest.set(source, digest)
        self._done.clear()
        if self.progress is not None:
            now = self.report
            self.progress(IngestProgress(now.documents, self.total, now.passages, self._file))

    def failed(self, error: ReadError) -> None:
        """Hand an error to the caller's function, or raise it where there is none."""
        if self.on_error is None:
            raise error
        self.report.errors.append(error)
        self.on_error(error)

    def finish(self, *, optimize: bool) -> None:
        """Close the report."""
        if optimize:
            self.store.optimize()
        self.report.seconds = perf_counter() - self._began

    def _store(self, pending: dict[str, tuple[Document, str | None]]) -> None:
        there = self.store.stored(list(pending))
        fresh: list[Passage] = []
        emptied: list[str] = []
        moved: dict[str, list[str]] = {}
        for name, (document, source) in pending.items():
            before = there.get(name)
            if before is not None and self._held_elsewhere(name, before.source, source):
                self._refuse(name, before.source, source)
                continue
            digest = document_hash(document, self.settings)
            if before is not None and before.hash == digest:
                self.report.unchanged += 1
                if source is not None and before.source != source:
                    moved.setdefault(source, []).append(name)
                continue
            cut = self._cut(name, document, source, digest)
            fresh += cut
            if not cut:
                self.report.empty += 1
                emptied += [name] if before is not None else []
            elif before is None:
                self.report.added += 1
            else:
                self.report.updated += 1
        self.store.upsert(list(self._embedded(fresh)))
        self.report.passages += len(fresh)
        self.report.deleted += self.store.delete(emptied)
        for source, names in moved.items():
            self.store.move(names, source)

    def _cut(
        self, name: str, document: Document, source: str | None, digest: str
    ) -> list[Passage]:
        cut = passages(
            document, name, self.count, chunk_tokens=self.chunk_tokens, overlap=self.overlap
        )
        return [replace(p, source=source, hash=digest) for p in cut]

    def _held_elsewhere(self, name: str, before: str | None, source: str | None) -> bool:
        if before is None or source is None or before == source:
            return False
        # Read again just now, and no longer with this document.
        left = any(s == before and i is not None and name not in i for s, _, i in self._done)
        return not left and Path(before).exists()

    def _refuse(self, name: str, first: str | None, second: str | None) -> None:
        if second is not None:
            self._refused.add(second)
        self.failed(
            ReadError(
                f"document id {name!r} is used by two files",
                where=f"{first} and {second}",
                fix="Index the folder that holds both, or give each its own index.",
            )
        )

    def _embedded(self, fresh: list[Passage]) -> Iterator[Passage]:
        if self.embedder is None or not fresh:
            yield from fresh
            return
        texts = [searchable(None if p.title is None else clean(p.title), p.text) for p in fresh]
        vectors = self.embedder.encode(texts)
        if isinstance(self.embedder, Remembers):
            self.embedder.remember(fresh)
        for passage, vector in zip(fresh, vectors, strict=True):
            yield replace(passage, embedding=vector)


def _remove_gone(
    given: list[Path], files: list[SourceFile], work: _Work, manifest: Manifest
) -> None:
    there = {str(file.path) for file in files}
    for root in (p for p in given if p.is_dir()):
        for source in manifest.under(root):
            if source not in there:
                work.report.deleted += work.store.delete(work.store.ids_from(source))
                work.report.files_removed += 1
                manifest.remove(source)
