"""DuckDB: keyword search by the extension fts, vectors in columns FLOAT[n] or FLOAT[]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.duckdb_file import VECTOR, DuckDBFile, kind_of_type
from secondpass.retrieve.backends.filter_sql import DuckDBDialect, SQLDialect
from secondpass.retrieve.backends.sql_store import Condition, SQLStore
from secondpass.retrieve.backends.table_columns import (
    TableColumns,
    choose_columns,
    choose_table,
)
from secondpass.retrieve.backends.table_store import close_on_error
from secondpass.retrieve.backends.vector_fit import PROBED_ROWS
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.retrieve.store_protocol import Hits, StoreInfo, TextEncoder

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

PARAMETERS = ()


def open(url: DatabaseURL, embedder: TextEncoder | None) -> HybridRetriever:  # noqa: A001
    """Open a table of a file, for reading; see `Adapter`.

    Keyword search needs the index that `PRAGMA create_fts_index` makes, over the id column.
    """
    reader = DuckDBFile(url)
    with close_on_error(reader.close):
        schema = url.schema or "main"
        names = "SELECT table_name FROM information_schema.tables WHERE table_schema = ?"
        table = choose_table(url, [name for (name,) in reader.run(names, [schema])])
        types = dict(
            reader.run(
                "SELECT column_name, data_type FROM information_schema.columns "
                "WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position",
                [schema, table],
            )
        )
        kinds = {name: kind_of_type(kind) for name, kind in types.items()}
        keys = reader.run(
            "SELECT constraint_column_names FROM duckdb_constraints() WHERE schema_name = ? "
            "AND table_name = ? AND constraint_type = 'PRIMARY KEY'",
            [schema, table],
        )
        key = keys[0][0][0] if keys and len(keys[0][0]) == 1 else None
        columns = choose_columns(url, kinds, table=table, key=key)
        store = DuckDBStore(url, columns, reader, schema, table)
        store.zoned = frozenset(name for name, kind in types.items() if "TIME ZONE" in kind)
        dimension = None
        if columns.vector is not None and (match := VECTOR.match(types[columns.vector])):
            dimension = int(match[2]) if match[2] else None
        store.sized = dimension is not None
        return store.fit(embedder, dimension, store.check_words())


class DuckDBStore(SQLStore):
    """A table of a file, with the index that the extension fts made of it."""

    sized = True
    """Whether the vectors' type names their length."""
    zoned: frozenset[str] = frozenset()
    """The columns of times with a zone."""

    def __init__(
        self,
        url: DatabaseURL,
        columns: TableColumns,
        reader: DuckDBFile,
        schema: str,
        table: str,
    ) -> None:
        quoted = SQLDialect().name
        self._reader, self._plain = reader, table
        self._table = f"{quoted(schema)}.{quoted(table)}"
        self._index = f"fts_{schema}_{table}"
        self._id = quoted(columns.id)
        self._vector = None if columns.vector is None else quoted(columns.vector)
        super().__init__(url, columns, StoreInfo(url.redacted, reader.engine, None))

    def dialect(self) -> SQLDialect:
        """Return a translator for one statement."""
        return DuckDBDialect(self.columns.kinds, self.zoned)

    @property
    def _columns(self) -> str:
        dialect = DuckDBDialect({}, self.zoned)
        return ", ".join(dialect.column(name) for name in self.columns.read)

    def count_passages(self) -> int:
        """Return the number of rows."""
        return int(self._reader.run(f"SELECT count(*) FROM {self._table}")[0][0])

    def check_words(self) -> str | None:
        """Set the ranking if the table has an index of words; return what is wrong with it."""
        texts = [c for c in (self.columns.title, self.columns.text) if c is not None]
        given = ", ".join(f"'{name}'" for name in (self._plain, self.columns.id, *texts))
        make = f"PRAGMA create_fts_index({given}, overwrite = 1)"
        schemas = self._reader.run("SELECT schema_name FROM duckdb_schemas()")
        if (self._index,) not in schemas:
            return (
                f"the table has no index of words, so only vectors are searched; make: {make}"
            )
        self._reader.load_fts()
        indexed = SQLDialect().name(self._index) + ".docs"
        both = (
            f"SELECT count(*), (SELECT count(*) FROM {self._table}) FROM {indexed} AS d "
            f"JOIN {self._table} AS t ON t.{self._id} = d.name"
        )
        found, rows = self._reader.run(both)[0]
        self.info = replace(self.info, ranking="BM25 of the extension fts (k1 1.2, b 0.75)")
        if found == rows:
            return None
        return f"the index of words has {found} of {rows} rows, by id; make it again: {make}"

    def keywords(
        self,
        words: Sequence[str],
        limit: int,
        condition: Condition,
        vectors: bool,
        all_words: bool,
    ) -> Hits:
        """Search for words by the macro match_bm25."""
        dialect = self.dialect()
        macro = f"{dialect.name(self._index)}.match_bm25"
        score = f"{macro}({self._id}, {dialect.bind(' '.join(words))}, conjunctive := "
        score += f"{int(all_words)})"
        vector = f", {self._vector}" if vectors else ""
        rows = self._reader.run(
            f'SELECT * FROM (SELECT {score} AS "$score", {self._columns}{vector} '
            f"FROM {self._table} WHERE {condition(dialect) or 'true'}) "
            f'WHERE "$score" IS NOT NULL ORDER BY "$score" DESC, {self._id} '
            f"LIMIT {dialect.bind(limit)}",
            dialect.values,
        )
        return self.hits_of(rows, vectors=vectors)

    def nearest(self, embedding: Embedding, limit: int, condition: Condition) -> Hits:
        """Search by cosine, exactly."""
        dialect, size = self.dialect(), f"{self.dimension}" if self.sized else ""
        of = "array" if self.sized else "list"
        score = (
            f"{of}_cosine_similarity({self._vector}::FLOAT[{size}], "
            f"{dialect.bind(embedding.tolist())}::FLOAT[{size}])"
        )
        rows = self._reader.run(
            f'SELECT * FROM (SELECT {score} AS "$score", {self._columns} FROM {self._table} '
            f"WHERE len({self._vector}::FLOAT[]) = {self.dimension} "
            f"AND {condition(dialect) or 'true'}) "
            f'WHERE isfinite("$score") ORDER BY "$score" DESC, {self._id} '
            f"LIMIT {dialect.bind(limit)}",
            dialect.values,
        )
        return self.hits_of(rows)

    def probe(self) -> list[tuple[Any, Embedding]]:
        """Return some rows with their vectors."""
        rows = self._reader.run(
            f"SELECT 0.0, {self._columns}, {self._vector} FROM {self._table} "
            f"WHERE {self._vector} IS NOT NULL LIMIT {PROBED_ROWS}"
        )
        return self.documents_with_vectors(rows)

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
