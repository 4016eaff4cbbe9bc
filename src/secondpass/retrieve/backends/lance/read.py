"""Reading a LanceDB table: searching it, listing it, and what is known of it.

Rows that were found, as hits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondpass.errors import IndexStoreError, InputError, SecondpassError
from secondpass.inference.unicode import clean
from secondpass.retrieve.backends.lance import schema as r
from secondpass.retrieve.backends.lance import table as t
from secondpass.retrieve.metadata import bad_filter, check_shape, in_parts, one_of, quoted
from secondpass.retrieve.settings import IndexSettings
from secondpass.retrieve.store_protocol import Hit, Stored, Version
from secondpass.types import Document

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding


def best_hits(table: Any, scores: Sequence[float], limit: int) -> list[Hit]:
    """Return the best rows of an Arrow table: by falling score, then by id."""
    ids = table.column(r.ID).to_pylist()
    order = sorted(range(len(ids)), key=lambda i: (-scores[i], ids[i]))[:limit]
    return _hits(table, scores, order)


def hits_in_order(table: Any) -> list[Hit]:
    """Return all rows of an Arrow table as they stand, with a score of 0."""
    return _hits(table, [0.0] * table.num_rows, range(table.num_rows))


def _hits(table: Any, scores: Sequence[float], order: Sequence[int]) -> list[Hit]:
    if not order:
        return []
    kept = table.select([n for n in table.column_names if n in (*r.READ, r.VECTOR)])
    kept = kept.take(list(order))
    vectors: list[Embedding | None] = [None] * len(order)
    if r.VECTOR in kept.column_names:
        vectors = _vectors(kept.column(r.VECTOR).combine_chunks())
    rows = kept.select(r.READ).to_pylist()
    return [
        Hit(row[r.ID], scores[i], r.to_document(row), vector)
        for i, row, vector in zip(order, rows, vectors, strict=True)
    ]


def _vectors(column: Any) -> list[Embedding | None]:
    import numpy as np

    there = column.is_valid().to_pylist()
    # Flattening leaves out rows that have none.
    stacked = column.flatten().to_numpy(zero_copy_only=False)
    given = iter(stacked.reshape(-1, column.type.list_size).astype(np.float32))
    return [next(given) if valid else None for valid in there]


TABLE = "passages"
FIRST = f"{r.CHUNK} <= 1"
"""Holds for one passage of each document."""
# Hits fetched beyond the limit, so that ties at the limit are cut by id, not by chance.
_SLACK = 16


class LanceReader:
    """The part of `LanceStore` that writes nothing; what it reads is always committed.

    With a `version`, reads that state for ever.
    """

    def __init__(
        self, folder: Path, settings: IndexSettings, *, version: int | None = None
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._pinned = version
        self._good_filters: set[tuple[str, tuple[str, ...]]] = set()
        with self._guarded("the index cannot be opened"):
            self._connection = t.connect(folder)
            self._handle: Any = self._connection.open_table(TABLE)
            if version is not None:
                self._handle.checkout(version)

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

    def count(self) -> int:
        """Return the number of passages."""
        with self._guarded("the index cannot be read"):
            return int(self._table.count_rows())

    def documents(self, filter: str | None = None) -> int:  # noqa: A002 - the field's own word
        """Return the number of documents, or of those that pass a filter."""
        where = self._checked(filter)
        condition = FIRST if where is None else f"{FIRST} AND ({where})"
        with self._guarded("the index cannot be read"):
            return int(self._table.count_rows(condition))

    def listed(
        self,
        filter: str | None = None,  # noqa: A002
        *,
        order: Sequence[tuple[str, bool]] = (),
        offset: int = 0,
        limit: int | None,
        embeddings: bool = False,
    ) -> list[Hit]:
        """Return passages in the order of these columns, then of their ids.

        Each column falls where it is paired with True; passages without a value come last.
        """
        from lancedb.query import ColumnOrdering

        ordering: Any = ColumnOrdering
        where = self._checked(filter)
        if limit == 0:
            return []
        ways: dict[str, bool] = {}
        for name, falls in (*order, (r.ID, False)):
            ways.setdefault(name, falls)
        by = [ordering(column_name=n, ascending=not falls) for n, falls in ways.items()]
        # The engine takes no column twice, and orders by none that it does not select.
        columns = list(dict.fromkeys([*self._columns(embeddings), *ways]))
        with self._guarded("the index cannot be read"):
            search = self._table.search().select(columns).order_by(by)
            if where is not None:
                search = search.where(where)
            return hits_in_order(search.limit(limit).offset(offset).to_arrow())

    def found(self, ids: Sequence[str], *, embeddings: bool = False) -> dict[str, Hit]:
        """Return those of these passages that are stored, by id."""
        columns, hits = self._columns(embeddings), list[Hit]()
        with self._guarded("the index cannot be read"):
            for condition in in_parts(r.ID, [clean(i) for i in ids]):
                search = self._table.search().where(condition).select(columns)
                hits += hits_in_order(search.limit(None).to_arrow())
        return {hit.id: hit for hit in hits}

    def stored(self, ids: Sequence[str]) -> dict[str, Stored]:
        """Return what is known of each of these documents that is stored."""
        found = {}
        with self._guarded("the index cannot be read"):
            for condition in in_parts(r.DOC, [clean(i) for i in ids]):
                for row in self._scan(f"{FIRST} AND {condition}", r.HASH, r.SOURCE):
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

    def passages(self, name: str) -> list[Hit]:
        """Return the passage of this id, or those of the document, with their embeddings."""
        known = quoted(clean(name))
        with self._guarded("the index cannot be read"):
            search = self._table.search().where(f"{r.ID} = {known} OR {r.DOC} = {known}")
            table = search.select(self._columns(True)).limit(None).to_arrow()
        hits = best_hits(table, [0.0] * table.num_rows, table.num_rows)
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
        field: str | None = None,
    ) -> list[Hit]:
        """Find passages by words; with `ids`, score only those passages.

        With `every`, only passages that have each word of the query, stop words aside. With
        `field`, search that column alone, which `index_field` has prepared.
        """
        # A query object, not text: no character of the query has a meaning of its own.
        from lancedb.query import FullTextOperator, MatchQuery

        match: Any = MatchQuery
        words = match(
            clean(query),
            r.SEARCH if field is None else field,
            operator=FullTextOperator.AND if every else FullTextOperator.OR,
        )
        where = self._checked(filter)
        if ids is not None:
            only = one_of(r.ID, [clean(i) for i in ids])
            where = only if where is None else f"({where}) AND {only}"
        with self._guarded("the search failed"):
            search = self._table.search(words, query_type="fts")
            search = search.select([*self._columns(embeddings), "_score"]).limit(limit + _SLACK)
            if where is not None:
                search = search.where(where, prefilter=True)
            table = search.to_arrow()
        return best_hits(table, table.column("_score").to_pylist(), limit)

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
        return best_hits(found, cosines, limit)

    def versions(self) -> list[Version]:
        """Return the states that can still be read, oldest first."""
        with self._guarded("the index cannot be read"):
            listed = self._table.list_versions()
        return sorted(
            (Version(int(v["version"]), v["timestamp"]) for v in listed),
            key=lambda v: v.number,
        )

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
    def _guarded(self, what: str) -> Iterator[None]:
        try:
            yield
        except SecondpassError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            why = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise IndexStoreError(what, where=str(self.folder), why=why) from error

    def _columns(self, embeddings: bool) -> list[str]:
        return [*r.READ, r.VECTOR] if embeddings and self.dimension else r.READ

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
