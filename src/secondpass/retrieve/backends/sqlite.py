"""SQLite: keyword search by FTS5, vectors in blobs of float32; files are only ever read."""

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
    list_tables,
    read_kinds,
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

PARAMETERS = ("fts",)
_ROWS_PER_STEP = 4096


def open(url: DatabaseURL, embedder: TextEncoder | None) -> HybridRetriever:  # noqa: A001
    """Open a table of a file; see `Adapter`.

    Keyword search needs an FTS5 table: the table itself, one whose `content` it is, or the
    one that `fts=` names, whose rows have the same rowid.
    """
    connections = SQLiteConnections(url)
    with close_on_error(connections.close):
        names, fts = list_tables(connections)
        plain = [name for name in names if name not in fts]
        table = choose_table(url, names if url.table is not None or not plain else plain)
        kinds, key = read_kinds(connections, table)
        vectors = [name for name, kind in kinds.items() if kind == "bytes"]
        columns = choose_columns(url, kinds, table=table, key=key, vectors=vectors)
        words, row = find_fts(url, table, fts)
        info = StoreInfo(
            url.redacted,
            f"SQLite {sqlite3.sqlite_version}",
            "BM25 of FTS5 (k1 1.2, b 0.75)" if words else None,
        )
        store = SQLiteStore(url, columns, info, connections, table, words, row)
        note = None
        if words is None:
            note = f"the table {table!r} has no FTS5 table; {_how_to_index(table, columns)}"
        return store.fit(embedder, note=note)


def _how_to_index(table: str, columns: TableColumns) -> str:
    quoted = SQLDialect().name
    texts = ", ".join(quoted(c) for c in (columns.title, columns.text) if c is not None)
    name = quoted(f"{table}_fts")
    return (
        f"one is made by: CREATE VIRTUAL TABLE {name} USING fts5({texts}, "
        f"content={quoted(table)}); INSERT INTO {name} ({name}) VALUES ('rebuild')"
    )


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
    ) -> None:
        super().__init__(url, columns, info)
        self._connections = connections
        quoted = SQLDialect().name
        self._table, self._row = quoted(table), quoted(row) if row != "rowid" else row
        self._words = None if words is None else quoted(words)
        self._columns = ", ".join(f"t.{quoted(c)}" for c in columns.read)
        self._vector = None if columns.vector is None else f"t.{quoted(columns.vector)}"

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
        """Search by cosine, exactly: the vectors are read in steps, then the best rows."""
        dialect = self.dialect()
        where = condition(dialect)
        statement = (
            f"SELECT t.rowid, {self._vector} FROM {self._table} AS t "
            f"WHERE {self._vector} NOT NULL AND {where or '1'}"
        )
        import numpy as np

        size = 4 * self.dimension

        def search(connection: sqlite3.Connection) -> tuple[dict[int, float], list[Any], int]:
            best: list[tuple[float, int]] = []
            other = 0
            cursor = connection.execute(statement, dialect.values)
            while part := cursor.fetchmany(_ROWS_PER_STEP):
                rows = [r for r in part if isinstance(r[1], bytes) and len(r[1]) == size]
                other += len(part) - len(rows)
                vectors = [np.frombuffer(data, "<f4") for _, data in rows]
                best += zip(cosines(embedding, vectors), (row for row, _ in rows), strict=True)
                best = sorted(best, key=lambda pair: (-pair[0], pair[1]))[:limit]
            found = {row: cosine for cosine, row in best}
            read = (
                f"SELECT t.rowid, {self._columns} FROM {self._table} AS t WHERE t.rowid IN "
                f"({', '.join('?' * len(found))})"
            )
            return found, connection.execute(read, list(found)).fetchall(), other

        scores, rows, other = self._connections.read(search)
        hits = self.hits_of([(scores[row[0]], *row[1:]) for row in rows])
        reason = f"whose vector has not {self.dimension} numbers"
        return Hits(hits, {**hits.left_out, reason: other})

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
