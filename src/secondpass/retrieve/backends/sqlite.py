"""SQLite: keyword search by FTS5, vectors in blobs or by sqlite-vec; files are only read."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.filter_sql import SQLDialect, SQLiteDialect
from secondpass.retrieve.backends.sql_store import Condition, SQLStore
from secondpass.retrieve.backends.sqlite_connections import (
    SQLiteConnections,
    find_fts,
    how_to_index,
    list_tables,
    read_kinds,
)
from secondpass.retrieve.backends.sqlite_vec import (
    MAX_NEIGHBORS,
    VectorTable,
    choose_vectors,
)
from secondpass.retrieve.backends.table_columns import (
    TableColumns,
    choose_columns,
    choose_table,
)
from secondpass.retrieve.backends.table_store import close_on_error
from secondpass.retrieve.backends.vector_fit import PROBED_ROWS, cosines
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.retrieve.store_protocol import Hits, StoreInfo, TextEncoder

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

PARAMETERS = ("fts", "vec")
_ROWS_PER_STEP = 4096


def open(url: DatabaseURL, embedder: TextEncoder | None) -> HybridRetriever:  # noqa: A001
    """Open a table of a file; see `Adapter`.

    Keyword search needs an FTS5 table: the table itself, one whose `content` it is, or the
    one that `fts=` names, whose rows have the same rowid. Vectors are blobs, or in a table of
    sqlite-vec; see `choose_vectors`.
    """
    connections = SQLiteConnections(url)
    with close_on_error(connections.close):
        names, fts, vec0 = list_tables(connections)
        plain = [name for name in names if name not in fts and name not in vec0]
        table = choose_table(url, names if url.table is not None or not plain else plain)
        without = connections.without_vec0
        if table in vec0:
            # Before its columns are read, which takes the extension.
            choose_vectors(url, table, vec0, blobs=False, why_not=without)
        kinds, key = read_kinds(connections, table)
        blobs = [name for name, kind in kinds.items() if kind == "bytes"]
        vectors, note = choose_vectors(url, table, vec0, blobs=bool(blobs), why_not=without)
        if vectors is not None and vectors.name != table:
            kinds[vectors.column], blobs = "vector", [vectors.column]
        columns = choose_columns(url, kinds, table=table, key=key, vectors=blobs)
        words, row = find_fts(url, table, fts)
        engine = f"SQLite {sqlite3.sqlite_version}"
        ranking = "BM25 of FTS5 (k1 1.2, b 0.75)" if words else None
        info = StoreInfo(url.redacted, engine, ranking)
        store = SQLiteStore(url, columns, info, connections, table, words, row, vectors)
        notes = [] if note is None else [note]
        if words is None:
            notes.append(
                f"the table {table!r} has no FTS5 table; {how_to_index(table, columns)}"
            )
        dimension = None if vectors is None else vectors.dimension
        return store.fit(embedder, dimension, "; ".join(notes) or None)


class SQLiteStore(SQLStore):
    """A table of a file, with its FTS5 table; a connection for each thread."""

    def __init__(
        self,
        url: DatabaseURL,
        columns: TableColumns,
        info: StoreInfo,
        connections: SQLiteConnections,
        table: str,
        words: str | None,
        row: str,
        vectors: VectorTable | None,
    ) -> None:
        super().__init__(url, columns, info)
        self._connections = connections
        quoted = SQLDialect().name
        self._table, self._row = quoted(table), quoted(row) if row != "rowid" else row
        self._words = None if words is None else quoted(words)
        self._columns = ", ".join(f"t.{quoted(c)}" for c in columns.read)
        self._vector = None if columns.vector is None else f"t.{quoted(columns.vector)}"
        # The rows of a vec0 table with a key of its own have no rowid.
        own = vectors is not None and vectors.name == table
        self._key = quoted(columns.id) if own else "rowid"
        self._nearest = None
        if vectors is not None:
            self._vector = self._vector if own else vectors.vector_of("t.rowid")
            self._nearest = vectors.nearest(self._key) if vectors.ordered else None

    def dialect(self) -> SQLDialect:
        """Return a translator for one statement."""
        return SQLiteDialect(self.columns.kinds)

    def count_passages(self) -> int:
        """Return the number of rows."""
        return int(self._connections.run(f"SELECT count(*) FROM {self._table}")[0][0])

    def keywords(
        self,
        words: Sequence[str],
        limit: int,
        condition: Condition,
        vectors: bool,
        all_words: bool,
    ) -> Hits:
        """Search for words by FTS5."""
        dialect = self.dialect()
        match = (" AND " if all_words else " OR ").join(f'"{word}"' for word in words)
        found = (
            f'SELECT rowid AS "$row", -bm25({self._words}) AS "$score" FROM {self._words} '
            f"WHERE {self._words} MATCH {dialect.bind(match)}"
        )
        where = condition(dialect)
        if where is None:
            # Without a filter the engine sorts before it reads the rows.
            found += f" ORDER BY rank LIMIT {dialect.bind(limit)}"
        vector = f", {self._vector}" if vectors else ""
        rows = self._connections.run(
            f'WITH "$found" AS ({found}) SELECT "$score", {self._columns}{vector} '
            f'FROM "$found" JOIN {self._table} AS t ON t.{self._row} = "$row" '
            f'WHERE {where or "1"} ORDER BY "$score" DESC LIMIT {dialect.bind(limit)}',
            dialect.values,
        )
        return self.hits_of(rows, vectors=vectors)

    def nearest(self, embedding: Embedding, limit: int, condition: Condition) -> Hits:
        """Search by cosine, exactly: by sqlite-vec, or the vectors are read in steps."""
        dialect = self.dialect()
        where, values = condition(dialect), dialect.values
        rows_of = f"SELECT t.{self._key} FROM {self._table} AS t WHERE {where}"
        statement = (
            f"SELECT t.{self._key}, {self._vector} FROM {self._table} AS t "
            f"WHERE {self._vector} NOT NULL AND {where or '1'}"
        )
        if self._nearest is not None and limit <= MAX_NEIGHBORS:
            inside = "" if where is None else f" AND {self._key} IN ({rows_of})"
            statement = self._nearest + inside
            values = [embedding.tobytes(), limit, *values]
        import numpy as np

        size = 4 * self.dimension

        def search(connection: sqlite3.Connection) -> tuple[dict[Any, float], list[Any], int]:
            best: list[tuple[float, Any]] = []
            other = 0
            cursor = connection.execute(statement, values)
            while part := cursor.fetchmany(_ROWS_PER_STEP):
                rows = [r for r in part if isinstance(r[1], bytes) and len(r[1]) == size]
                other += len(part) - len(rows)
                vectors = [np.frombuffer(data, "<f4") for _, data in rows]
                best += zip(cosines(embedding, vectors), (row for row, _ in rows), strict=True)
                best = sorted(best, key=lambda pair: (-pair[0], pair[1]))[:limit]
            found = {row: cosine for cosine, row in best}
            read = (
                f"SELECT t.{self._key}, {self._columns} FROM {self._table} AS t "
                f"WHERE t.{self._key} IN ({', '.join('?' * len(found))})"
            )
            return found, connection.execute(read, list(found)).fetchall(), other

        scores, rows, other = self._connections.read(search)
        hits = self.hits_of([(scores[row[0]], *row[1:]) for row in rows])
        reasons = {
            f"whose vector has not {self.dimension} numbers": other,
            "of the vec0 table that the table does not have": len(scores) - len(rows),
        }
        return Hits(hits, {**hits.left_out, **reasons})

    def probe(self) -> list[tuple[Any, Embedding]]:
        """Return some rows with their vectors."""
        return self.documents_with_vectors(
            self._connections.run(
                f"SELECT 0, {self._columns}, {self._vector} FROM {self._table} AS t "
                f"WHERE {self._vector} NOT NULL LIMIT {PROBED_ROWS}"
            )
        )

    def close(self) -> None:
        """Close the connections of all threads."""
        self._connections.close()
