"""PostgreSQL: full text by `ts_rank_cd`, vectors by pgvector; sessions only ever read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.filter_sql import PostgresDialect, SQLDialect
from secondpass.retrieve.backends.postgres_catalog import Catalog, FullText
from secondpass.retrieve.backends.postgres_session import Session
from secondpass.retrieve.backends.sql_store import Condition, SQLStore
from secondpass.retrieve.backends.table_columns import TableColumns
from secondpass.retrieve.backends.table_store import close_on_error
from secondpass.retrieve.backends.vector_fit import PROBED_ROWS
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.retrieve.store_protocol import Hits, StoreInfo, TextEncoder

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

PARAMETERS = ("host", "sslmode", "sslrootcert", "tsvector")
RANKING = "ts_rank_cd divided by 1 + log(length), which has no idf"
_NORMALIZATION = 1


def open(url: DatabaseURL, embedder: TextEncoder | None) -> HybridRetriever:  # noqa: A001
    """Open a table, view or materialized view; see `Adapter`.

    Where the URL leaves them out, host, user and password are those of PGHOST, PGUSER,
    PGPASSWORD and the other variables and files that libpq reads.
    """
    session = Session(url)
    with close_on_error(session.close):
        catalog = Catalog(url, session.run)
        columns = catalog.columns
        words = catalog.full_text()
        info = StoreInfo(url.redacted, catalog.engine, RANKING)
        store = PostgresStore(url, columns, info, session, catalog, words)
        return store.fit(embedder, catalog.dimension, words.note)


class PostgresStore(SQLStore):
    """A table of a database."""

    def __init__(
        self,
        url: DatabaseURL,
        columns: TableColumns,
        info: StoreInfo,
        session: Session,
        catalog: Catalog,
        words: FullText,
    ) -> None:
        super().__init__(url, columns, info)
        self._session, self._words, self._operator = session, words, catalog.operator
        quoted = PostgresDialect({}).name
        self._table = f"{quoted(catalog.schema)}.{quoted(catalog.table)}"
        self._columns = ", ".join(quoted(name) for name in columns.read)
        self._id = quoted(columns.id)
        self._vector = None if columns.vector is None else quoted(columns.vector)
        self._vector_type = catalog.vector_type

    def dialect(self) -> SQLDialect:
        """Return a translator for one statement."""
        return PostgresDialect(self.columns.kinds)

    def count_passages(self) -> int:
        """Return the number of rows."""
        return int(self._session.run(f"SELECT count(*) FROM {self._table}")[0][0])

    def keywords(
        self,
        words: Sequence[str],
        limit: int,
        condition: Condition,
        vectors: bool,
        all_words: bool,
    ) -> Hits:
        """Search for words by the text search configuration."""
        dialect = self.dialect()
        # In quotes no word is an operator.
        query = (" " if all_words else " or ").join(f'"{word}"' for word in words)
        parsed = [
            f"websearch_to_tsquery({self._words.configuration}, {dialect.bind(query)})"
            for _ in range(2)
        ]
        vector = f", {self._vector}" if vectors else ""
        document = self._words.document
        statement = (
            f"SELECT ts_rank_cd({document}, {parsed[0]}, {_NORMALIZATION}), {self._columns}"
            f"{vector} FROM {self._table} WHERE {document} @@ {parsed[1]} "
            f"AND {condition(dialect) or 'true'} ORDER BY 1 DESC, {self._id} "
            f"LIMIT {dialect.bind(limit)}"
        )
        return self.hits_of(self._session.run(statement, dialect.values), vectors=vectors)

    def nearest(self, embedding: Embedding, limit: int, condition: Condition) -> Hits:
        """Search by cosine; by the index of pgvector where there is one, else exactly."""
        dialect = self.dialect()
        text = "[" + ",".join(map(repr, embedding.tolist())) + "]"
        cast = f"::{self._vector_type}"
        statement = (
            f"SELECT 1 - ({self._vector} <=> {dialect.bind(text)}{cast}), {self._columns} "
            f"FROM {self._table} WHERE {self._vector} IS NOT NULL "
            f"AND {condition(dialect) or 'true'} "
            # One of the index's operator class; the vectors have the same order by each.
            f"ORDER BY {self._vector} {self._operator} {dialect.bind(text)}{cast} "
            f"LIMIT {dialect.bind(limit)}"
        )
        return self.hits_of(self._session.run(statement, dialect.values))

    def probe(self) -> list[tuple[Any, Embedding]]:
        """Return some rows with their vectors."""
        rows = self._session.run(
            f"SELECT 0, {self._columns}, {self._vector} FROM {self._table} "
            f"WHERE {self._vector} IS NOT NULL LIMIT {PROBED_ROWS}"
        )
        return self.documents_with_vectors(rows)

    def close(self) -> None:
        """End the connections."""
        self._session.close()
