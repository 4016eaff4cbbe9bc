"""Metadata serialization and SQL filters over metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from numbers import Number
from typing import Any

from secondpass.errors import FilterError, InputError, nearest
from secondpass.types import is_missing

_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`(?:[^`]|``)*`")
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_IN_BRACKETS = re.compile(r"\[([^\[\]]+)\]")
_COLUMN_PREFIX = "_spf_"
_ESCAPED = re.compile(r"_([0-9a-f]{1,6})_")
# Names of fields that SQL takes for its own words unless they are quoted.
_SQL_WORDS = frozenset(
    (
        *("all", "and", "any", "as", "asc", "between", "by", "case", "cast", "cross", "desc"),
        *("distinct", "else", "end", "except", "exists", "false", "fetch", "for", "from"),
        *("full", "group", "having", "in", "inner", "intersect", "interval", "into", "is"),
        *("join", "left", "like", "limit", "natural", "not", "null", "offset", "on", "or"),
        *("order", "outer", "over", "right", "select", "set", "some", "table", "then", "to"),
        *("true", "union", "using", "values", "when", "where", "with"),
    )
)
# A name in quotes can have spaces.
_NO_QUOTED_FIELD = re.compile(r"No field named ([`\"])(.+?)\1(?:\.|,)")
_COMPARED_TEXT = re.compile(r"(?:^|\(|\b(?:and|or|not)\b)\s*'([^']+)'\s*[=<>!]", re.IGNORECASE)
_NO_FIELD = re.compile(
    r"(?:No field named|Column) [`\"']?([^`\"'\s]+?)[`\"']?(?:\.|,| does not)"
)
# Begins at the start of a word, and takes the whole word: in time proportional to the text.
_SOURCE = re.compile(r"(?:,\s?)?(?<![\w.@/+-])[\w.@/+-]++(?<=\.rs):\d+:\d+")
_NOISE = re.compile(
    r"Invalid (?:user )?input[,:] ?|Schema error: |Error during planning: "
    r"|Error resolving filter expression .*?: (?=Invalid|Received|Error|There)",
    re.DOTALL,
)


def quoted(text: str) -> str:
    """Return the text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def one_of(column: str, values: list[str]) -> str:
    """Return the SQL condition that a column has one of these values."""
    return f"{column} IN ({', '.join(quoted(v) for v in values)})" if values else "false"


def in_parts(column: str, values: list[str], size: int = 10_000) -> Iterator[str]:
    """Yield `one_of` conditions of up to `size` values each."""
    for start in range(0, len(values), size):
        yield one_of(column, values[start : start + size])


def column_name(field: str) -> str:
    """Return the column that holds a metadata field.

    Its own name where that is made of letters, digits and _ and begins with a letter; else
    a name in which every other character is its code.
    """
    if _PLAIN_NAME.fullmatch(field):
        return field
    return _COLUMN_PREFIX + re.sub("[^A-Za-z0-9]", lambda m: f"_{ord(m[0]):x}_", field)


def field_name(column: str) -> str:
    """Return the metadata field that a column of `column_name` holds."""
    if not column.startswith(_COLUMN_PREFIX):
        return column
    return _ESCAPED.sub(lambda m: chr(int(m[1], 16)), column.removeprefix(_COLUMN_PREFIX))


def quoted_field(field: str) -> str:
    """Return a field as a filter can always name it."""
    return '"' + field.replace('"', '""') + '"'


def to_columns(condition: str, fields: Mapping[str, str]) -> str:
    """Return a filter with each field that is in double quotes or backticks as its column."""
    columns = {name.lower(): column_name(name) for name in fields}

    def replace(match: re.Match[str]) -> str:
        quote = match[0][0]
        column = columns.get(match[0][1:-1].replace(quote * 2, quote).lower())
        return match[0] if quote == "'" or column is None else f"`{column}`"

    return _QUOTED.sub(replace, condition)


def check_shape(condition: str, fields: Mapping[str, str]) -> None:
    """Raise FilterError for a filter that is not text, empty, or more than one condition."""
    why = None
    if not isinstance(condition, str):
        why = f"it is a {type(condition).__name__}, not text"
    elif not condition.strip():
        why = "it is empty"
    elif ";" in _QUOTED.sub("", condition):
        why = "it has a semicolon, and a filter is a single condition"
    else:
        names = {name.lower() for name in fields}
        for name in _COMPARED_TEXT.findall(condition):
            if name.lower() in names:
                field = name if _is_unquoted(name) else quoted_field(name)
                why = f"'{name}' in single quotes is a text; write the field as {field}"
    if why is not None:
        raise FilterError(
            "the filter cannot be used",
            where=repr(condition),
            why=why,
            fix=list_fields(fields),
        )


