"""What an ingest did, and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from secondpass.errors import ReadError


@dataclass(slots=True)
class IngestReport:
    """What an ingest did.

    - `files`: read; `files_unchanged`: skipped; `files_removed`: deleted from their folder
      since the last ingest, and so from the index.
    - `documents`: read, of which `added`, `updated`, `unchanged`, `empty` (without text, not
      stored) or `duplicates` (the same id again in one file; the last one counts).
    - `conflicts`: documents left out because another file has their id.
    - `skipped`: rows that cannot be read or whose metadata has values of another type, each
      with file and line; `blank`: where the first 20 of the `empty` ones are.
    - `stored`: of the documents read, those that the index has afterwards, each id counted
      once.
    - `deleted`: documents removed because their file no longer has them.
    - `sparse`: files that were read and gave suspiciously little text for their size, such as
      scanned PDFs and pages that a script fills.
    - `cut`: files with a document of which not all was read, each with how many characters
      were not; `left_out`: how much the loaders left out on purpose, by kind.
    - `kept_as_text`: files with front matter that cannot be read, each with the problem;
      `other_formats`: how many files of a folder are of no format that is read, by suffix.
    - `differences`: where passages were made on other machines, the documents of which the
      index has another number of passages afterwards than were written.
    - `passages`: written; `errors`: files that could not be read; `seconds`: the duration.
    """

    files: int = 0
    files_unchanged: int = 0
    files_removed: int = 0
    documents: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    empty: int = 0
    duplicates: int = 0
    conflicts: int = 0
    stored: int = 0
    deleted: int = 0
    passages: int = 0
    skipped: list[ReadError] = field(default_factory=list)
    blank: list[str] = field(default_factory=list)
    errors: list[ReadError] = field(default_factory=list)
    sparse: list[str] = field(default_factory=list)
    cut: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    kept_as_text: dict[str, str] = field(default_factory=dict)
    other_formats: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class IngestProgress:
    """The progress of an ingest: `total` is estimated from line counts; None if unknown."""

    documents: int
    total: int | None
    passages: int
    file: str | None


Progress = Callable[[IngestProgress], None]
