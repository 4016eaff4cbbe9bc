"""The default first stage: a LanceDB table in a folder."""

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
from secondpass.retrieve.backends.lance import schema as r
from secondpass.retrieve.backends.lance import table as t
from secondpass.retrieve.backends.lance.read import FIRST, TABLE, LanceReader
from secondpass.retrieve.backends.lance.schema import plan
from secondpass.retrieve.metadata import in_parts, one_of
from secondpass.retrieve.settings import IndexSettings, write_settings
from secondpass.retrieve.store_protocol import Passage
from secondpass.storage import exclusive

LOCK = ".write.lock"
VECTOR_INDEX_FROM = 50_000
"""Below this many passages every vector is compared, which is exact and fast enough."""

UNINDEXED_SHARE = 0.2
"""How many rows may wait for the text index, as a share of those in it."""
_CHUNK_ID = re.compile(r"#\d+\Z")


class LanceStore(LanceReader):
    """A first stage over one LanceDB table; see `FirstStage` for what each method does.

    Made by `open_index`. Several processes may write, one at a time; reads never wait, and
    see what other processes have committed. BM25 is Lucene's,
    with k1 1.2 and b 0.75, over title and text.
    """

    def __init__(
        self, folder: Path, settings: IndexSettings, *, version: int | None = None
    ) -> None:
        super().__init__(folder, settings, version=version)
        self._lock = threading.Lock()

    @staticmethod
    def create(folder: Path, settings: IndexSettings) -> None:
        """Make an empty table in a folder."""
        t.connect(folder).create_table(TABLE, schema=r.empty_schema(settings.dimension))

    @staticmethod
    def exists(folder: Path) -> bool:
        """Return whether a table was ever committed in the folder, damaged or not."""
        return any((folder / f"{TABLE}.lance" / "_versions").glob("*.manifest"))

    def finish(self) -> None:
        """Make the text index, if that was not done yet."""
        # Made while empty: no later search has to write, and the language stays the same.
        with self._writing("the index cannot be made") as table:
            if not self.finished:
                t.index_text(table, self.settings.language)

    @property
    def finished(self) -> bool:
        """Whether the text index was made."""
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
            change = plan(r.metadata_kinds(table.schema), batch)
            t.evolve(table, change)
            (
                table.merge_insert(r.ID)
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .when_not_matched_by_source_delete(one_of(r.DOC, docs))
                .execute(
                    r.to_table(batch, change.rows, table.schema, bare=self.settings.own_vectors)
                )
            )
            # Rows outside the text index are found, but their BM25 lacks its statistics.
            for column in t.text_columns(table):
                if t.unindexed_share(table, column) > UNINDEXED_SHARE:
                    # Not optimize(): that would rewrite all vectors each time.
                    t.index_text(table, self.settings.language, column)

    def index_field(self, field: str) -> None:
        """Let `bm25` search this metadata column alone; does nothing the second time.

        Raises InputError for a field that is not there, or that is no text.
        """
        if self.fields.get(field) != "text":
            raise InputError(f"{field!r} is no field of text", fix=nearest(field, self.fields))
        with self._writing("the field was not indexed") as table:
            if field not in t.text_columns(table):
                t.index_text(table, self.settings.language, field)

    def start_vectors(self, dimension: int) -> None:
        """Let passages bring vectors of this length, from now on; those there have none.

        Raises InputError where there are vectors of another length, or of an embedder.
        """
        if dimension == self.dimension and self.settings.own_vectors:
            return
        if self.dimension or dimension < 1:
            raise InputError(
                f"vectors of {dimension} numbers cannot be stored",
                where=str(self.folder),
                why=f"those of this index have {self.dimension}" if self.dimension else None,
            )
        with self._writing("the vectors were not prepared") as table:
            # A crash after this leaves a column that nobody has written to.
            t.add_vectors(table, dimension)
            settings = replace(self.settings, dimension=dimension)
            write_settings(self.folder, settings)
            self._settings = settings

    def delete(self, ids: Iterable[str]) -> int:
        """Remove documents by id; return how many there were."""
        known = list(dict.fromkeys(clean(i) for i in ids))
        gone = 0
        with self._writing("the documents were not deleted") as table:
            for condition in in_parts(r.DOC, known):
                there = int(table.count_rows(f"{FIRST} AND {condition}"))
                if there:
                    table.delete(condition)
                gone += there
        return gone

    def move(self, ids: Sequence[str], source: str) -> None:
        """Record that these documents now stand in another file."""
        with self._writing("the documents were not updated") as table:
            for condition in in_parts(r.DOC, [clean(i) for i in ids]):
                table.update(where=condition, values={r.SOURCE: clean(source)})

    def optimize(self, *, keep: timedelta = timedelta(days=7)) -> None:
        """Bring the indexes up to date and merge small files.

        States older than `keep` can no longer be checked out. From 50,000 passages on,
        this also makes the vector index.
        """
        with self._writing("the index was not optimised") as table:
            table.optimize(cleanup_older_than=keep)
            if self.dimension and table.count_rows(r.EMBEDDED) >= VECTOR_INDEX_FROM:
                t.index_vectors(table)

    def checkout(self, version: int) -> LanceStore:
        """Return a reader of one older state; raises InputError where it is gone."""
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
        # The engine refuses a commit that meets another; waiting for it loses no work.
        with self._lock, self._guarded(what), exclusive(self.folder / LOCK):
            yield self._table

    def _check_ids(self, table: Any, batch: list[Passage]) -> None:
        # Chunk 1 of document "a" and a document called "a#1" would be one row.
        owner = {clean(p.id): clean(p.doc_id) for p in batch if _CHUNK_ID.search(p.id)}
        for condition in in_parts(r.ID, list(owner)):
            search = table.search().where(condition).select([r.ID, r.DOC]).limit(None)
            for row in search.to_list():
                if owner[row[r.ID]] != row[r.DOC]:
                    raise InputError(
                        f"two documents need the passage id {row[r.ID]!r}",
                        where=f"documents {row[r.DOC]!r} and {owner[row[r.ID]]!r}",
                        fix="Rename one of them. Nothing of this batch was stored.",
                    )