def bad_filter(condition: str, reason: str, fields: Mapping[str, str]) -> FilterError:
    """Return the error for a condition that the engine rejected, in the user's terms."""
    for name in fields:
        reason = reason.replace(column_name(name), name)
    in_quotes = _NO_QUOTED_FIELD.search(reason)
    missing = _NO_FIELD.search(reason)
    hint = _quote_hint(condition, fields)
    if in_quotes is not None or missing is not None:
        name = in_quotes[2] if in_quotes is not None else missing[1] if missing else ""
        near = nearest(name, fields)
        if re.search(rf"[=<>(,]\s*\"{re.escape(name)}\"", condition):
            hint = f"Write text in single quotes: {quoted(name)}. "
        elif not hint and near.startswith("Did"):
            hint = f"{near} "
        return FilterError(
            "the filter names an unknown field",
            where=condition,
            why=f"no document has {name!r} as metadata that can be filtered on",
            fix=hint + list_fields(fields),
        )
    why = _SOURCE.sub("", _NOISE.sub("", reason)).strip().rstrip(".")
    if "Date32" in why:
        hint = "Write dates as date '2024-12-31'. "
    elif "Timestamp" in why:
        hint = "Write times as timestamp '2024-12-31 23:59:59' (UTC). "
    return FilterError(
        "the filter cannot be understood",
        where=condition,
        why=why,
        fix=hint + list_fields(fields),
    )


def _quote_hint(condition: str, fields: Mapping[str, str]) -> str:
    """Return how to write a field that the condition names without its quotes, or ""."""
    bare = _QUOTED.sub("''", condition)
    words = {word.lower() for word in re.findall(r"\w+", bare)}
    brackets = {name.strip().lower() for name in _IN_BRACKETS.findall(bare)}
    for name in fields:
        lowered = name.lower()
        plain = _PLAIN_NAME.fullmatch(name) is not None
        as_word = lowered in _SQL_WORDS and lowered in words
        if lowered in brackets or as_word or (not plain and lowered in bare.lower()):
            return f"Write the field in double quotes: {quoted_field(name)}. "
    return ""


def list_fields(fields: Mapping[str, str]) -> str:
    """Return the sentence that lists the fields a filter can name, with an example."""
    if not fields:
        return "No document here has metadata to filter on."
    names = ", ".join(
        f"{name if _is_unquoted(name) else quoted_field(name)} ({kind})"
        for name, kind in sorted(fields.items())
    )
    return f"Fields: {names}. Example: year >= 2015 AND source = 'docs'"


def _is_unquoted(name: str) -> bool:
    return _PLAIN_NAME.fullmatch(name) is not None and name.lower() not in _SQL_WORDS


_TAG = "$sp"


def encode(metadata: Mapping[str, Any], *, document: str = "") -> str:
    """Return metadata as JSON from which `decode` restores dates, times and tuples.

    Raises InputError for a value that cannot be stored, naming its field.
    """
    packed = {}
    for key, value in metadata.items():
        if not isinstance(key, str):
            raise InputError(
                "a metadata key is not text", where=_where(document), why=f"it is {key!r}"
            )
        packed[key] = _pack(value, key, document)
    return json.dumps(packed, separators=(",", ":"))


def decode(text: str) -> dict[str, Any]:
    """Return the metadata that `encode` serialized."""
    return {key: _unpack(value) for key, value in json.loads(text).items()}


def plain(value: object) -> object:
    """Convert a NumPy scalar to the Python type, pandas' NA and NaT to None.

    Anything else is returned unchanged, NaN as well.
    """
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        item = getattr(value, "item", None)
        return item() if callable(item) else value
    if not isinstance(value, Number) and is_missing(value):
        return None
    return value


def _pack(value: object, key: str, document: str) -> object:
    value = plain(value)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (datetime, date)):
        kind = "datetime" if isinstance(value, datetime) else "date"
        return {_TAG: kind, "v": value.isoformat()}
    if isinstance(value, tuple):
        return {_TAG: "tuple", "v": [_pack(v, key, document) for v in value]}
    if isinstance(value, list):
        return [_pack(v, key, document) for v in value]
    if isinstance(value, Mapping) and all(isinstance(k, str) for k in value):
        inner = {k: _pack(v, key, document) for k, v in value.items()}
        return {_TAG: "dict", "v": inner} if _TAG in inner else inner
    raise InputError(
        f"metadata field {key!r} cannot be stored",
        where=_where(document),
        why=f"it holds a {type(value).__name__}",
        fix="Use text, numbers, booleans, dates, lists and dictionaries of those.",
    )


def _unpack(value: object) -> object:
    if isinstance(value, list):
        return [_unpack(v) for v in value]
    if not isinstance(value, dict):
        return value
    if _TAG not in value:
        return {k: _unpack(v) for k, v in value.items()}
    kind, inner = value[_TAG], value["v"]
    if kind == "dict":
        return {k: _unpack(v) for k, v in inner.items()}
    if kind == "tuple":
        return tuple(_unpack(v) for v in inner)
    return datetime.fromisoformat(inner) if kind == "datetime" else date.fromisoformat(inner)


def _where(document: str) -> str | None:
    return f"document {document!r}" if document else None
