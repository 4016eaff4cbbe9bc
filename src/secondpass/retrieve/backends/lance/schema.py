"""Arrow schema of the LanceDB table: columns, metadata types, rows to documents and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Literal

from secondpass.errors import InputError
from secondpass.inference.unicode import clean
from secondpass.retrieve.keywords import keyword_text
from secondpass.retrieve.metadata import decode, encode, field_name, plain
from secondpass.retrieve.store_protocol import Passage, searchable
from secondpass.types import Document, Origin, passage_id

if TYPE_CHECKING:
    import pyarrow as pa


Kind = Literal["text", "integer", "number", "boolean", "date", "datetime"]

PREFIX = "_sp_"
"""The prefix of internal columns; a metadata column cannot have it."""

_INT64 = range(-(2**63), 2**63)


def kind_of(value: object) -> Kind | None:
    """Return the type of the column that can hold `value`; None where none can.

    An integer of more than 64 bits counts as a number.
    """
    value = plain(value)
    # bool before int and datetime before date: each is a subclass of the other.
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if value in _INT64 else "number"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, datetime):
        return "datetime"
    return "date" if isinstance(value, date) else None


def column_value(value: object, kind: Kind) -> object:
    """Convert a value to the column's type: times to UTC, integers to float in "number"."""
    value = plain(value)
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    if kind == "number" and isinstance(value, int):
        return _to_float(value)
    return value


def _to_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


@dataclass(frozen=True, slots=True)
class ColumnChanges:
    """The column changes that a batch needs, and the batch's column values.

    `kinds`: all columns, after the change; `new` and `widened`: the changed ones;
    `rows`: for each passage the value of each column that it has.
    """

    kinds: dict[str, Kind]
    new: list[str] = field(default_factory=list)
    widened: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)


def fit_columns(columns: Mapping[str, Kind], passages: Iterable[Passage]) -> ColumnChanges:
    """Fit the metadata of a batch to the existing columns.

    Keys with scalar values become columns; see `column_name`. Names are case-insensitive,
    as in SQL. A column of integers is widened if a value is another number.

    Raises InputError where a field has another type than its column, or a document has
    two keys that differ only in case.
    """
    result = ColumnChanges(dict(columns))
    names = {name.lower(): name for name in columns}
    batch = list(passages)
    for passage in batch:
        row: dict[str, Any] = {}
        metadata = passage.metadata if passage.columns is None else passage.columns
        for key, value in metadata.items():
            key = clean(key)
            kind = kind_of(value)
            if kind is None or not key:
                continue
            name = names.setdefault(key.lower(), key)
            if name in row:
                raise InputError(
                    f"metadata has {key!r} twice",
                    where=f"document {passage.doc_id!r}",
                    why="field names in filters are case-insensitive",
                    fix="Rename one of them.",
                )
            _fit(result, name, kind, passage, value)
            row[name] = value
        result.rows.append(row)
    for row in result.rows:
        for name, value in row.items():
            row[name] = column_value(value, result.kinds[name])
    return result


def _fit(result: ColumnChanges, name: str, kind: Kind, passage: Passage, value: object) -> None:
    column_kind = result.kinds.get(name)
    if column_kind is None:
        result.kinds[name] = kind
        result.new.append(name)
    elif column_kind == "integer" and kind == "number":
        result.kinds[name] = "number"
        if name not in result.new:
            result.widened.append(name)
    elif column_kind != kind and (column_kind, kind) != ("number", "integer"):
        raise InputError(
            f"metadata field {name!r} has the wrong type",
            where=f"document {passage.doc_id!r}",
            why=f"expected {column_kind}, as in the documents before, and got {kind}: "
            f"{str(value)[:80]!r}",
            fix="Convert it, or give it another name. Nothing of this batch was stored.",
        )


DOC = "_sp_doc"
CHUNK = "_sp_chunk"
START = "_sp_start"
END = "_sp_end"
SEARCH = "_sp_search"
TITLE_CHARS = "_sp_title_chars"
METADATA = "_sp_metadata"
SOURCE = "_sp_source"
HASH = "_sp_hash"
WORDS = "_sp_words"
"""What keyword search reads: the words of SEARCH; see `keywords`."""
VECTOR = "_sp_vector"

FILE = -1
"""The number, in place of a passage's, of a row that records a file: its path and digest."""
FILES = f"{CHUNK} = {FILE}"
PASSAGES = f"{CHUNK} >= 0"
FIRST_PASSAGE = f"{CHUNK} IN (0, 1)"
"""A condition that holds for one passage of each document."""
EMBEDDED = f"{VECTOR} IS NOT NULL"
KEY = [DOC, CHUNK]
"""The columns that name a passage."""
READ = [DOC, CHUNK, START, END, SEARCH, TITLE_CHARS, METADATA]
"""The columns that a document is built from."""


def words_column(column: str) -> str:
    """Return the column with the words of a text column."""
    return WORDS if column == SEARCH else f"{WORDS}_{column}"


def arrow_type(kind: Kind) -> pa.DataType:
    """Return the Arrow type of a kind of metadata."""
    import pyarrow as pa

    types = {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "datetime": pa.timestamp("us"),
    }
    return types[kind]


