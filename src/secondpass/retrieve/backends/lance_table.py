"""Lance tables of others, by their own indexes; an index of secondpass is opened too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from secondpass.errors import RetrieverError, SecondpassError
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.filter_sql import LanceDialect, SQLDialect
from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.backends.lance.table import connect, text_columns
from secondpass.retrieve.backends.sql_store import Condition, SQLStore, failed
from secondpass.retrieve.backends.table_columns import (
    choose_columns,
    choose_table,
)
from secondpass.retrieve.backends.vector_fit import PROBED_ROWS, cosines, to_vector
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.retrieve.settings import FILE
from secondpass.retrieve.store_protocol import Hits, StoreInfo, TextEncoder

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

PARAMETERS: tuple[str, ...] = ()
T = TypeVar("T")


def open(url: DatabaseURL, embedder: TextEncoder | None) -> HybridRetriever:  # noqa: A001
    """Open `FOLDER/NAME.lance`, or the table of a folder of them; see `Adapter`.

    The folder of an index of secondpass is opened as that, with all that it can do.
    """
    folder = url.file
    if (folder / FILE).exists():
        return _OwnIndex(folder, embedder)
    return _open_table(url, folder, embedder)


class _OwnIndex(HybridRetriever):
    """An index of secondpass, which is closed with its retriever."""

    def __init__(self, folder: Path, embedder: TextEncoder | None) -> None:
        store = open_index(folder, embedder, create=False)
        if embedder is None and store.dimension:
            from secondpass.retrieve.embedder import Embedder

            bundled = Embedder()
            embedder = bundled if bundled.digest == store.settings.embedder_digest else None
        super().__init__(store, embedder)
        self._own = store

    def close(self) -> None:
        """End the threads and close the index."""
        super().close()
        self._own.close()


def _open_table(
    url: DatabaseURL, folder: Path, embedder: TextEncoder | None
) -> HybridRetriever:
    if not folder.is_dir():
        raise RetrieverError(
            "the table cannot be opened",
            where=url.redacted,
            why=f"{folder} is no folder",
            fix="lance:///FOLDER is relative to this folder, lance:////FOLDER absolute.",
        )
    if url.table is None and folder.suffix == ".lance":
        url, folder = replace(url, table=folder.stem), folder.parent
    name = choose_table(url, [path.stem for path in folder.glob("*.lance")])
    store = LanceTable(url, folder, name)
    return store.fit(embedder, store.vector_length, store.words_note)


class LanceTable(SQLStore):
    """A table of LanceDB that others made."""

    def __init__(self, url: DatabaseURL, folder: Path, name: str) -> None:
        import lancedb

        self.url = url
        self._table: Any = self._guard(lambda: connect(folder).open_table(name))
        schema = self._table.schema
        kinds = {field.name: _kind(field.type) for field in schema}
        columns = choose_columns(url, kinds, table=name)
        self.vector_length = (
            None if columns.vector is None else schema.field(columns.vector).type.list_size
        )
        indexed = self._guard(lambda: text_columns(self._table))
        self._indexed = [c for c in (columns.title, columns.text) if c in indexed]
        self.words_note = None
        if columns.text not in indexed:
            self.words_note = (
                f"the column {columns.text!r} has no index of words; one is made by: "
                f"table.create_fts_index({columns.text!r})"
            )
        ranking = "BM25 of LanceDB" if self._indexed else None
        super().__init__(
            url, columns, StoreInfo(url.redacted, f"LanceDB {lancedb.__version__}", ranking)
        )

    def dialect(self) -> SQLDialect:
        """Return a translator for one statement."""
        return LanceDialect()

    def count_passages(self) -> int:
        """Return the number of rows."""
        return int(self._guard(lambda: self._table.count_rows()))

    def keywords(
        self,
        words: Sequence[str],
        limit: int,
        condition: Condition,
        vectors: bool,
        all_words: bool,
    ) -> Hits:
        """Search for words in the columns that have an index of words."""
        from lancedb.query import FullTextOperator, MatchQuery, MultiMatchQuery

        one: Any = MatchQuery
        several: Any = MultiMatchQuery
        operator = FullTextOperator.AND if all_words else FullTextOperator.OR
        query = (
            one(" ".join(words), self._indexed[0], operator=operator)
            if len(self._indexed) == 1
            else several(" ".join(words), self._indexed, operator=operator)
        )
        search = self._table.search(query, query_type="fts")
        rows = self._rows(search, "_score", condition(self.dialect()), limit, vectors)
        return self.hits_of(rows, vectors=vectors)

    def nearest(self, embedding: Embedding, limit: int, condition: Condition) -> Hits:
        """Search by the table's index of vectors, or else exactly; scores are cosines."""
        search = self._table.search(embedding, vector_column_name=str(self.columns.vector))
        where = condition(self.dialect())
        rows = self._rows(search, "_distance", where, limit, True)
        found = [(to_vector(row[-1]), row) for row in rows]
        complete = [(vector, row) for vector, row in found if vector is not None]
        scores = cosines(embedding, [vector for vector, _ in complete])
        return self.hits_of(
            [(s, *row[1:]) for s, (_, row) in zip(scores, complete, strict=True)]
        )

    def probe(self) -> list[tuple[Any, Embedding]]:
        """Return some rows with their vectors."""
        where = f"`{self.columns.vector}` IS NOT NULL"
        return self.documents_with_vectors(
            self._rows(self._table.search(), None, where, PROBED_ROWS, True)
        )

    def close(self) -> None:
        """Release the table."""
        self._table = None

    def _rows(
        self, search: Any, score: str | None, where: str | None, limit: int, vectors: bool
    ) -> list[tuple[Any, ...]]:
        """Return rows as `hits_of` takes them; their scores are in a column of the result."""
        names = [*self.columns.read, *([str(self.columns.vector)] if vectors else [])]
        wanted = dict.fromkeys([*names, *([] if score is None else [score])])

        def read() -> list[tuple[Any, ...]]:
            query = search.select(list(wanted)).limit(limit)
            if where is not None:
                query = query.where(where)
            found = query.to_arrow(timeout=timedelta(seconds=self.url.timeout)).to_pylist()
            return [(row.get(score, 0.0), *(row[name] for name in names)) for row in found]

        return self._guard(read)

    def _guard(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except SecondpassError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            late = "timeout" in str(error).lower()
            raise failed(self.url, error, timeout=late) from error


def _kind(arrow_type: Any) -> str:
    import pyarrow.types as types

    if types.is_fixed_size_list(arrow_type):
        return "vector" if types.is_floating(arrow_type.value_type) else "other"
    tests: tuple[tuple[str, Callable[[Any], bool]], ...] = (
        *(("text", types.is_string), ("text", types.is_large_string)),
        *(("integer", types.is_integer), ("number", types.is_floating)),
        *(("number", types.is_decimal), ("boolean", types.is_boolean)),
        *(("date", types.is_date), ("datetime", types.is_timestamp)),
        ("bytes", types.is_binary),
    )
    return next((kind for kind, test in tests if test(arrow_type)), "other")
