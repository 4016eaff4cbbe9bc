"""DuckDB files: opened for reading, with the extension fts from where it is installed."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from threading import Timer
from typing import Any

from secondpass.errors import MissingExtraError, RetrieverError
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.sql_store import failed

VECTOR = re.compile(r"(FLOAT|DOUBLE)\[(\d*)\]")
_KINDS = {
    **dict.fromkeys(("VARCHAR", "ENUM"), "text"),
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), "integer"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"), "integer"),
    **dict.fromkeys(("FLOAT", "DOUBLE", "DECIMAL"), "number"),
    **{"BOOLEAN": "boolean", "DATE": "date", "JSON": "json", "UUID": "uuid", "BLOB": "bytes"},
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_MS", "TIMESTAMP_S"), "datetime"),
}


class DuckDBFile:
    """A file opened for reading; each read has a cursor of its own."""

    def __init__(self, url: DatabaseURL) -> None:
        try:
            import duckdb
        except ImportError as error:
            raise MissingExtraError("DuckDB", package="duckdb", extra="duckdb") from error
        self._url, self._errors = url, (duckdb.Error,)
        self._interrupted = duckdb.InterruptException
        self.engine = f"DuckDB {duckdb.__version__}"
        if not url.file.is_file():
            raise RetrieverError(
                "the database cannot be opened",
                where=url.redacted,
                why=f"{url.file} is not there",
                fix="duckdb:///FILE is relative to this folder, duckdb:////FILE absolute.",
            )
        try:
            self._connection = duckdb.connect(str(url.file), read_only=True)
        except self._errors as error:
            raise failed(url, error) from error

    def run(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of one statement; it ends after the time-out."""
        timer = None
        try:
            with self._connection.cursor() as cursor:
                timer = Timer(self._url.timeout, cursor.interrupt)
                timer.daemon = True
                timer.start()
                return cursor.execute(statement, list(values)).fetchall()
        except self._errors as error:
            late = isinstance(error, self._interrupted)
            raise failed(self._url, error, timeout=late) from error
        finally:
            if timer is not None:
                timer.cancel()

    def load_fts(self) -> None:
        """Make keyword search possible; raises MissingExtraError without the extension."""
        load_fts(self._connection)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def kind_of_type(data_type: str) -> str:
    """Return the kind of a column of this type."""
    if VECTOR.fullmatch(data_type):
        return "vector"
    if data_type == "TIMESTAMP WITH TIME ZONE":
        return "datetime"
    return _KINDS.get(data_type.partition("(")[0], "other")


def load_fts(connection: Any) -> None:
    """Load the extension fts: the installed one, or that of its package; nothing is fetched.

    Raises MissingExtraError where there is neither for this version of DuckDB.
    """
    import duckdb

    try:
        connection.execute("LOAD fts")
    except duckdb.Error as error:
        spec = importlib.util.find_spec("duckdb_extension_fts")
        places = [] if spec is None else spec.submodule_search_locations or []
        for place in places:
            file = Path(place, "extensions", f"v{duckdb.__version__}", "fts.duckdb_extension")
            if file.is_file():
                quoted = str(file).replace("'", "''")
                connection.execute(f"LOAD '{quoted}'")
                return
        raise MissingExtraError(
            "keyword search in DuckDB",
            package=f"duckdb-extension-fts=={duckdb.__version__}",
            extra="duckdb",
        ) from error
