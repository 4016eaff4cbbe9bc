"""Filters as SQL: one tree, the dialect of each engine, values as parameters."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from datetime import date, datetime
from typing import cast

from secondpass.errors import FilterError
from secondpass.retrieve.backends.filter_json import Leaf, translate
from secondpass.retrieve.filter_tree import (
    All,
    AnyOf,
    Comparison,
    Constant,
    Filter,
    IsNull,
    Like,
    Not,
    OneOf,
    like_parts,
)
from secondpass.retrieve.json_filter import Value, literal


class SQLDialect:
    """Translates filters into the SQL of one engine; the parameters collect in `values`.

    One object is for one statement. `placeholder` is how the engine marks a parameter.
    """

    placeholder = "?"

    def __init__(self) -> None:
        self.values: list[object] = []

    def bind(self, value: object) -> str:
        """Add a parameter and return its mark."""
        self.values.append(value)
        return self.placeholder

    def name(self, name: str) -> str:
        """Return the name of a column or table as the statement has it."""
        return '"' + name.replace('"', '""') + '"'

    def column(self, field: str) -> str:
        """Return a field as its comparisons have it."""
        return self.name(field)

    def ordered(self, field: str) -> str:
        """Return a field as comparisons of more and less have it."""
        return self.column(field)

    def value(self, field: str, value: Value) -> str:
        """Return the mark of a value that a field is compared with."""
        return self.bind(value)

    def where(self, tree: Filter) -> str:
        """Return the condition of a filter; raises FilterError for what the engine lacks."""
        match tree:
            case Constant(value):
                return "(1 = 1)" if value else "(1 = 0)"
            case IsNull(field):
                return f"({self.name(field)} IS NULL)"
            case Not(part):
                return f"(NOT {self.where(part)})"
            case All(parts):
                return "(" + " AND ".join(self.where(part) for part in parts) + ")"
            case AnyOf(parts):
                return "(" + " OR ".join(self.where(part) for part in parts) + ")"
            case Like():
                return self.like(tree)
            case OneOf(field, values):
                marks = ", ".join(self.value(field, value) for value in values)
                return f"({self.column(field)} IN ({marks}))"
            case Comparison(field, operator, value):
                sign = "<>" if operator == "!=" else operator
                equal = operator in ("=", "!=")
                column = self.column(field) if equal else self.ordered(field)
                return f"({column} {sign} {self.value(field, value)})"

    def like(self, tree: Like) -> str:
        """Return the condition that a text matches a pattern."""
        word = "ILIKE" if tree.ignore_case else "LIKE"
        # A lone backslash at the end is an error in some engines.
        pattern = "".join(
            "\\" + text if literal and text in "\\%_" else text
            for text, literal in like_parts(tree.pattern)
        )
        return f"({self.name(tree.field)} {word} {self.bind(pattern)} ESCAPE '\\')"


class SQLiteDialect(SQLDialect):
    """SQLite: texts compare by code points, dates and times are texts."""

    def __init__(self, kinds: Mapping[str, str]) -> None:
        super().__init__()
        self.kinds = kinds

    def column(self, field: str) -> str:
        """Return a field; dates and times in one form, so that they compare as texts."""
        name, kind = self.name(field), self.kinds.get(field)
        if kind == "date":
            return f"date({name})"
        if kind == "datetime":
            return f"strftime('%Y-%m-%d %H:%M:%f', {name})"
        return name

    def value(self, field: str, value: Value) -> str:
        """Return the mark of a value; times as SQLite writes them, in milliseconds."""
        if isinstance(value, datetime):
            return self.bind(value.isoformat(" ", "milliseconds"))
        return self.bind(value.isoformat() if isinstance(value, date) else value)

    def like(self, tree: Like) -> str:
        """Return the condition by GLOB, as LIKE ignores the case of ASCII letters here."""
        if tree.ignore_case:
            raise FilterError(
                "the filter cannot be translated",
                where=f"{tree.field} ILIKE …",
                why="SQLite ignores case for ASCII letters only",
                fix="Use LIKE, which minds the case.",
            )
        pattern = "".join(
            (f"[{text}]" if text in "*?[" else text) if literal else {"%": "*", "_": "?"}[text]
            for text, literal in like_parts(tree.pattern)
        )
        return f"({self.name(tree.field)} GLOB {self.bind(pattern)})"


class PostgresDialect(SQLDialect):
    """PostgreSQL: texts compare by code points, whatever the collation of the column."""

    placeholder = "%s"

    def __init__(self, kinds: Mapping[str, str]) -> None:
        super().__init__()
        self.kinds = kinds

    def name(self, name: str) -> str:
        """Return a name; a percent sign would be read as a mark."""
        return super().name(name).replace("%", "%%")

    def column(self, field: str) -> str:
        """Return a field as its comparisons have it; UUIDs as texts."""
        name = self.name(field)
        return f"{name}::text" if self.kinds.get(field) == "uuid" else name

    def ordered(self, field: str) -> str:
        """Return a field; texts with the collation of code points.

        Not where they only have to be equal: an index of another collation serves that.
        """
        name = self.column(field)
        texts = ("text", "uuid")
        return f'{name} COLLATE "C"' if self.kinds.get(field) in texts else name

    def bind(self, value: object) -> str:
        """Add a parameter; no text of PostgreSQL has a NUL."""
        return super().bind(value.replace("\0", "\ufffd") if isinstance(value, str) else value)


class DuckDBDialect(SQLDialect):
    """DuckDB: texts compare by code points, UUIDs as texts, times with a zone in UTC."""

    def __init__(self, kinds: Mapping[str, str], zoned: Container[str] = ()) -> None:
        super().__init__()
        self.kinds, self.zoned = kinds, zoned

    def column(self, field: str) -> str:
        """Return a field as its comparisons have it."""
        name = self.name(field)
        if field in self.zoned:
            return f"make_timestamp(epoch_us({name}))"
        return f"CAST({name} AS VARCHAR)" if self.kinds.get(field) == "uuid" else name


class LanceDialect(SQLDialect):
    """Lance: DataFusion's SQL, which has no parameters; values are literals, quoted."""

    def name(self, name: str) -> str:
        """Return a name; in backticks it keeps its upper case."""
        return "`" + name.replace("`", "``") + "`"

    def where(self, tree: Filter) -> str:
        """Return the condition, with NOT at the comparisons only.

        DataFusion makes `a = 1 AND a != 1` false where `a` is NULL too, and NOT of it true.
        """

        def leaf(part: Leaf, negated: bool) -> str:
            condition = SQLDialect.where(self, part)
            if not negated:
                return condition
            if isinstance(part, IsNull):
                return f"({self.name(part.field)} IS NOT NULL)"
            return f"({self.name(part.field)} IS NOT NULL AND NOT {condition})"

        def join(word: str, parts: list[str]) -> str:
            return "(" + f" {word.upper()} ".join(parts) + ")"

        found = translate(tree, leaf, join)
        return SQLDialect.where(self, Constant(found)) if isinstance(found, bool) else found

    def bind(self, value: object) -> str:
        """Return a value as a literal."""
        if isinstance(value, float) and not math.isfinite(value):
            return f"CAST('{value}' AS DOUBLE)"
        return literal(cast("Value", value))
