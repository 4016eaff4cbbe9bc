"""Readers: one file a format, each giving documents one by one."""

from __future__ import annotations

from secondpass.retrieve.loaders.files import (
    READERS,
    SourceFile,
    find_files,
    is_one_document,
    read_file,
)

__all__ = ["READERS", "SourceFile", "find_files", "is_one_document", "read_file"]
