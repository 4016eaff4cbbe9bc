"""Documents of an ingest, collected in batches that are stored in one atomic step each."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Literal

from secondpass.errors import InputError, ReadError
from secondpass.inference.unicode import clean
from secondpass.retrieve.chunking import (
    TokenCounter,
    approximate_tokens,
    check_chunking,
    split_document,
)
from secondpass.retrieve.content_digest import Scan, document_hash
from secondpass.retrieve.field_types import FieldTypes
from secondpass.retrieve.ingest_report import IngestProgress, IngestReport, Progress
from secondpass.retrieve.loaders import (
    FileRead,
    SourceFile,
    is_one_document,
    is_sparse,
    locate_rows,
)
from secondpass.retrieve.loaders.base import UNREAD_HEAD
from secondpass.retrieve.passage_maker import LOCAL, PassageMaker, embed_passages
from secondpass.retrieve.store_protocol import (
    CountsTokens,
    DocumentStore,
    Passage,
    TextEncoder,
)
from secondpass.types import Document

_BATCH_CHARACTERS = 4_000_000
_MAX_BLANK = 20

AsIndexed = Literal["index"]
"""The value in the index's settings."""


@dataclass(slots=True)
class _Batch:
    """The passages of a batch, and what becomes of its documents; `moved` by their new file."""

    passages: list[Passage] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    moved: dict[str, list[str]] = field(default_factory=dict)
    conflicts: list[tuple[str, str | None, str | None]] = field(default_factory=list)


_ReadFile = tuple[str, str, set[str] | None]
"""A file that was read: its path, its digest, and its ids if they are all known."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A batch whose passages are being made, and the files that are complete with it."""

    pending: dict[str, tuple[Document, str | None]]
    files: list[_ReadFile]
    made: Callable[[], Mapping[str, Sequence[Passage]]] | None