def metadata_kinds(schema: pa.Schema) -> dict[str, Kind]:
    """Return the metadata fields of a table, each with the kind of its column."""
    kinds: tuple[Kind, ...] = ("text", "integer", "number", "boolean", "date", "datetime")
    by_type = {arrow_type(kind): kind for kind in kinds}
    columns = [f for f in schema if not f.name.startswith(PREFIX)]
    return {field_name(f.name): by_type[f.type] for f in columns}


def empty_schema(dimension: int) -> pa.Schema:
    """Return the columns of a new table, before any metadata."""
    import pyarrow as pa

    columns = [
        pa.field(DOC, pa.string()),
        pa.field(CHUNK, pa.int32()),
        pa.field(START, pa.int64()),
        pa.field(END, pa.int64()),
        # Title and text in one column: BM25 covers both, and neither is stored twice as such.
        pa.field(SEARCH, pa.string()),
        pa.field(TITLE_CHARS, pa.int32()),
        pa.field(METADATA, pa.string()),
        pa.field(SOURCE, pa.string()),
        pa.field(HASH, pa.string()),
        pa.field(WORDS, pa.string()),
    ]
    if dimension:
        columns.append(pa.field(VECTOR, pa.list_(pa.float32(), dimension)))
    return pa.schema(columns)


def to_table(
    passages: Sequence[Passage],
    rows: Sequence[Mapping[str, Any]],
    schema: pa.Schema,
    *,
    bare: bool = False,
) -> pa.Table:
    """Return passages and their metadata columns as a table of this schema.

    `bare` allows passages without an embedding.
    """
    import pyarrow as pa

    titles = [None if p.title is None else clean(p.title) for p in passages]
    columns: dict[str, Any] = {
        DOC: [clean(p.doc_id) for p in passages],
        CHUNK: [p.chunk for p in passages],
        START: [p.start for p in passages],
        END: [p.end for p in passages],
        SEARCH: [
            searchable(title, clean(p.text)) for title, p in zip(titles, passages, strict=True)
        ],
        TITLE_CHARS: [None if title is None else len(title) for title in titles],
        METADATA: [encode(p.metadata, document=p.doc_id) for p in passages],
        SOURCE: [None if p.source is None else clean(p.source) for p in passages],
        HASH: [clean(p.hash) for p in passages],
    }
    columns[WORDS] = [keyword_text(text) for text in columns[SEARCH]]
    arrays = []
    for column in schema:
        if column.name == VECTOR:
            arrays.append(_vectors(passages, column.type, bare))
        elif column.name in columns:
            arrays.append(pa.array(columns[column.name], column.type))
        elif column.name.startswith(WORDS):
            texts = [row.get(field_name(column.name.removeprefix(f"{WORDS}_"))) for row in rows]
            values = [None if text is None else keyword_text(text) for text in texts]
            arrays.append(pa.array(values, column.type))
        else:
            values = [row.get(field_name(column.name)) for row in rows]
            arrays.append(pa.array(values, column.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def files_table(digests: Mapping[str, str], schema: pa.Schema) -> pa.Table:
    """Return the rows that record files, by path, as a table of this schema.

    They have no text and no vector, so that no search finds them and no statistic counts them.
    """
    import pyarrow as pa

    paths = list(digests)
    columns: dict[str, Any] = {
        DOC: paths,
        CHUNK: [FILE] * len(paths),
        SOURCE: paths,
        HASH: list(digests.values()),
    }
    arrays = [
        pa.array(columns[column.name], column.type)
        if column.name in columns
        else pa.nulls(len(paths), column.type)
        for column in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def to_document(row: Mapping[str, Any]) -> Document:
    """Return the document of a row; a chunk has its origin, in the metadata too."""
    metadata, origin = decode(row[METADATA]), None
    if row[CHUNK]:
        origin = Origin(row[DOC], row[CHUNK], row[START], row[END])
        # A user's own fields of these names take precedence.
        metadata = {**asdict(origin), **metadata}
    title, text = None, row[SEARCH]
    if row[TITLE_CHARS] is not None:
        title, text = text[: row[TITLE_CHARS]], text[row[TITLE_CHARS] + 1 :]
    name = passage_id(row[DOC], row[CHUNK])
    return Document(text, id=name, title=title, metadata=metadata, origin=origin)


def _vectors(passages: Sequence[Passage], kind: pa.DataType, bare: bool) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    size = kind.list_size
    for p in passages:
        if p.embedding is None and bare:
            continue
        shape = None if p.embedding is None else np.shape(p.embedding)
        if p.embedding is None or shape != (size,) or not np.isfinite(p.embedding).all():
            why = f"its shape is {shape}" if shape != (size,) else "a number is not finite"
            raise InputError(
                "an embedding cannot be stored",
                where=f"passage {p.id!r}",
                why="it is missing" if p.embedding is None else why,
                fix=f"This index needs {size} finite numbers for each passage.",
            )
    placeholder = np.zeros(size, dtype=np.float32)
    vectors = [placeholder if p.embedding is None else p.embedding for p in passages]
    stacked = pa.array(np.asarray(vectors, dtype=np.float32).reshape(-1))
    missing = pa.array([p.embedding is None for p in passages], pa.bool_())
    return pa.FixedSizeListArray.from_arrays(stacked, type=kind, mask=missing)
