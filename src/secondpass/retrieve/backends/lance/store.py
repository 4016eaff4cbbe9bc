"""LanceDB store: a table in a folder, the default document store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from secondpass.errors import IndexStoreError, InputError, nearest
from secondpass.inference.unicode import clean
from secondpass.retrieve.backends.lance import schema
from secondpass.retrieve.backends.lance import table as lance_table
from secondpass.retrieve.backends.lance.migrations import migrate
from secondpass.retrieve.backends.lance.read import TABLE, LanceReader
from secondpass.retrieve.backends.lance.schema import fit_columns
from secondpass.retrieve.metadata import column_name, in_parts
from secondpass.retrieve.settings import FORMAT, IndexSettings, write_settings
from secondpass.retrieve.store_protocol import DocumentRecord, Passage
from secondpass.storage import exclusive
from secondpass.types import Document

LOCK = ".write.lock"
VECTOR_INDEX_FROM = 50_000
"""Below this many passages every vector is compared, which is exact and fast enough."""

UNINDEXED_SHARE = 0.2
"""Rows outside the text index, relative to those in it, above which it is rebuilt."""


class LanceStore(LanceReader):
    """A `DocumentStore` over one LanceDB table, opened by `open_index`.

    Several processes may write, one at a time; reads never wait, and see what other
    processes have committed. BM25 is Lucene's, with k1 1.2 and b 0.75, over title and text.
    """

    def __init__(
        self, folder: Path, settings: IndexSettings, *, version: int | None = None
    ) -> None:
        super().__init__(folder, settings, version=version)
        self._lock = threading.RLock()

    @staticmethod
    def create(folder: Path, settings: IndexSettings) -> None:
        """Create an empty table in a folder."""
        empty = schema.empty_schema(settings.dimension)
        lance_table.connect(folder).create_table(TABLE, schema=empty)

    @staticmethod
    def exists(folder: Path) -> bool:
        """Return whether a table was ever committed in the folder, damaged or not."""
        return any((folder / f"{TABLE}.lance" / "_versions").glob("*.manifest"))

    def ensure_text_index(self) -> None:
        """Build the text index, if there is none."""
        # Built while empty: no later search has to write, and the language stays the same.
        with self._writing("the index cannot be created") as table:
            if not self.has_text_index:
                lance_table.index_text(table, self.settings.language)

    @property
    def has_text_index(self) -> bool:
        """Whether the text index was built: the last step of making an index."""
        with self._guarded("the index cannot be read"):
            return bool(self._table.list_indices())

    def upsert(
        self,
        passages: Sequence[Passage],
        *,
        delete: Iterable[str] = (),
        files: Mapping[str, str | None] = MappingProxyType({}),
        records: Mapping[str, DocumentRecord] | None = None,
    ) -> bool:
        """Store documents in one atomic step, replacing all passages of each.

        The same step removes the documents `delete`, and records in `files` the digest of each
        file that is now stored completely; None for one that no longer is. With the `records`
        that the caller has seen of all these documents, nothing is written, and False returned,
        if another writer has changed one of them since.

        Raises InputError, before anything is written, for metadata of the wrong type.
        """
        import pyarrow as pa

        batch = list({(clean(p.doc_id), p.chunk): p for p in passages}.values())
        docs = dict.fromkeys(clean(p.doc_id) for p in batch)
        removed = [name for name in dict.fromkeys(map(clean, delete)) if name not in docs]
        digests = {clean(file): digest for file, digest in files.items()}
        if not (docs or removed or digests):
            return True
        with self._writing("the documents were not stored") as table:
            all_new = False
            if records is not None:
                now = self.lookup([*docs, *removed])
                if any(now.get(name) != records.get(name) for name in (*docs, *removed)):
                    return False
                all_new = not now and not digests
            changes = fit_columns(schema.metadata_kinds(table.schema), batch)
            lance_table.change_columns(table, changes)
            rows = schema.to_table(
                batch, changes.rows, table.schema, bare=self.settings.own_vectors
            )
            complete = {f: digest for f, digest in digests.items() if digest is not None}
            lance_table.gather_fragments(table)
            lance_table.replace(
                table,
                pa.concat_tables([rows, schema.files_table(complete, table.schema)]),
                documents=list(docs),
                removed=removed,
                files=[f for f in digests if f not in complete],
                all_new=all_new,
            )
            # Rows outside the text index are found, but its statistics do not count them.
            for column in lance_table.text_columns(table):
                if lance_table.unindexed_share(table, column) > UNINDEXED_SHARE:
                    # Not optimize(): that would rewrite all vectors each time.
                    lance_table.index_text(table, self.settings.language, column)
        return True

    def index_field(self, field: str) -> None:
        """Let `bm25` search this metadata column alone; a no-op the second time.

        Raises InputError for a field that does not exist or is not text.
        """
        if self.fields.get(field) != "text":
            raise InputError(f"{field!r} is not a text field", fix=nearest(field, self.fields))
        with self._writing("the field was not indexed") as table:
            column = column_name(field)
            if schema.words_column(column) not in lance_table.text_columns(table):
                lance_table.index_words(table, column, self.settings.language)

    def enable_vectors(self, dimension: int) -> None:
        """Accept passages with the caller's own vectors of this length from now on.

        Raises InputError where the store has vectors of another length, or an embedder's.
        """
        if dimension == self.dimension and self.settings.own_vectors:
            return
        if self.dimension or dimension < 1:
            raise InputError(
                f"vectors of {dimension} dimensions cannot be stored",
                where=self.place,
                why=f"this index has {self.dimension}" if self.dimension else None,
            )
        with self._writing("the vectors were not prepared") as table:
            # A crash after this leaves an empty column, which the next call replaces.
            lance_table.add_vectors(table, dimension)
            settings = replace(self.settings, dimension=dimension)
            write_settings(self.folder, settings)
            self._settings = settings

    def delete(self, ids: Iterable[str]) -> int:
        """Remove documents by id; return how many there were."""
        unique = list(dict.fromkeys(clean(i) for i in ids))
        deleted = 0
        with self._writing("the documents were not deleted") as table:
            for part in in_parts(schema.DOC, unique):
                deleted += _delete(table, f"{schema.PASSAGES} AND {part}")
        return deleted

    def delete_files(self, files: Iterable[str]) -> int:
        """Forget files, and remove the documents that were read from them; return how many."""
        deleted = 0
        with self._writing("the documents were not deleted") as table:
            for part in in_parts(schema.SOURCE, [clean(file) for file in files]):
                deleted += _delete(table, part)
        return deleted

    def files(self) -> dict[str, str | None]:
        """Return the files that documents were read from, each with its digest.

        None for a file that was not read to its end. Migrates an older index first, which has
        its files elsewhere.
        """
        if self._settings.format < FORMAT:
            with self._writing("the index was not migrated"):
                pass
        return super().files()

    def set_source(self, ids: Sequence[str], source: str) -> None:
        """Record that these documents are now in another file."""
        with self._writing("the documents were not updated") as table:
            for condition in in_parts(schema.DOC, [clean(i) for i in ids]):
                where = f"{schema.PASSAGES} AND {condition}"
                table.update(where=where, values={schema.SOURCE: clean(source)})

    def optimize(self, *, keep: timedelta = timedelta(days=7)) -> None:
        """Bring the search indexes up to date and merge small files.

        States older than `keep` can no longer be checked out. From 50,000 passages on,
        this also builds the vector index.
        """
        with self._writing("the index was not optimized") as table:
            self._optimize(table, keep)

    def _optimize(self, table: Any, keep: timedelta) -> None:
        table.optimize(cleanup_older_than=keep)
        if self.dimension and table.count_rows(schema.EMBEDDED) >= VECTOR_INDEX_FROM:
            lance_table.index_vectors(table)

    def publish_states(self, *, removed: bool = False) -> None:
        """Publish token states beside the passages; in a folder, they are there already.

        With `removed`, states were removed, and other machines are to remove theirs.
        """

    def when_removed(self, remove: Callable[[Iterator[list[Document]]], object]) -> None:
        """Call `remove` where another machine has removed states, with all passages.

        In a folder there is no other one.
        """

    def checkout(self, version: int) -> LanceStore:
        """Open one older state, for reading only; raises InputError where it is gone."""
        numbers = [v.number for v in self.versions()]
        if version not in numbers:
            raise InputError(
                f"there is no version {version}",
                where=self.place,
                why=f"versions {numbers[0]} to {numbers[-1]} can be read",
            )
        return LanceStore(self.folder, self.settings, version=version)

    @contextmanager
    def _writing(self, what: str) -> Iterator[Any]:
        if self._pinned is not None:
            raise IndexStoreError(
                what,
                where=self.place,
                why=f"this is version {self._pinned}, which is for reading only",
            )
        # The engine refuses concurrent commits; waiting for the other one loses no work.
        with self._lock, self._guarded(what), exclusive(self.folder / LOCK):
            table = self._table
            if self._settings.format < FORMAT:
                self._settings = migrate(table, self.folder)
            yield table


def _delete(table: Any, condition: str) -> int:
    """Delete rows; return of how many documents."""
    count = int(table.count_rows(f"{schema.FIRST_PASSAGE} AND {condition}"))
    if int(table.count_rows(condition)):
        table.delete(condition)
    return count
