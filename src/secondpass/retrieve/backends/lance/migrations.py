"""Migrations of an index that an older version made: steps by the format that they lead to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from secondpass.inference.unicode import clean
from secondpass.retrieve.backends.lance.schema import KEY, files_table
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


STEPS: Mapping[int, tuple[Step, ...]] = {2: (_drop_passage_ids, _record_files)}
"""What leads to each format from the one before."""
