"""Migrations of an index that an older version made: steps by the format that they lead to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from secondpass.inference.unicode import clean
from secondpass.retrieve.backends.lance import schema
from secondpass.retrieve.backends.lance import table as lance_table
from secondpass.retrieve.backends.lance.schema import KEY, files_table
from secondpass.retrieve.metadata import column_name, decode
from secondpass.retrieve.settings import FORMAT, IndexSettings, read_settings, write_settings

Step = Callable[[Any, Path, IndexSettings], None]
"""A change of a table, in a folder, with these settings; it may run again after a crash."""


def migrate(table: Any, folder: Path) -> IndexSettings:
    """Bring an index to the current format, and return its settings.

    For callers that hold the write lock. An index of the current format is left as it is.
    """
    settings = read_settings(folder)
    if settings.format == FORMAT:
        return settings
    for target in range(settings.format + 1, FORMAT + 1):
        for step in STEPS[target]:
            step(table, folder, settings)
    # Last: after a crash, all steps run again.
    settings = replace(settings, format=FORMAT)
    write_settings(folder, settings)
    return settings


def _drop_passage_ids(table: Any, folder: Path, settings: IndexSettings) -> None:
    """Remove the column of passage ids, which two documents could share."""
    if "_sp_id" in table.schema.names:
        table.drop_columns(["_sp_id"])


def _record_files(table: Any, folder: Path, settings: IndexSettings) -> None:
    """Move the digests of files, which were in a file beside the table, into the table."""
    file = folder / "files.json"
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))["files"]
        digests = {clean(str(k)): str(v) for k, v in stored.items() if v is not None}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Those files are read again; what they hold is in the table and not embedded again.
        digests = {}
    if digests:
        rows = files_table(digests, table.schema)
        merge = table.merge_insert(KEY).when_not_matched_insert_all()
        merge.execute(rows, on_bad_vectors="null")
    with suppress(OSError):
        file.unlink(missing_ok=True)


def _add_words(table: Any, folder: Path, settings: IndexSettings) -> None:
    """Store the words of each passage in a column of their own, and index that."""
    old = [c for c in lance_table.text_columns(table) if not c.startswith(schema.WORDS)]
    lance_table.index_words(table, schema.SEARCH, settings.language)
    for column in old:
        if column != schema.SEARCH:
            lance_table.index_words(table, column, settings.language)
    # Last: until then searches use the old text index.
    for index in table.list_indices():
        if index.index_type == "FTS" and index.columns[0] in old:
            table.drop_index(index.name)


def _add_fields(table: Any, folder: Path, settings: IndexSettings) -> None:
    """Make columns of metadata fields whose names could not be columns before.

    A value of another type than those before it stays without one, as it was.
    """
    if settings.own_vectors:
        # Their writers say what filters see.
        return
    columns, kinds = schema.metadata_kinds(table.schema), dict[str, schema.Kind]()
    key = [schema.DOC, schema.CHUNK]
    rows: list[dict[str, Any]] = []
    search = table.search().where(f"{schema.METADATA} IS NOT NULL").limit(None)
    for row in search.select([*key, schema.METADATA]).to_list():
        values = {}
        for name, value in decode(row[schema.METADATA]).items():
            kind = schema.kind_of(value)
            if kind is None or column_name(name) == name or name in columns or not name:
                continue
            known = kinds.setdefault(name, kind)
            if {known, kind} == {"integer", "number"}:
                kinds[name] = known = kind = "number"
            if known == kind:
                values[name] = value
        if values:
            rows.append({name: row[name] for name in key} | {"values": values})
    # Names that differ only in case are one field, and no document can have both.
    first: dict[str, str] = {}
    names = [name for name in kinds if first.setdefault(name.lower(), name) == name]
    if names:
        lance_table.fill_fields(table, {name: kinds[name] for name in names}, rows)


# Files last: their rows have no words.
STEPS: Mapping[int, tuple[Step, ...]] = {
    2: (_drop_passage_ids, _add_words, _add_fields, _record_files)
}
"""What leads to each format from the one before."""
