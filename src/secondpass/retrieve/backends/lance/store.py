"""LanceDB store: a table in a folder, the default document store."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from secondpass.errors import IndexStoreError, InputError, nearest
from secondpass.inference.unicode import clean
from secondpass.retrieve.backends.lance import schema
from secondpass.retrieve.backends.lance import table as lance_table
from secondpass.retrieve.backends.lance.migrations import migrate
from secondpass.retrieve.backends.lance.read import FIRST_PASSAGE, TABLE, LanceReader
from secondpass.retrieve.backends.lance.schema import fit_columns
from secondpass.retrieve.metadata import column_name, in_parts, one_of
from secondpass.retrieve.settings import FORMAT, IndexSettings, write_settings
from secondpass.retrieve.store_protocol import Passage
from secondpass.storage import exclusive

LOCK = ".write.lock"
VECTOR_INDEX_FROM = 50_000
"""Below this many passages every vector is compared, which is exact and fast enough."""

UNINDEXED_SHARE = 0.2
"""Rows outside the text index, relative to those in it, above which it is rebuilt."""
_CHUNK_ID = re.compile(r"#\d+\Z")


class LanceStore(LanceReader):
    """A `DocumentStore` over one LanceDB table, opened by `open_index`.

    Several processes may write, one at a time; reads never wait, and see what other
    processes have committed. BM25 is Lucene's, with k1 1.2 and b 0.75, over title and text.
    """

    def __init__(
        self, folder: Path, settings: IndexSettings, *, version: int | None = None
    ) -> None:
        super().__init__(folder, settings, version=version)
        self._lock = threading.Lock()

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

    def upsert(self, passages: Sequence[Passage]) -> None:
        """Store documents in one atomic step, replacing all passages of the same ids.

        Raises InputError, before anything is written, for metadata of the wrong type.
        """
        batch = list({clean(p.id): p for p in passages}.values())
        if not batch:
            return
        docs = list(dict.fromkeys(clean(p.doc_id) for p in batch))
        with self._writing("the documents were not stored") as table:
            self._check_ids(table, batch)
            changes = fit_columns(schema.metadata_kinds(table.schema), batch)
            lance_table.change_columns(table, changes)
            rows = schema.to_table(
                batch, changes.rows, table.schema, bare=self.settings.own_vectors
            )
            (
                table.merge_insert(schema.ID)
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .when_not_matched_by_source_delete(one_of(schema.DOC, docs))
                .execute(rows)
            )
            # Rows outside the text index are found, but its statistics do not count them.
            for column in lance_table.text_columns(table):
                if lance_table.unindexed_share(table, column) > UNINDEXED_SHARE:
                    # Not optimize(): that would rewrite all vectors each time.
                    lance_table.index_text(table, self.settings.language, column)

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
                where=str(self.folder),
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
            for condition in in_parts(schema.DOC, unique):
                count = int(table.count_rows(f"{FIRST_PASSAGE} AND {condition}"))
                if count:
                    table.delete(condition)
                deleted += count
        return deleted

    def set_source(self, ids: Sequence[str], source: str) -> None:
        """Record that these documents are now in another file."""
        with self._writing("the documents were not updated") as table:
            for condition in in_parts(schema.DOC, [clean(i) for i in ids]):
                table.update(where=condition, values={schema.SOURCE: clean(source)})

    def optimize(self, *, keep: timedelta = timedelta(days=7)) -> None:
        """Bring the search indexes up to date and merge small files.

        States older than `keep` can no longer be checked out. From 50,000 passages on,
        this also builds the vector index.
        """
        with self._writing("the index was not optimized") as table:
            table.optimize(cleanup_older_than=keep)
            if self.dimension and table.count_rows(schema.EMBEDDED) >= VECTOR_INDEX_FROM:
                lance_table.index_vectors(table)

    def checkout(self, version: int) -> LanceStore:
        """Open one older state, for reading only; raises InputError where it is gone."""
        numbers = [v.number for v in self.versions()]
        if version not in numbers:
            raise InputError(
                f"there is no version {version}",
                where=str(self.folder),
                why=f"versions {numbers[0]} to {numbers[-1]} can be read",
            )
        return LanceStore(self.folder, self.settings, version=version)

    @contextmanager
    def _writing(self, what: str) -> Iterator[Any]:
        if self._pinned is not None:
            raise IndexStoreError(
                what,
                where=str(self.folder),
                why=f"this is version {self._pinned}, which is for reading only",
            )
        # The engine refuses concurrent commits; waiting for the other one loses no work.
        with self._lock, self._guarded(what), exclusive(self.folder / LOCK):
            table = self._table
            if self._settings.format < FORMAT:
                self._settings = migrate(table, self.folder)
            yield table

    def _check_ids(self, table: Any, batch: list[Passage]) -> None:
        # Chunk 1 of document "a" and a document with id "a#1" would be the same row.
        owners = {clean(p.id): clean(p.doc_id) for p in batch if _CHUNK_ID.search(p.id)}
        for condition in in_parts(schema.ID, list(owners)):
            search = table.search().where(condition).select([schema.ID, schema.DOC])
            for row in search.limit(None).to_list():
                owner = owners[row[schema.ID]]
                if owner != row[schema.DOC]:
                    raise InputError(
                        f"two documents need the passage id {row[schema.ID]!r}",
                        where=f"documents {row[schema.DOC]!r} and {owner!r}",
                        fix="Rename one of them. Nothing of this batch was stored.",
                    )
