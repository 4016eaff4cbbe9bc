"""Read side of the LanceDB store: search, listing, lookup."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondpass.errors import IndexStoreError, InputError, SecondpassError
from secondpass.inference.unicode import clean
from secondpass.retrieve.backends.lance import schema
from secondpass.retrieve.backends.lance import table as lance_table
from secondpass.retrieve.keywords import find_query_keywords
from secondpass.retrieve.metadata import (
    bad_filter,
    check_shape,
    column_name,
    in_parts,
    one_of,
    quoted,
    to_columns,
)
from secondpass.retrieve.settings import IndexSettings
from secondpass.retrieve.store_protocol import DocumentRecord, Hit, Version
from secondpass.storage import store_error
from secondpass.types import Document

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding


def best_hits(table: Any, scores: Sequence[float], limit: int) -> list[Hit]:
    """Return the best rows of an Arrow table: by falling score, then by document and number."""
    documents, chunks = (table.column(name).to_pylist() for name in schema.KEY)
    order = sorted(range(len(chunks)), key=lambda i: (-scores[i], documents[i], chunks[i]))
    return _hits(table, scores, order[:limit])


def hits_in_order(table: Any) -> list[Hit]:
    """Return all rows of an Arrow table as they stand, with a score of 0."""
    return _hits(table, [0.0] * table.num_rows, range(table.num_rows))


def _hits(table: Any, scores: Sequence[float], order: Sequence[int]) -> list[Hit]:
    if not order:
        return []
    columns = [n for n in table.column_names if n in (*schema.READ, schema.VECTOR)]
    selected = table.select(columns).take(list(order))
    vectors: list[Embedding | None] = [None] * len(order)
    if schema.VECTOR in columns:
        vectors = _vectors(selected.column(schema.VECTOR).combine_chunks())
    rows = selected.select(schema.READ).to_pylist()
    return [
        Hit(scores[i], schema.to_document(row), vector)
        for i, row, vector in zip(order, rows, vectors, strict=True)
    ]


def _vectors(column: Any) -> list[Embedding | None]:
    import numpy as np

    # Flattening skips rows without a vector.
    stacked = column.flatten().to_numpy(zero_copy_only=False)
    vectors = iter(stacked.reshape(-1, column.type.list_size).astype(np.float32))
    return [next(vectors) if valid else None for valid in column.is_valid().to_pylist()]


TABLE = "passages"
# Hits fetched beyond the limit, so that ties at the limit are cut by id, not by chance.
_EXTRA_HITS = 16
_PASSAGE_ID = f"({schema.DOC} || '#' || CAST({schema.CHUNK} AS STRING))"
"""The id of a passage of a longer document; of a whole one the id with `#0`."""
OLD_KEYWORDS = (
    "this index was made by an earlier version, whose keyword search does not normalize "
    "Unicode or find words inside Chinese, Japanese, Korean or Thai text; renew it with: "
    "secondpass index PATH --index {folder} (or Index.optimize())"
)


def _both(condition: str, other: str | None) -> str:
    return condition if other is None else f"{condition} AND ({other})"


def _is_one_of(passages: Sequence[Document]) -> str:
    """Return the condition that a row is one of these passages."""
    names = [(clean(p.document_id or ""), p.chunk) for p in passages]
    documents = list(dict.fromkeys(name for name, _ in names))
    # The first condition rules out most rows before ids are put together for the second.
    ids = one_of(_PASSAGE_ID, [f"{name}#{chunk}" for name, chunk in names])
    return f"{one_of(schema.DOC, documents)} AND {ids}"


class LanceReader:
    """The read side of `LanceStore`; it reads committed states only.

    With a `version`, it stays on that state.
    """

    def __init__(
        self, folder: Path, settings: IndexSettings, *, version: int | None = None
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._pinned = version
        self._words_indexed = False
        self._valid_filters: set[tuple[str, tuple[str, ...]]] = set()
        with self._guarded("the index cannot be opened"):
            self._connection = lance_table.connect(folder)
            self._handle: Any = self._connection.open_table(TABLE)
            if version is not None:
                self._handle.checkout(version)

    @property
    def folder(self) -> Path:
        """Where the store keeps its files."""
        return self._folder

    @property
    def place(self) -> str:
        """Where the index is, for messages."""
        return str(self._folder)

    @property
    def states_folder(self) -> Path:
        """Where rerankers may keep token states of passages."""
        return self._folder

    def move(self, folder: Path, settings: IndexSettings) -> None:
        """Read the index in another folder from now on; raises as opening it does."""
        with self._guarded("the index cannot be opened"):
            connection = lance_table.connect(folder)
            handle = connection.open_table(TABLE)
        self._connection, self._handle = connection, handle
        self._folder, self._settings = folder, settings
        self._words_indexed = False

    @property
    def settings(self) -> IndexSettings:
        """How the store was made."""
        return self._settings

    @property
    def dimension(self) -> int:
        """The length of a vector; 0 in a store without vectors."""
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
            return schema.metadata_kinds(self._table.schema)

    def count_passages(self) -> int:
        """Return the number of passages."""
        with self._guarded("the index cannot be read"):
            return int(self._table.count_rows(schema.PASSAGES))

    def count_documents(
        self,
        filter: str | None = None,  # noqa: A002 - the field's own word
    ) -> int:
        """Return the number of documents, or of those that pass a filter."""
        where = self._check_filter(filter)
        with self._guarded("the index cannot be read"):
            return int(self._table.count_rows(_both(schema.FIRST_PASSAGE, where)))

    def list_passages(
        self,
        filter: str | None = None,  # noqa: A002
        *,
        order: Sequence[tuple[str, bool]] = (),
        offset: int = 0,
        limit: int | None,
        embeddings: bool = False,
    ) -> list[Hit]:
        """List passages, ordered by these columns and then by document and number.

        `order` pairs each column with True for descending; passages without a value are last.
        """
        from lancedb.query import ColumnOrdering

        ordering: Any = ColumnOrdering
        where = self._check_filter(filter)
        if limit == 0:
            return []
        directions: dict[str, bool] = {}
        fields = self.fields
        for name, descending in (*order, *((name, False) for name in schema.KEY)):
            directions.setdefault(column_name(name) if name in fields else name, descending)
        order_by = [
            ordering(column_name=name, ascending=not descending)
            for name, descending in directions.items()
        ]
        # The engine accepts no column twice, and orders only by selected columns.
        columns = list(dict.fromkeys([*self._columns(embeddings), *directions]))
        with self._guarded("the index cannot be read"):
            search = self._table.search().select(columns).order_by(order_by)
            search = search.where(_both(schema.PASSAGES, where))
            return hits_in_order(search.limit(limit).offset(offset).to_arrow())

    def get(self, ids: Sequence[str], *, embeddings: bool = False) -> dict[str, Hit]:
        """Return those of these documents that are stored whole, by id, with a score of 0."""
        columns, hits = self._columns(embeddings), list[Hit]()
        with self._guarded("the index cannot be read"):
            for condition in in_parts(schema.DOC, [clean(i) for i in ids]):
                whole = f"{schema.CHUNK} = 0 AND {condition}"
                search = self._table.search().where(whole).select(columns)
                hits += hits_in_order(search.limit(None).to_arrow())
        return {hit.id: hit for hit in hits}

    def lookup(self, ids: Sequence[str]) -> dict[str, DocumentRecord]:
        """Return the records of those of these documents that are stored, by id."""
        records = {}
        with self._guarded("the index cannot be read"):
            for condition in in_parts(schema.DOC, [clean(i) for i in ids]):
                rows = self._scan(
                    f"{schema.FIRST_PASSAGE} AND {condition}", schema.HASH, schema.SOURCE
                )
                for row in rows:
                    record = DocumentRecord(row[schema.HASH], row[schema.SOURCE])
                    records[row[schema.DOC]] = record
        return records

    def iter_documents(
        self,
        size: int = 1024,
        filter: str | None = None,  # noqa: A002 - the field's own word
    ) -> Iterator[list[Document]]:
        """Yield all passages that pass the filter, in batches of up to `size`, unordered."""
        where = self._check_filter(filter)
        with self._guarded("the index cannot be read"):
            search = self._table.search().select(schema.READ).limit(None)
            search = search.where(_both(schema.PASSAGES, where))
            for batch in search.to_batches(batch_size=size):
                yield [schema.to_document(row) for row in batch.to_pylist()]

    def sample_documents(self, count: int) -> list[Document]:
        """Return so many passages drawn by chance, the same ones each time; all if fewer.

        It may be some fewer, as rows are drawn, and not all of them are passages.
        """
        with self._guarded("the index cannot be read"):
            rows = int(self._table.count_rows())
            passages = int(self._table.count_rows(schema.PASSAGES))
            if passages <= count:
                return [document for batch in self.iter_documents() for document in batch]
            drawn = min(rows, math.ceil(1.1 * count * rows / passages))
            # Not by any attribute of a passage: new ones and long ones are drawn as often.
            offsets = random.Random(0).sample(range(rows), drawn)
            taken = self._table.take_offsets(offsets).select(schema.READ).to_list()
        found = [schema.to_document(row) for row in taken if row[schema.CHUNK] != schema.FILE]
        return found[:count]

    def files(self) -> dict[str, str | None]:
        """Return the files that documents were read from, each with its digest.

        None for a file that was not read to its end.
        """
        files: dict[str, str | None] = {}
        with self._guarded("the index cannot be read"):
            rows = self._scan(schema.FILES, schema.HASH)
            files |= {row[schema.DOC]: row[schema.HASH] for row in rows}
            search = self._table.search().where(f"{schema.SOURCE} IS NOT NULL")
            for batch in search.select([schema.SOURCE]).limit(None).to_batches():
                for source in batch.column(schema.SOURCE).unique().to_pylist():
                    files.setdefault(source, None)
        return files

    def ids_by_source(self, source: str) -> set[str]:
        """Return the ids of the documents that were read from this file."""
        condition = f"{schema.PASSAGES} AND {schema.SOURCE} = {quoted(clean(source))}"
        with self._guarded("the index cannot be read"):
            return {row[schema.DOC] for row in self._scan(condition)}

    def count_unindexed(self) -> int:
        """Return how many rows the text index that lacks most has not: searches scan them."""
        with self._guarded("the index cannot be read"):
            columns = lance_table.text_columns(self._table)
            rows = (lance_table.unindexed_rows(self._table, column) for column in columns)
            return max(rows, default=0)

    def count_by_document(self) -> Counter[str]:
        """Return how many passages each document has; it reads the ids of all passages."""
        counts: Counter[str] = Counter()
        with self._guarded("the index cannot be read"):
            search = self._table.search().where(schema.PASSAGES).select([schema.DOC])
            for batch in search.limit(None).to_batches():
                counts.update(batch.column(schema.DOC).to_pylist())
        return counts

    def passages_of(self, document_id: str) -> list[Hit]:
        """Return all passages of the document, or else the passage of this id.

        They have their embeddings, and are in the order of the text.
        """
        literal = quoted(clean(document_id))
        by_passage = f"{schema.CHUNK} > 0 AND {_PASSAGE_ID} = {literal}"
        for condition in (f"{schema.PASSAGES} AND {schema.DOC} = {literal}", by_passage):
            with self._guarded("the index cannot be read"):
                search = self._table.search().where(condition)
                table = search.select(self._columns(True)).limit(None).to_arrow()
            if table.num_rows:
                return best_hits(table, [0.0] * table.num_rows, table.num_rows)
        return []

    def matching(
        self,
        passages: Sequence[Document],
        filter: str | None,  # noqa: A002
    ) -> list[bool]:
        """Return which of these passages are stored and pass a filter, in their order."""
        where = self._check_filter(filter)
        if not passages:
            return []
        with self._guarded("the index cannot be read"):
            rows = self._scan(_both(_is_one_of(passages), where), schema.CHUNK)
        found = {(row[schema.DOC], row[schema.CHUNK]) for row in rows}
        return [(clean(p.document_id or ""), p.chunk) in found for p in passages]

    def bm25(
        self,
        query: str,
        limit: int,
        filter: str | None = None,  # noqa: A002 - the field's own word
        *,
        passages: Sequence[Document] | None = None,
        embeddings: bool = False,
        all_words: bool = False,
        field: str | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> list[Hit]:
        """Search by words; with `passages`, score only those.

        With `all_words`, only passages that have each word of the query, stop words aside.
        With `embeddings`, hits carry their vectors. With `field`, only that column is
        searched; `index_field` must have prepared it. With `weights`, these words are searched
        for instead of the query's, and what each adds to the score is multiplied.
        """
        # A query object, not text: no character of the query is an operator.
        from lancedb.query import BooleanQuery, FullTextOperator, MatchQuery, Occur

        column = schema.SEARCH if field is None else column_name(field)
        words = clean(query)
        if self._has_words:
            column = schema.words_column(column)
            words = " ".join(word.text for word in find_query_keywords(query))
        match: Any = MatchQuery
        if weights is None:
            operator = FullTextOperator.AND if all_words else FullTextOperator.OR
            match_query = match(words, column, operator=operator)
        else:
            boolean: Any = BooleanQuery
            match_query = boolean(
                [
                    (Occur.SHOULD, match(clean(word), column, boost=weight))
                    for word, weight in weights.items()
                ]
            )
            words = " ".join(weights)
        where = self._check_filter(filter)
        if not words:
            return []
        if passages is not None:
            where = _both(_is_one_of(passages), where)
        with self._guarded("the search failed"):
            search = self._table.search(match_query, query_type="fts")
            search = search.select([*self._columns(embeddings), "_score"])
            search = search.limit(limit + _EXTRA_HITS)
            if where is not None:
                search = search.where(where, prefilter=True)
            table = search.to_arrow()
        return best_hits(table, table.column("_score").to_pylist(), limit)

    @property
    def keyword_note(self) -> str | None:
        """What keyword search of this state does not do, and how to renew it, or None."""
        return None if self._has_words else OLD_KEYWORDS.format(folder=self.place)

    @property
    def _has_words(self) -> bool:
        # Another process may add them at any time; until they are indexed, they are not used.
        if not self._words_indexed:
            with self._guarded("the index cannot be read"):
                table = self._table
                self._words_indexed = (
                    schema.WORDS in table.schema.names
                    and schema.WORDS in lance_table.text_columns(table)
                )
        return self._words_indexed

    def vector(
        self,
        embedding: Embedding,
        limit: int,
        filter: str | None = None,  # noqa: A002
    ) -> list[Hit]:
        """Search by cosine, -1 to 1.

        Raises InputError in a store without vectors, or for a vector of another length.
        """
        if not self.dimension:
            raise InputError(
                "this index has no vectors",
                where=self.place,
                fix="Search with mode 'bm25'.",
            )
        if embedding.shape != (self.dimension,):
            raise InputError(
                "the query's vector has the wrong shape",
                why=f"it is {embedding.shape}, and the index has ({self.dimension},)",
            )
        where = self._check_filter(filter)
        with self._guarded("the search failed"):
            table = self._table
            search = table.search(embedding, vector_column_name=schema.VECTOR)
            search = search.distance_type("cosine").refine_factor(lance_table.REFINE)
            search = search.nprobes(lance_table.probes(table.count_rows()))
            search = search.select([*schema.READ, "_distance"])
            if where is not None:
                search = search.where(where, prefilter=True)
            rows = search.limit(limit + _EXTRA_HITS).to_arrow()
        cosines = [min(1.0, max(-1.0, 1.0 - d)) for d in rows.column("_distance").to_pylist()]
        return best_hits(rows, cosines, limit)

    def embeddings(self, passages: Sequence[Document]) -> dict[str, Embedding]:
        """Return the vectors of those of these passages that are stored with one, by key."""
        if not passages or not self.dimension:
            return {}
        with self._guarded("the index cannot be read"):
            search = self._table.search().where(_is_one_of(passages))
            hits = hits_in_order(search.select(self._columns(True)).limit(None).to_arrow())
        return {hit.key: hit.embedding for hit in hits if hit.embedding is not None}

    def versions(self) -> list[Version]:
        """Return the states that can still be read, oldest first."""
        with self._guarded("the index cannot be read"):
            versions = self._table.list_versions()
        return sorted(
            (Version(int(v["version"]), v["timestamp"]) for v in versions),
            key=lambda v: v.number,
        )

    def close(self) -> None:
        """Release the table; any later call raises IndexStoreError."""
        self._handle = None

    @property
    def _table(self) -> Any:
        handle = self._handle
        if handle is None:
            raise IndexStoreError("the index is closed", where=self.place, fix="Open it again.")
        return handle

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        try:
            yield
        except SecondpassError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            raise store_error(what, self.place, error) from error

    def _columns(self, embeddings: bool) -> list[str]:
        return [*schema.READ, schema.VECTOR] if embeddings and self.dimension else schema.READ

    def _scan(self, condition: str, *columns: str) -> list[dict[str, Any]]:
        search = self._table.search().where(condition).select([schema.DOC, *columns])
        rows: list[dict[str, Any]] = search.limit(None).to_list()
        return rows

    def _check_filter(self, condition: str | None) -> str | None:
        """Return a condition that the engine accepts, or raise FilterError."""
        if condition is None:
            return None
        fields = self.fields
        check_shape(condition, fields)
        given, condition = condition, to_columns(clean(condition), fields)
        key = (condition, tuple(fields))
        if key not in self._valid_filters:
            try:
                probe = self._table.search().where(condition).select([schema.DOC])
                probe.limit(1).to_arrow()
            except (OSError, RuntimeError, ValueError) as error:
                raise bad_filter(given, str(error), fields) from error
            if len(self._valid_filters) >= 256:
                self._valid_filters.clear()
            self._valid_filters.add(key)
        return condition
