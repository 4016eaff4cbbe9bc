"""Ingestion of files and documents into a store; unchanged ones are not embedded again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from secondpass.errors import MissingExtraError, ReadError
from secondpass.inference.unicode import clean
from secondpass.retrieve.chunking import TokenCounter
from secondpass.retrieve.content_digest import Scan, document_hash, scan
from secondpass.retrieve.field_types import FieldTypes
from secondpass.retrieve.ingest_batches import AsIndexed, IngestBatches
from secondpass.retrieve.ingest_report import IngestProgress, IngestReport, Progress
from secondpass.retrieve.loaders import LOADERS, SourceFile, find_files, is_one_document
from secondpass.retrieve.loaders.files import suffix_of
from secondpass.retrieve.passage_maker import LOCAL, PassageMaker
from secondpass.retrieve.store_protocol import DocumentStore, TextEncoder
from secondpass.types import Document, to_id


def ingest(
    paths: Iterable[str | Path],
    store: DocumentStore,
    embedder: TextEncoder | None,
    *,
    chunk_tokens: int | AsIndexed | None = "index",
    overlap: int | AsIndexed = "index",
    fields: Sequence[str] | None = None,
    prefix_ids: bool = False,
    strict: bool = True,
    count_tokens: TokenCounter | None = None,
    batch_size: int = 64,
    progress: Progress | None = None,
    on_error: Callable[[ReadError], None] | None = None,
    maker: PassageMaker = LOCAL,
) -> IngestReport:
    """Read files and folders into a store, and delete documents they no longer contain.

    Every `batch_size` documents are stored in one atomic step, so an ingest that is
    interrupted loses at most the current batch; run again, it embeds only what is not stored
    yet. Files with the same content as last time are skipped. For a file that cannot be read,
    `on_error` is called, and the file is read again the next time. Of two files with the same
    id the first keeps it, and `on_error` is called once for the two. `prefix_ids` puts the
    path of the file before the ids of rows, as in `2024/jan.csv:7`. The types of metadata
    fields are decided for all files of the run (see `FieldTypes`). If `strict` is false, a row
    that cannot be read or has values of other types is skipped, and its file is read again the
    next time. `maker` may read files and make passages elsewhere, ahead of the batch that is
    stored; what is stored, and in which order, is the same.

    Raises ReadError for such a file if there is no `on_error`, and always for a path that
    does not exist; InputError for metadata whose type differs from the stored field's.
    """
    work = IngestBatches(store, embedder, chunk_tokens, overlap, count_tokens, batch_size)
    work.progress, work.on_error = progress, on_error
    work.prefix_ids, work.maker = prefix_ids, maker
    # Before the files are listed: one that another ingest adds meanwhile is not missing.
    work.recorded = recorded = store.files()
    prefix = ["prefix_ids"] if prefix_ids else []
    settings = json.dumps([work.settings, None if fields is None else list(fields), *prefix])
    roots = [Path(p).absolute() for p in paths]
    files = list(find_files(roots, work.report.other_formats))
    changed: list[tuple[SourceFile, Scan]] = []
    for file in files:
        try:
            version = LOADERS[suffix_of(file.path)].version
            scanned = scan(file.path, settings if version == 1 else f"{version} {settings}")
        except ReadError as error:
            work.handle_error(error)
            continue
        if recorded.get(clean(str(file.path))) == scanned.digest:
            work.report.files_unchanged += 1
        else:
            changed.append((file, scanned))
    work.total = sum(1 if is_one_document(f.path) else s.lines for f, s in changed)
    found = [file for file, _ in changed]
    work.types = FieldTypes.of_files(found, store.fields, fields, strict=strict)
    work.strict = strict
    maker.expect([file for file in found if is_one_document(file.path)])
    for file, scanned in changed:
        try:
            work.read(file, scanned, fields)
        except ReadError as error:
            work.handle_error(error)
        except MissingExtraError as error:
            if on_error is None:
                raise
            # One PDF in a folder of text files must not stop the ingest.
            work.handle_error(ReadError(error.what, where=str(file.path), fix=error.fix))
    # The estimate counts headers and blank lines, too.
    work.total = work.report.documents
    work.flush()
    work.store_waiting(0)
    _delete_missing(roots, files, work)
    work.finish(optimize=True)
    return work.report


def add_documents(
    documents: Iterable[Document],
    store: DocumentStore,
    embedder: TextEncoder | None,
    *,
    chunk_tokens: int | AsIndexed | None = "index",
    overlap: int | AsIndexed = "index",
    count_tokens: TokenCounter | None = None,
    batch_size: int = 64,
    progress: Callable[[int], None] | None = None,
) -> IngestReport:
    """Store documents, each batch in one atomic step, replacing those with the same id.

    A document without an id gets one derived from its content. Documents that are stored
    already with the same content are skipped. Raises InputError for metadata whose type
    differs from the stored field's; the batches before it stay stored. `progress` is called
    with the number of documents done since its last call.
    """
    work = IngestBatches(store, embedder, chunk_tokens, overlap, count_tokens, batch_size)
    reported = 0

    def report_progress(now: IngestProgress) -> None:
        nonlocal reported
        if progress is not None and now.documents > reported:
            progress(now.documents - reported)
            reported = now.documents

    work.progress = report_progress
    for document in documents:
        key = to_id(document.id)
        name = document_hash(document)[:32] if key is None else str(key)
        work.add(replace(document, id=clean(name)), None)
    work.flush()
    work.store_waiting(0)
    # A few documents must not cost a rewrite of a large index.
    work.finish(optimize=work.report.passages > 0.2 * store.count_passages())
    return work.report


def _delete_missing(roots: list[Path], files: list[SourceFile], work: IngestBatches) -> None:
    """Delete the documents of recorded files that are no longer in their folder."""
    present = {clean(str(file.path)) for file in files}
    folders = [path for path in roots if path.is_dir()]
    missing = [
        source
        for source in work.recorded
        if source not in present and any(Path(source).is_relative_to(f) for f in folders)
    ]
    if missing:
        work.report.deleted += work.store.delete_files(missing)
        work.report.files_removed += len(missing)
