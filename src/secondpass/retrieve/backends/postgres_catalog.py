"""What the catalog of PostgreSQL says of a table: columns, full text, vectors."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from secondpass.errors import InputError, nearest
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.filter_sql import PostgresDialect
from secondpass.retrieve.backends.table_columns import choose_columns, choose_table
from secondpass.retrieve.metadata import quoted as literal

Run = Callable[..., list[tuple[Any, ...]]]

_TABLES = """
SELECT c.relname, n.nspname, c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
AND n.nspname NOT IN ('pg_catalog', 'information_schema')
AND n.nspname NOT LIKE 'pg\\_toast%%'
AND (n.nspname = %(schema)s OR (%(schema)s::text IS NULL AND pg_table_is_visible(c.oid)))
"""
_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_KEY = """
SELECT a.attname FROM pg_index i JOIN pg_attribute a
ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = %s AND i.indisprimary
"""
_INDEXES = """
SELECT pg_get_expr(i.indexprs, i.indrelid), a.attname, o.opcname
FROM pg_index i JOIN pg_opclass o ON o.oid = i.indclass[0]
LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = %s AND i.indisvalid
"""
_TRIGGERS = """
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = %s AND NOT tgisinternal
"""
_VECTOR = re.compile(r"(?:\w+\.)?((?:half)?vec(?:tor)?)(?:\((\d+)\))?")
_CONFIGURATION = re.compile(r"to_tsvector\(\s*'([^']+)'")
_TRIGGER = re.compile(r"tsvector_update_trigger\(\s*'?(\w+)'?\s*,\s*'([^']+)'")
_KINDS = {
    **dict.fromkeys(("text", "character varying", "character", "citext", "name"), "text"),
    **dict.fromkeys(("smallint", "integer", "bigint"), "integer"),
    **dict.fromkeys(("numeric", "real", "double precision"), "number"),
    **{"boolean": "boolean", "date": "date", "json": "json", "jsonb": "json", "uuid": "uuid"},
    **dict.fromkeys(("timestamp without time zone", "timestamp with time zone"), "datetime"),
    **{"tsvector": "words", "bytea": "bytes"},
}
_OPERATORS = {"cosine": "<=>", "ip": "<#>", "l2": "<->"}


@dataclass(frozen=True, slots=True)
class FullText:
    """How a table is searched by words.

    `document` is an expression of type tsvector, `configuration` one of type regconfig, as a
    statement has them; `note` says what is slow or guessed.
    """

    document: str
    configuration: str
    note: str | None = None


class Catalog:
    """A table and what can be searched there.

    Raises InputError where the table or a column of the URL is not there.
    """

    def __init__(self, url: DatabaseURL, run: Run) -> None:
        self._url, self._run = url, run
        self.engine = f"PostgreSQL {run('SHOW server_version')[0][0].split()[0]}"
        tables = {
            name: (schema, oid) for name, schema, oid in run(_TABLES, {"schema": url.schema})
        }
        self.table = choose_table(url, list(tables))
        self.schema, self._oid = tables[self.table]
        rows = run(_COLUMNS, [self._oid])
        self._types = {name: kind for name, kind, _ in rows}
        self._generated = {name: text for name, _, text in rows if text is not None}
        kinds = {name: _kind(kind) for name, kind in self._types.items()}
        keys = run(_KEY, [self._oid])
        vectors = [name for name, kind in kinds.items() if kind == "vector"]
        self.columns = choose_columns(
            url,
            kinds,
            table=self.table,
            key=keys[0][0] if len(keys) == 1 else None,
            vectors=vectors,
        )
        self.vector_type, self.dimension = "vector", None
        if self.columns.vector is not None:
            match = _VECTOR.fullmatch(self._types[self.columns.vector])
            if match is None:
                raise InputError(
                    f"the column {self.columns.vector!r} holds no vectors",
                    where=url.redacted,
                    why=f"its type is {self._types[self.columns.vector]}",
                    fix="Name one of pgvector's types vector and halfvec.",
                )
            self.vector_type = match[1]
            self.dimension = None if match[2] is None else int(match[2])
        self._indexes = run(_INDEXES, [self._oid])

    @property
    def operator(self) -> str:
        """The distance that the index of the vectors is for; of cosines where there is none."""
        for _, column, operators in self._indexes:
            if column == self.columns.vector:
                for name, operator in _OPERATORS.items():
                    if operators.endswith(f"_{name}_ops"):
                        return operator
        return "<=>"

    def full_text(self) -> FullText:
        """Return how words are searched for: a tsvector column, an index, or neither."""
        dialect = PostgresDialect({})
        column = self._tsvector_column()
        if column is not None:
            found, why = self._configuration(self._generated.get(column, ""), column)
            return FullText(dialect.name(column), found, why)
        for expression, _, _ in self._indexes:
            match = _CONFIGURATION.search(expression or "")
            if match is not None and self._url.analyzer in (None, match[1]):
                document = f"({expression.replace('%', '%%')})"
                return FullText(document, f"{literal(match[1])}::regconfig")
        configuration, note = self._configuration("", None)
        texts = [c for c in (self.columns.title, self.columns.text) if c is not None]
        joined = " || ' ' || ".join(f"coalesce({dialect.name(c)}::text, '')" for c in texts)
        document = f"to_tsvector({configuration}, {joined})"
        named = literal(self._url.analyzer or "english")
        index = f"to_tsvector({named}, {joined.replace('%%', '%')})"
        table = f"{dialect.name(self.schema)}.{dialect.name(self.table)}"
        slow = (
            "full text is computed for every row of every search; an index is made by: "
            f"CREATE INDEX ON {table} USING gin ({index})"
        )
        return FullText(document, configuration, "; ".join(n for n in (slow, note) if n))

    def _tsvector_column(self) -> str | None:
        columns = [name for name, kind in self._types.items() if kind == "tsvector"]
        named = self._url.options.get("tsvector")
        if named is not None and named not in columns:
            raise InputError(
                f"there is no column {named!r} of type tsvector",
                where=self._url.redacted,
                fix=nearest(named, columns) or "Leave it out.",
            )
        return named or (columns[0] if columns else None)

    def _configuration(self, generated: str, column: str | None) -> tuple[str, str | None]:
        """Return the configuration as an expression, and a note where it is a guess."""
        if self._url.analyzer is not None:
            names = [n for (n,) in self._run("SELECT cfgname FROM pg_ts_config")]
            if self._url.analyzer.rpartition(".")[2] not in names:
                raise InputError(
                    f"there is no text search configuration {self._url.analyzer!r}",
                    where=self._url.redacted,
                    fix=nearest(self._url.analyzer, names),
                )
            return f"{literal(self._url.analyzer)}::regconfig".replace("%", "%%"), None
        found = _CONFIGURATION.search(generated)
        if found is not None:
            return f"{literal(found[1])}::regconfig", None
        for (definition,) in self._run(_TRIGGERS, [self._oid]):
            match = _TRIGGER.search(definition)
            if match is not None and match[1] == column:
                return f"{literal(match[2])}::regconfig", None
        default = self._run("SELECT get_current_ts_config()::text")[0][0]
        note = (
            f"queries are read by the default configuration {default!r}; name the one that the "
            "texts were indexed by with analyzer="
        )
        return f"{literal(default)}::regconfig", note


def _kind(data_type: str) -> str:
    if _VECTOR.fullmatch(data_type):
        return "vector"
    return _KINDS.get(data_type.partition("(")[0], _KINDS.get(data_type, "other"))
