"""The default first stage: a LanceDB table in a folder."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondpass.engine.unicode import clean
from secondpass.errors import IndexStoreError, InputError, SecondpassError
from secondpass.retrieve import lance_table as t
from secondpass.retrieve import rows as r
from secondpass.retrieve.filters import bad_filter, check_shape, one_of, quoted
from secondpass.retrieve.locking import exclusive
from secondpass.retrieve.protocol import Hit, Passage, Stored, Version
from secondpass.retrieve.schema import plan
from secondpass.retrieve.settings import IndexSettings
from secondpass.types import Document

if TYPE_CHECKING:
    from secondpass.retrieve.protocol import Embedding

TABLE = "passages"
LOCK = ".write.lock"
VECTOR_INDEX_FROM = 50_000
"""Below this many passages every vector is compared, which is exact and fast enough."""

UNINDEXED_SHARE = 0.2
"""How many rows may wait for the text index, as a share of those in it."""
# Hits fetched beyond the limit, so that ties at the limit are cut by id, not by chance.
_SLACK = 16
_FIRST = f"{r.CHUNK} <= 1"
_CHUNK_ID = re.compile(r"#\d+\Z")


class LanceStore:
    """A first stage over one LanceDB table; see `FirstStage` for what each method does.

    Made by `open_index`. Several processes may write, one at a time; reads never wait, and
    see what other processes have committed. BM25 is Lucene's,
    with k1 1.2 and b 0.75, over title and text.
    """

    def __init__(
        self, folder: Path, settings: IndexSettings, *, version: int | None = None
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._pinned = version
        self._lock = threading.Lock()
        self._good_filters: set[tuple[str, tuple[str, ...]]] = set()
        with self._guarded("the index cannot be opened"):
            self._connection = t.connect(folder)
            self._handle: Any = self._connection.open_table(TABLE)
            if version is not None:
                self._handle.checkout(version)

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

    @property
    def folder(self) -> Path:
        """Where the store keeps its files."""
        return self._folder

    @property
    def settings(self) -> IndexSettings:
        """How the index was made."""
        return self._settings

    @property
    def dimension(self) -> int:
        """How many numbers a vector has; 0 in a store without vectors."""
        return self._settings.dimension

    @property
    def version(self) -> int:
        """The number of the state that a search reads now."""
        with self._guarded("the index cannot be read"):
            return int(self._table.version)

    @property
    def fields(self) -> Mapping[str, str]:
        """The metadata that a filter can name, with the type of each."""
        with self._guarded("the index cannot be read"):
            return r.metadata_kinds(self._table.schema)

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
                .execute(r.to_table(batch, change.rows, table.schema))
            )
            # Rows outside the text index are found, but their BM25 lacks its statistics.
            if t.unindexed_share(table) > UNINDEXED_SHARE:
                # Not optimize(): that would rewrite all vectors each time.
                t.index_text(table, self.settings.language)

    def delete(self, ids: Iterable[str]) -> int:
        """Remove documents by id; return how many there were."""
        known = list(dict.fromkeys(clean(i) for i in ids))
        gone = 0
        with self._writing("the documents were not deleted") as table:
            for condition in _in_parts(r.DOC, known):
                there = int(table.count_rows(f"{_FIRST} AND {condition}"))
                if there:
                    table.delete(condition)
                gone += there
        return gone

    def move(self, ids: Sequence[str], source: str) -> None:
        """Record that these documents now stand in another file."""
        with self._writing("the documents were not updated") as table:
            for condition in _in_parts(r.DOC, [clean(i) for i in ids]):
                table.update(where=condition, values={r.SOURCE: clean(source)})

    def count(self) -> int:
        """Return the number of passages."""
        with self._guarded("the index cannot be read"):
            return int(self._table.count_rows())

    def documents(self) -> int:
        """Return the number of documents."""
        with self._guarded("the index cannot be read"):
            return int(self._table.count_rows(_FIRST))

    def stored(self, ids: Sequence[str]) -> dict[str, Stored]:
        """Return what is known of each of these documents that is stored."""
        found = {}
        with self._guarded("the index cannot be read"):
            for condition in _in_parts(r.DOC, [clean(i) for i in ids]):
                for row in self._scan(f"{_FIRST} AND {condition}", r.HASH, r.SOURCE):
                    found[row[r.DOC]] = Stored(row[r.HASH], row[r.SOURCE])
        return found

    def each_document(
        self,
        size: int = 1024,
        filter: str | None = None,  # noqa: A002 - the field's own word
    ) -> Iterator[list[Document]]:
        """Yield all passages that pass the filter, `size` or fewer at a time, in no order."""
        where = self._checked(filter)
        with self._guarded("the index cannot be read"):
            search = self._table.search().select(r.READ).limit(None)
            if where is not None:
                search = search.where(where)
            for batch in search.to_batches(batch_size=size):
                yield [r.to_document(row) for row in batch.to_pylist()]

    def ids_from(self, source: str) -> set[str]:
        """Return the ids of the documents that were read from this file."""
        with self._guarded("the index cannot be read"):
            return {row[r.DOC] for row in self._scan(f"{r.SOURCE} = {quoted(clean(source))}")}

    def optimize(self, *, keep: timedelta = timedelta(days=7)) -> None:
        """Bring the indexes up to date and merge small files.

        States older than `keep` can no longer be checked out. From 50,000 passages on,
        this also makes the vector index.
        """
        with self._writing("the index was not optimised") as table:
            table.optimize(cleanup_older_than=keep)
            if self.dimension and table.count_rows() >= VECTOR_INDEX_FROM:
                t.index_vectors(table)

    def passages(self, name: str) -> list[Hit]:
        """Return the passage of this id, or those of the document, with their embeddings."""
        columns = [*r.READ, *([r.VECTOR] if self.dimension else [])]
        known = quoted(clean(name))
        with self._guarded("the index cannot be read"):
            search = self._table.search().where(f"{r.ID} = {known} OR {r.DOC} = {known}")
            table = search.select(columns).limit(None).to_arrow()
        hits = _hits(table, [0.0] * table.num_rows, table.num_rows)
        whole = [hit for hit in hits if hit.id == clean(name)]
        return whole if whole else hits

    def bm25(
        self,
        query: str,
        limit: int,
        filter: str | None = None,  # noqa: A002 - the field's own word
        *,
        ids: Sequence[str] | None = None,
        embeddings: bool = False,
        every: bool = False,
    ) -> list[Hit]:
        """Find passages by words; with `ids`, score only those passages.

        With `every`, only passages that have each word of the query, stop words aside.
        """
        # A query object, not text: no character of the query has a meaning of its own.
        from lancedb.query import FullTextOperator, MatchQuery

        match: Any = MatchQuery
        words = match(
            clean(query),
            r.SEARCH,
            operator=FullTextOperator.AND if every else FullTextOperator.OR,
        )
        columns = [*r.READ, "_score"]
        if embeddings and self.dimension:
            columns.append(r.VECTOR)
        where = self._checked(filter)
        if ids is not None:
            only = one_of(r.ID, [clean(i) for i in ids])
            where = only if where is None else f"({where}) AND {only}"
        with self._guarded("the search failed"):
            search = self._table.search(words, query_type="fts")
            search = search.select(columns).limit(limit + _SLACK)
            if where is not None:
                search = search.where(where, prefilter=True)
            table = search.to_arrow()
        return _hits(table, table.column("_score").to_pylist(), limit)

    def vector(
        self,
        embedding: Embedding,
        limit: int,
        filter: str | None = None,  # noqa: A002
    ) -> list[Hit]:
        """Find passages by cosine, -1 to 1.

        Raises InputError in a store without vectors, or for a vector of another length.
        """
        if not self.dimension:
            raise InputError(
                "this index has no vectors",
                where=str(self.folder),
                fix="Search with mode 'bm25'.",
            )
        if embedding.shape != (self.dimension,):
            raise InputError(
                "the query's vector has the wrong shape",
                why=f"it is {embedding.shape}, and the index has ({self.dimension},)",
            )
        where = self._checked(filter)
        with self._guarded("the search failed"):
            table = self._table
            search = table.search(embedding, vector_column_name=r.VECTOR)
            search = search.distance_type("cosine").refine_factor(t.REFINE)
            search = search.nprobes(t.probes(table.count_rows()))
            search = search.select([*r.READ, "_distance"])
            if where is not None:
                search = search.where(where, prefilter=True)
            found = search.limit(limit + _SLACK).to_arrow()
        cosines = [min(1.0, max(-1.0, 1.0 - d)) for d in found.column("_distance").to_pylist()]
        return _hits(found, cosines, limit)

    def versions(self) -> list[Version]:
        """Return the states that can still be read, oldest first."""
        with self._guarded("the index cannot be read"):
            listed = self._table.list_versions()
        return sorted(
            (Version(int(v["version"]), v["timestamp"]) for v in listed),
            key=lambda v: v.number,
        )

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

    def close(self) -> None:
        """Let go of the table; any later call raises IndexStoreError."""
        self._handle = None

    @property
    def _table(self) -> Any:
        handle = self._handle
        if handle is None:
            raise IndexStoreError(
                "the index is closed", where=str(self.folder), fix="Open it again."
            )
        return handle

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

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        try:
            yield
        except SecondpassError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            why = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise IndexStoreError(what, where=str(self.folder), why=why) from error

    def _scan(self, condition: str, *columns: str) -> list[dict[str, Any]]:
        search = self._table.search().where(condition).select([r.DOC, *columns])
        found: list[dict[str, Any]] = search.limit(None).to_list()
        return found

    def _checked(self, condition: str | None) -> str | None:
        if condition is None:
            return None
        fields = self.fields
        check_shape(condition, fields)
        condition = clean(condition)
        key = (condition, tuple(fields))
        if key not in self._good_filters:
            try:
                probe = self._table.search().where(condition).select([r.ID])
                probe.limit(1).to_arrow()
            except (OSError, RuntimeError, ValueError) as error:
                raise bad_filter(condition, str(error), fields) from error
            if len(self._good_filters) >= 256:
                self._good_filters.clear()
            self._good_filters.add(key)
        return condition

    def _check_ids(self, table: Any, batch: list[Passage]) -> None:
        # Chunk 1 of document "a" and a document called "a#1" would be one row.
        owner = {clean(p.id): clean(p.doc_id) for p in batch if _CHUNK_ID.search(p.id)}
        for condition in _in_parts(r.ID, list(owner)):
            search = table.search().where(condition).select([r.ID, r.DOC]).limit(None)
            for row in search.to_list():
                if owner[row[r.ID]] != row[r.DOC]:
                    raise InputError(
                        f"two documents need the passage id {row[r.ID]!r}",
                        where=f"documents {row[r.DOC]!r} and {owner[row[r.ID]]!r}",
                        fix="Rename one of them. Nothing of this batch was stored.",
                    )


def _in_parts(column: str, values: list[str], size: int = 10_000) -> Iterator[str]:
    for start in range(0, len(values), size):
        yield one_of(column, values[start : start + size])


def _hits(table: Any, scores: list[float], limit: int) -> list[Hit]:
    import numpy as np

    ids = table.column(r.ID).to_pylist()
    if not ids:
        return []
    order = sorted(range(len(ids)), key=lambda i: (-scores[i], ids[i]))[:limit]
    vectors = None
    if r.VECTOR in table.column_names:
        column = table.column(r.VECTOR).combine_chunks()
        vectors = column.flatten().to_numpy().reshape(len(ids), -1).astype(np.float32)
    documents = table.select(r.READ).take(order).to_pylist()
    return [
        Hit(
            ids[i],
            scores[i],
            r.to_document(row),
            None if vectors is None else vectors[i],
        )
        for i, row in zip(order, documents, strict=True)
    ]
