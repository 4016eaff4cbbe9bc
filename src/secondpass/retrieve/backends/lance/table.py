"""Operations on a LanceDB table: connection, search indexes, columns."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondpass.errors import MissingExtraError
from secondpass.retrieve.backends.lance import schema
from secondpass.retrieve.backends.lance.client_import import import_lancedb
from secondpass.retrieve.backends.lance.schema import ColumnChanges
from secondpass.retrieve.backends.lance.search_import import import_for_search
from secondpass.retrieve.keywords import keyword_text
from secondpass.retrieve.languages import ENGLISH_STOP_WORDS, NO_LANGUAGE
from secondpass.retrieve.metadata import column_name, in_parts, one_of

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_PARTITION = 4096
MIN_PROBES = 256
ROWS_PER_STEP = 50_000
_MOST_REMOVED = 10_000
MOST_FRAGMENTS = 128
"""Fragments of fewer than `SMALL_ROWS` rows that a table may have: each commit adds one."""

SMALL_ROWS = 4096
_IO_THREADS = "LANCE_IO_THREADS"
_importing = threading.Lock()
REFINE = 4
"""Candidates whose exact vectors are compared, as a multiple of the limit."""


def load(*, only_search: bool = False) -> Any:
    """Import and return the package lancedb; raises MissingExtraError without it.

    `only_search`: as `import_for_search` does.
    """
    # The engine reads this when it is loaded; otherwise it logs a warning for every query.
    os.environ.setdefault("LANCEDB_LOG", "error")
    if os.environ.get(_IO_THREADS, "").strip() == "1":
        # With one thread the engine waits for itself, forever, when it builds a text index.
        os.environ[_IO_THREADS] = "2"
        warnings.warn(
            f"{_IO_THREADS}=1 would make an index wait forever: 2 is used. Set 2 or more.",
            RuntimeWarning,
            stacklevel=2,
        )
    try:
        # Who waits for another thread's import gets half a module if that fails.
        with _importing:
            return import_for_search() if only_search else import_lancedb()
    except ImportError as error:
        raise MissingExtraError("an index", package="lancedb", extra="index") from error


def connect(folder: Path) -> Any:
    """Open a connection whose reads see what other processes have committed."""
    return load().connect(str(folder), read_consistency_interval=timedelta(0))


def index_text(table: Any, language: str, column: str = schema.WORDS) -> None:
    """Build the full-text index of a column of words, replacing an older one."""
    from lancedb.index import FTS

    has_stemmer = language != NO_LANGUAGE
    config = FTS(
        # `keywords` splits texts into words; the engine stems them.
        base_tokenizer="whitespace",
        language=language.capitalize() if has_stemmer else "English",
        stem=has_stemmer,
        remove_stop_words=True,
        custom_stop_words=list(ENGLISH_STOP_WORDS) if language == "english" else [],
        max_token_length=255,
    )
    table.create_index(column, config=config, replace=True)


def index_words(table: Any, column: str, language: str) -> None:
    """Store the words of a text column in a column of their own, and index that.

    Goes on where an earlier call was interrupted.
    """
    import pyarrow as pa

    words, key = schema.words_column(column), [schema.DOC, schema.CHUNK]
    if words not in table.schema.names:
        table.add_columns([pa.field(words, pa.string())])
    missing = f"`{words}` IS NULL AND `{column}` IS NOT NULL"
    while True:
        search = table.search().where(missing).select([*key, column])
        rows = search.limit(ROWS_PER_STEP).to_arrow()
        if not rows.num_rows:
            break
        texts = [keyword_text(text) for text in rows.column(column).to_pylist()]
        filled = rows.select(key).append_column(words, pa.array(texts, pa.string()))
        table.merge_insert(key).when_matched_update_all().execute(filled)
    index_text(table, language, words)


def text_columns(table: Any) -> list[str]:
    """List the columns that have a full-text index."""
    return [i.columns[0] for i in table.list_indices() if i.index_type == "FTS"]


def unindexed_share(table: Any, column: str) -> float:
    """Return the ratio of rows outside the text index of a column to those in it."""
    stats = table.index_stats(f"{column}_idx")
    return int(stats.num_unindexed_rows) / max(1, int(stats.num_indexed_rows))


def unindexed_rows(table: Any, column: str) -> int:
    """Return the number of rows outside the text index of a column."""
    return int(table.index_stats(f"{column}_idx").num_unindexed_rows)


def add_vectors(table: Any, dimension: int) -> None:
    """Add a column for vectors of this length, replacing an empty one of another length."""
    import pyarrow as pa

    kind = pa.list_(pa.float32(), dimension)
    if schema.VECTOR in table.schema.names:
        if table.schema.field(schema.VECTOR).type == kind:
            return
        table.drop_columns([schema.VECTOR])
    table.add_columns([pa.field(schema.VECTOR, kind)])


def replace(
    table: Any,
    rows: pa.Table,
    *,
    documents: list[str],
    removed: list[str],
    files: list[str],
    all_new: bool = False,
) -> None:
    """Write rows in one commit, in place of all passages of documents and records of files.

    `documents` are those of the rows, and `removed` others; `all_new`: whether it is known
    that nothing is stored of any of them.
    """
    new = _keys(rows)
    names = [] if all_new else list(dict.fromkeys(document for document, _ in new))
    stored = _stored_keys(table, names)
    stale = any(chunk != schema.FILE for _, chunk in stored - new) or bool(removed or files)
    if not stale and not stored & new:
        table.add(rows, on_bad_vectors="null")
        return
    # More names in one condition would be megabytes of it; what goes first is in no row.
    for condition in in_parts(schema.DOC, removed[:-_MOST_REMOVED]):
        table.delete(f"{schema.PASSAGES} AND {condition}")
    passages = one_of(schema.DOC, [*documents, *removed[-_MOST_REMOVED:]])
    replaced = f"({schema.PASSAGES} AND {passages})"
    if files:
        replaced += f" OR ({schema.FILES} AND {one_of(schema.DOC, files)})"
    if not rows.num_rows:
        table.delete(replaced)
        return
    merge = table.merge_insert(schema.KEY).when_matched_update_all()
    merge = merge.when_not_matched_insert_all()
    if stale:
        # Only where it has to be: this reads the whole table, whatever the condition.
        merge = merge.when_not_matched_by_source_delete(replaced)
    # Files have no vector, and passages where the settings allow it.
    merge.execute(rows, on_bad_vectors="null")


def _keys(rows: pa.Table) -> set[tuple[str, int]]:
    """Return the documents and numbers of rows."""
    return set(zip(*(rows.column(name).to_pylist() for name in schema.KEY), strict=True))


def _stored_keys(table: Any, names: list[str]) -> set[tuple[str, int]]:
    """Return the keys of the stored rows of documents, or of files, with these names."""
    keys: set[tuple[str, int]] = set()
    for condition in in_parts(schema.DOC, names):
        search = table.search().where(condition).select(schema.KEY).limit(None)
        keys |= _keys(search.to_arrow())
    return keys


def gather_fragments(table: Any) -> None:
    """Write the rows of small fragments to fewer, if there are more than `MOST_FRAGMENTS`.

    Each read of a column opens every fragment, and each version lists all of them: without
    this, the time of a commit and the bytes of the versions grow with the number of commits.
    `table.optimize` does more of it, but rewrites large fragments as well.
    """
    import numpy as np

    about = table.stats()
    # The most fragments that are not small; looking at rows is left for when it may pay.
    large = about["num_rows"] // SMALL_ROWS
    if about["fragment_stats"]["num_fragments"] <= MOST_FRAGMENTS + large:
        return
    search = table.search().with_row_id(True).select([schema.CHUNK]).limit(None)
    rows = np.sort(search.to_arrow().column("_rowid").to_numpy())
    # The number of a row is that of its fragment, then in 32 bits its place there.
    counts = np.unique(rows >> 32, return_counts=True)[1]
    small = counts < SMALL_ROWS
    rows, counts = rows[np.repeat(small, counts)], counts[small]
    parts = np.cumsum(counts) // SMALL_ROWS
    part_of_row = np.repeat(parts, counts)
    for part in np.flatnonzero(np.bincount(parts) > 1):
        moved = table.take_row_ids(rows[part_of_row == part].tolist()).to_arrow()
        merge = table.merge_insert(schema.KEY).when_matched_update_all()
        merge.execute(moved, on_bad_vectors="null")


def index_vectors(table: Any) -> None:
    """Build the vector index, if there is none."""
    from lancedb.index import IvfRq

    if any(schema.VECTOR in index.columns for index in table.list_indices()):
        return
    # RQ with refinement has the recall of HNSW_SQ (benchmarks/ann_recall.py) and is built in
    # a twentieth of the time; the default of the engine, IVF_PQ, loses most neighbors.
    partitions = max(1, int(table.count_rows()) // ROWS_PER_PARTITION)
    config = IvfRq(distance_type="cosine", num_partitions=partitions)
    table.create_index(schema.VECTOR, config=config)


def probes(rows: int) -> int:
    """Return the number of partitions to search: all of up to 256, then a quarter.

    Codes of one bit are compared so fast that, of a million passages, searching all partitions
    takes a third longer than an eighth of them, which misses a tenth of the nearest ten.
    """
    return max(MIN_PROBES, rows // (4 * ROWS_PER_PARTITION))


def change_columns(table: Any, changes: ColumnChanges) -> None:
    """Widen and add the metadata columns that a batch needs."""
    import pyarrow as pa

    # Left by a crash between the steps below.
    stale = [n for n in table.schema.names if n.startswith(("_sp_wide_", "_sp_old_"))]
    if stale:
        table.drop_columns(stale)
    for field in changes.widened:
        name = column_name(field)
        table.add_columns({f"_sp_wide_{name}": f"CAST(`{name}` AS DOUBLE)"})
        # Both renames are one commit: a filter on the field works at every moment.
        table.alter_columns(
            {"path": name, "rename": f"_sp_old_{name}"},
            {"path": f"_sp_wide_{name}", "rename": name},
        )
        table.drop_columns([f"_sp_old_{name}"])
    if changes.new:
        kinds = [
            pa.field(column_name(name), schema.arrow_type(changes.kinds[name]))
            for name in changes.new
        ]
        table.add_columns(kinds)


def fill_fields(
    table: Any, kinds: Mapping[str, schema.Kind], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Add columns for metadata fields, and store values in them.

    `rows` have the columns that name a passage, and its `values` by field.
    """
    import pyarrow as pa

    change_columns(table, ColumnChanges(dict(kinds), list(kinds)))
    key = [schema.DOC, schema.CHUNK]
    types = [table.schema.field(name) for name in key]
    types += [table.schema.field(column_name(name)) for name in kinds]
    for start in range(0, len(rows), ROWS_PER_STEP):
        part = rows[start : start + ROWS_PER_STEP]
        arrays = [
            pa.array([row[name] for row in part], types[i].type) for i, name in enumerate(key)
        ]
        for field, (name, kind) in zip(types[len(key) :], kinds.items(), strict=True):
            values = [row["values"].get(name) for row in part]
            converted = [None if v is None else schema.column_value(v, kind) for v in values]
            arrays.append(pa.array(converted, field.type))
        batch = pa.Table.from_arrays(arrays, schema=pa.schema(types))
        table.merge_insert(key).when_matched_update_all().execute(batch)
