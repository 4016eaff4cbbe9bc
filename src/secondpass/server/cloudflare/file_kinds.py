"""Which reader an uploaded file is for."""

from __future__ import annotations

from pathlib import Path

from secondpass.retrieve.loaders import READERS
from secondpass.retrieve.loaders.files import suffix_of

_PLAIN = ".txt"
_BY_TYPE = {
    "text/html": ".html",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/pdf": ".pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
}
# A few megabytes of these can unpack to as many gigabytes.
_NOT_READ = (".parquet", ".gz")


def suffix_for(key: str, content_type: str) -> str:
    """Return the suffix under which a file is stored, which chooses its reader.

    What has no suffix goes by its content type; any other file is tried as plain text.
    """
    suffix = suffix_of(Path(key))
    if suffix.endswith(_NOT_READ):
        return suffix
    if suffix in READERS:
        return suffix
    kind = content_type.partition(";")[0].strip().lower()
    return _PLAIN if suffix else _BY_TYPE.get(kind, _PLAIN)


def is_packed(suffix: str) -> bool:
    """Return whether files that end so are not read."""
    return suffix.endswith(_NOT_READ)
