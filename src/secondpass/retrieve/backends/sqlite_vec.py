"""Tables of the extension sqlite-vec (`vec0`): which a file has, and how they are searched."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from secondpass.errors import InputError, MissingExtraError, nearest
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.filter_sql import SQLDialect

MAX_NEIGHBORS = 4096
"""The most rows that one search of the extension returns."""
_VEC0 = re.compile(r"\busing\s+vec0\s*\(", re.IGNORECASE)
_FLOATS = re.compile(r"(?<!\w)(\w+|\"[^\"]+\")\s+float\s*\[\s*(\d+)\s*\]([^,]*)", re.IGNORECASE)
_SHADOW = re.compile(
    r"_(info|chunks|rowids|auxiliary|(vector_chunks|metadatachunks|metadatatext)\d+)"
)


@dataclass(frozen=True, slots=True)
class VectorTable:
    """A `vec0` table: its name, its column of float vectors, how many numbers each has.

    `ordered` is whether its own search orders unit vectors as their cosine does.
    """

    name: str
    column: str
    dimension: int
    ordered: bool = True

    def nearest(self, key: str) -> str:
        """Return the statement that searches: its values are a vector and how many rows.

        `key` names the rows.
        """
        quoted = SQLDialect().name
        column = quoted(self.column)
        return (
            f"SELECT {key}, {column} FROM {quoted(self.name)} WHERE {column} MATCH ? AND k = ?"
        )

    def vector_of(self, row: str) -> str:
        """Return the expression of the vector that is in the row of this rowid."""
        quoted = SQLDialect().name
        return (
            f"(SELECT v.{quoted(self.column)} FROM {quoted(self.name)} v WHERE v.rowid = {row})"
        )


def vector_tables(schema: Iterable[tuple[str, str | None]]) -> dict[str, VectorTable]:
    """Return the `vec0` tables of a schema's names and statements, without other vectors."""
    tables = {}
    for name, statement in schema:
        match = _VEC0.search(statement or "")
        floats = None if match is None else _FLOATS.search(match.string, match.end())
        if floats is not None:
            ordered = not re.search(r"distance_metric\s*=\s*l1", floats[3], re.IGNORECASE)
            column, dimension = floats[1].strip('"'), int(floats[2])
            tables[name] = VectorTable(name, column, dimension, ordered)
    return tables


def is_part(name: str, tables: Iterable[str]) -> bool:
    """Return whether a table is one that the extension keeps for another."""
    return any(
        name.startswith(table) and _SHADOW.fullmatch(name[len(table) :]) for table in tables
    )


def choose_vectors(
    url: DatabaseURL,
    table: str,
    tables: Mapping[str, VectorTable],
    *,
    blobs: bool,
    why_not: str | None,
) -> tuple[VectorTable | None, str | None]:
    """Return the `vec0` table with the vectors of a table, or None, and a note.

    It is the one of the URL (`vec=`), the table itself, or, where the table has no `blobs` that
    may be vectors, the only one; its rows have the same rowids. `why_not` is why none can be
    read.
    """
    named = url.options.get("vec", table if table in tables else None)
    if named is not None and named not in tables:
        raise InputError(
            f"the database has no vec0 table {named!r}",
            where=url.redacted,
            fix=nearest(named, tables),
        )
    if named is None:
        if blobs or len(tables) != 1:
            return None, None
        named = next(iter(tables))
    if why_not is None:
        return tables[named], None
    note = f"the vectors of {named!r} are not read: {why_not}"
    if named == table:
        raise InputError(f"the table {table!r} cannot be read", where=url.redacted, why=note)
    return None, note


def load_vec0(connection: sqlite3.Connection) -> str | None:
    """Load the extension where a file has tables of it; return why it cannot be loaded."""
    schema = "SELECT 1 FROM sqlite_master WHERE sql LIKE '%vec0%' LIMIT 1"
    if connection.execute(schema).fetchone() is None:
        return None
    if not hasattr(connection, "enable_load_extension"):
        return "the sqlite3 of this Python was built without the loading of extensions"
    try:
        import sqlite_vec
    except ImportError:
        return str(MissingExtraError("vec0 tables", package="sqlite-vec", extra="sqlite-vec"))
    connection.enable_load_extension(True)
    try:
        sqlite_vec.load(connection)
    finally:
        connection.enable_load_extension(False)
    return None
