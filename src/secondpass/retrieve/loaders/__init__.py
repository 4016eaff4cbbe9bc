"""Document loaders: one module a file format; see `base` for how to add one."""

from __future__ import annotations

from secondpass.retrieve.loaders.files import (
    LOADERS,
    SourceFile,
    find_files,
    has_cells,
    is_one_document,
    locate_rows,
    read_file,
)

__all__ = [
    "LOADERS",
    "SourceFile",
    "find_files",
    "has_cells",
    "is_one_document",
    "locate_rows",
    "read_file",
]