class IngestBatches:
    """One ingest: the batch being collected, the report, and the files being read."""

    def __init__(
        self,
        store: DocumentStore,
        embedder: TextEncoder | None,
        chunk_tokens: int | AsIndexed | None,
        overlap: int | AsIndexed,
        count_tokens: TokenCounter | None,
        batch_size: int,
    ) -> None:
        index = store.settings
        self.chunk_tokens = index.chunk_tokens if chunk_tokens == "index" else chunk_tokens
        self.overlap = index.overlap if overlap == "index" else overlap
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
        self.recorded: dict[str, str | None] = {}
        self.prefix_ids = False
        self.types: FieldTypes | None = None
        self.strict = True
        self.total: int | None = None
        self._began = perf_counter()
        self._file: str | None = None
        self._pending: dict[str, tuple[Document, str | None]] = {}
        self._characters = 0
        self._read_files: list[_ReadFile] = []
        self.maker: PassageMaker = LOCAL
        self._waiting: deque[_Waiting] = deque()
        self._stored: set[str] = set()
        self._written: Counter[str] = Counter()
        self._conflicting: set[str] = set()
        self._reported_conflicts: set[tuple[str | None, str | None]] = set()

    def read(self, file: SourceFile, scanned: Scan, fields: Sequence[str] | None) -> None:
        """Add all documents of a file; it counts as read once they are stored."""
        kinds = None if self.types is None else self.types.kinds
        documents = self.maker.read(file, fields, kinds=kinds, strict=self.strict)
        misfits: dict[int, str] = {}
        blank: list[int] = []
        self.report.files += 1
        try:
            self._read(file, scanned, documents, misfits, blank, fields)
        finally:
            self._report_rows(file, documents.skipped, misfits, blank, fields)

    def _read(
        self,
        file: SourceFile,
        scanned: Scan,
        documents: FileRead,
        misfits: dict[int, str],
        blank: list[int],
        fields: Sequence[str] | None,
    ) -> None:
        """Add the documents of a file, and the positions of those that are not stored."""
        source = self._file = clean(str(file.path))
        # A file that was never read cannot have lost a document.
        known = source in self.recorded
        ids: set[str] = set()
        prefixed = self.prefix_ids and not is_one_document(file.path)
        characters = 0
        for position, document in enumerate(documents):
            characters += len(document.text.strip())
            name = clean(str(document.id))
            # Rows without an id are called by their file already.
            if prefixed and not name.startswith(f"{file.name}:"):
                name = clean(f"{file.name}:{name}")
            self.report.duplicates += name in ids
            # The stored version of a row that is skipped stays.
            ids.add(name)
            misfit = None if self.types is None else self.types.misfit(document)
            if misfit is not None:
                if self.strict:
                    where = locate_rows(file, [position], fields, documents.skipped)[0]
                    raise _misfit_error(name, where, misfit)
                misfits[position] = misfit
                continue
            if not document.text.strip() and not (document.title or "").strip():
                blank.append(position)
            self.add(replace(document, id=name), source)
        self._count_losses(source, documents)
        if is_one_document(file.path) and is_sparse(file.path, scanned.size, characters):
            self.report.sparse.append(source)
        if misfits or documents.skipped:
            self._conflicting.add(source)
        # The id of a row that cannot be read is unknown: what is stored of the file stays.
        complete = known and not documents.skipped
        self._read_files.append((source, scanned.digest, ids if complete else None))

    def add(self, document: Document, source: str | None) -> None:
        """Add one document to the batch, and store the batch if it is full."""
        name = str(document.id)
        self.report.documents += 1
        other = self._pending.get(name)
        if other is not None and other[1] != source:
            self._report_conflict(name, other[1], source)
            return
        # Removed first, so that the batch is in the order of the last occurrences.
        self._pending.pop(name, None)
        self._pending[name] = (document, source)
        self._characters += len(document.text)
        full = len(self._pending) >= self.batch_size
        if full or self._characters >= _BATCH_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Begin to make the batch's passages, and store those of batches before it.

        With the batch, the files that are stored completely are recorded.
        """
        pending, self._pending, self._characters = self._pending, {}, 0
        files, self._read_files = self._read_files, []
        ahead = self.maker.ahead
        made = self.maker.start(self._changed(pending)) if ahead else None
        self._waiting.append(_Waiting(pending, files, made))
        self.store_waiting(ahead)

    def _changed(
        self, pending: Mapping[str, tuple[Document, str | None]]
    ) -> list[tuple[str, Document]]:
        """Return the documents that are not stored as they are, as far as is known now."""
        records = self.store.lookup(list(pending))
        return [
            (name, document)
            for name, (document, _) in pending.items()
            if name not in records
            or records[name].hash != document_hash(document, self.settings)
        ]

    def store_waiting(self, leave: int) -> None:
        """Store batches, the oldest first, until only so many wait for their passages."""
        while len(self._waiting) > leave:
            waiting = self._waiting.popleft()
            made = {} if waiting.made is None else waiting.made()
            while not self._store(waiting, made):
                pass
            self._report_progress()

    def _report_progress(self) -> None:
        if self.progress is not None:
            now = self.report
            self.progress(IngestProgress(now.documents, self.total, now.passages, self._file))

    def _count_losses(self, source: str, documents: FileRead) -> None:
        if documents.cut:
            self.report.cut[source] = documents.cut
        for kind, count in documents.left_out.items():
            if kind.startswith(UNREAD_HEAD):
                self.report.kept_as_text[source] = kind
                continue
            self.report.left_out[kind] = self.report.left_out.get(kind, 0) + count

    def handle_error(self, error: ReadError) -> None:
        """Report an error to `on_error`, or raise it if there is none."""
        if self.on_error is None:
            raise error
        self.report.errors.append(error)
        self.on_error(error)

    def finish(self, *, optimize: bool) -> None:
        """Optimize the store if requested, and complete the report."""
        if optimize:
            self.store.optimize()
        self.report.stored = len(self._stored)
        if self.maker.ahead:
            self.report.differences = self._compare()
        self.report.seconds = perf_counter() - self._began

    def _compare(self) -> list[str]:
        """Return where the index has other passages of a document than were stored."""
        counts = self.store.count_by_document()
        written = {name: self._written.get(name, 0) for name in self._stored}
        return [
            f"document {name!r}: {expected or 'some'} passages were stored, the index has "
            f"{counts.get(name, 0)}"
            for name, expected in sorted(written.items())
            if (counts.get(name, 0) != expected if expected else name not in counts)
        ]

    def _store(self, waiting: _Waiting, made: Mapping[str, Sequence[Passage]]) -> bool:
        """Store a batch and what is known of its files, in one atomic step.

        Returns False, having stored nothing, if another process has changed one of the
        documents meanwhile.
        """
        pending = waiting.pending
        records = self.store.lookup(list(pending))
        batch = _Batch()
        for name, (document, source) in pending.items():
            record = records.get(name)
            if record is not None and self._is_in_other_file(
                name, record.source, source, waiting.files
            ):
                batch.conflicts.append((name, record.source, source))
                continue
            digest = document_hash(document, self.settings)
            if record is not None and record.hash == digest:
                batch.unchanged.append(name)
                if source is not None and record.source != source:
                    batch.moved.setdefault(source, []).append(name)
                continue
            chunks = self._split(name, document, made.get(name))
            chunks = [replace(chunk, source=source, hash=digest) for chunk in chunks]
            batch.passages += chunks
            if not chunks:
                batch.empty.append(name)
            elif record is None:
                batch.added.append(name)
            else:
                batch.updated.append(name)
        self._conflicting |= {source for *_, source in batch.conflicts if source is not None}
        for source, names in batch.moved.items():
            self.store.set_source(names, source)
        removed = self._removed(batch, waiting.files)
        records |= self.store.lookup(removed)
        deleted = [*(name for name in batch.empty if name in records), *removed]
        files = self._files(waiting, changed=bool(batch.passages or deleted))
        if batch.passages or deleted or files:
            passages = embed_passages(batch.passages, self.embedder)
            if not self.store.upsert(passages, delete=deleted, files=files, records=records):
                return False
        self.recorded |= files
        self._count(batch, len(deleted))
        for conflict in batch.conflicts:
            self._report_conflict(*conflict)
        return True

    def _removed(self, batch: _Batch, files: Sequence[_ReadFile]) -> list[str]:
        """Return the documents that the files of a batch no longer have."""
        removed: set[str] = set()
        for source, _, ids in files:
            if ids is not None:
                removed |= self.store.ids_by_source(source) - ids
        return sorted(removed - {*batch.added, *batch.updated})

    def _files(self, waiting: _Waiting, *, changed: bool) -> dict[str, str | None]:
        """Return the digests to record: of files that are complete with this batch.

        None for a recorded file of which only a part is as it now is.
        """
        complete = {
            source: digest
            for source, digest, _ in waiting.files
            if source not in self._conflicting
        }
        files: dict[str, str | None] = dict(complete)
        if changed:
            touched = [source for _, source in waiting.pending.values()]
            touched += [source for source, *_ in waiting.files]
            for source in touched:
                if source is not None and self.recorded.get(source) is not None:
                    files.setdefault(source, None)
        return files

    def _count(self, batch: _Batch, deleted: int) -> None:
        report = self.report
        report.added += len(batch.added)
        report.updated += len(batch.updated)
        report.unchanged += len(batch.unchanged)
        report.empty += len(batch.empty)
        report.passages += len(batch.passages)
        report.deleted += deleted
        self._stored |= {*batch.added, *batch.updated, *batch.unchanged}
        self._stored -= set(batch.empty)
        if self.maker.ahead:
            for name in (*batch.added, *batch.updated, *batch.empty):
                self._written.pop(name, None)
            self._written.update(passage.doc_id for passage in batch.passages)

    def _split(
        self, name: str, document: Document, made: Sequence[Passage] | None
    ) -> Sequence[Passage]:
        if made is not None:
            return made
        passages = split_document(
            document, name, self.count, chunk_tokens=self.chunk_tokens, overlap=self.overlap
        )
        return list(passages)

    def _is_in_other_file(
        self,
        name: str,
        stored: str | None,
        source: str | None,
        files: Sequence[_ReadFile],
    ) -> bool:
        if stored is None or source is None or stored == source:
            return False
        # That file was read again in this batch, and no longer has the document.
        removed = any(
            file == stored and ids is not None and name not in ids for file, _, ids in files
        )
        return not removed and Path(stored).exists()

    def _report_conflict(self, name: str, first: str | None, second: str | None) -> None:
        if second is not None:
            self._conflicting.add(second)
        self.report.conflicts += 1
        if (first, second) in self._reported_conflicts:
            return
        self._reported_conflicts.add((first, second))
        self.handle_error(
            ReadError(
                f"document id {name!r} is used by two files",
                where=f"{first} and {second}",
                why="the first file keeps it, and the documents of the second that have an id "
                "of the first are left out",
                fix="Put the file before the ids of rows, as in 'jan.csv:1', with "
                "--prefix-ids (in a program prefix_ids=True), or index the files into two "
                "folders.",
            )
        )

    def _report_rows(
        self,
        file: SourceFile,
        unread: list[ReadError],
        misfits: dict[int, str],
        blank: list[int],
        fields: Sequence[str] | None,
    ) -> None:
        self.report.documents += len(misfits) + len(unread)
        self.report.skipped += unread
        if misfits:
            places = locate_rows(file, misfits.keys(), fields, unread)
            for where, why in zip(places, misfits.values(), strict=True):
                self.report.skipped.append(ReadError("a row was skipped", where=where, why=why))
        first = set(blank[: _MAX_BLANK - len(self.report.blank)])
        if first:
            self.report.blank += locate_rows(file, first, fields, unread)


def _misfit_error(name: str, where: str, why: str) -> InputError:
    return InputError(
        f"the metadata of document {name!r} cannot be stored",
        where=where,
        why=why,
        fix="Correct it, or skip such rows: without --strict (in a program strict=False).",
    )
