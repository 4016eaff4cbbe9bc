"""Document loaders: one module a file format; see `base` for how to add one."""

from __future__ import annotations

from secondpass.retrieve.loaders.files import (
    LOADERS,
    SourceFile,
    find_files,
    has_cells,
    is_one_document,
    is_sparse,
    locate_rows,
    read_file,
)
from secondpass.retrieve.loaders.sandbox import FileRead

__all__ = [
    "LOADERS",
    "FileRead",
    "SourceFile",
    "find_files",
    "has_cells",
    "is_one_document",
    "is_sparse",
    "locate_rows",
    "read_file",
]
