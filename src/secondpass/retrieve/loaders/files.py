"""Which files are read: by their suffix, folders walked in order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from secondpass.errors import ReadError, nearest
from secondpass.retrieve.loaders import delimited, html, jsonl, markdown, office, parquet, text
from secondpass.retrieve.loaders.base import Reader, unreadable
from secondpass.types import Document

READERS: dict[str, Reader] = {
    ".txt": text.read,
    ".md": markdown.read,
    ".markdown": markdown.read,
    ".html": html.read,
    ".htm": html.read,
    ".jsonl": jsonl.read,
    ".jsonl.gz": jsonl.read,
    ".csv": delimited.read,
    ".csv.gz": delimited.read,
    ".tsv": delimited.read,
    ".tsv.gz": delimited.read,
    ".parquet": parquet.read,
    ".pdf": office.read,
    ".docx": office.read,
    ".pptx": office.read,
}
"""The reader of each suffix."""

_ROWS = (".jsonl", ".csv", ".tsv", ".parquet", ".gz")
_CORPUS = ("corpus.jsonl", "corpus.jsonl.gz")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read, and the folder it was found under (its own, if it was named)."""

    path: Path
    root: Path

    @property
    def name(self) -> str:
        """The path below the root, with forward slashes: the id of a whole file."""
        return self.path.relative_to(self.root).as_posix()


def suffix_of(path: Path) -> str:
    """Return the suffix in lower case, with the one before `.gz`."""
    suffixes = [s.lower() for s in path.suffixes]
    return "".join(suffixes[-2:]) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])


def is_one_document(path: Path) -> bool:
    """Return whether a file of this kind is one document, not many rows."""
    return path.suffix.lower() not in _ROWS


def find_files(paths: Iterable[str | Path]) -> Iterator[SourceFile]:
    """Give the files under these paths, sorted; each only once.

    In a folder, hidden files and those of other kinds are passed over. A BEIR folder (one
    with a `corpus.jsonl`) gives only its corpus. Raises ReadError for a path that does
    not exist or is named and of no kind that can be read.
    """
    seen: set[Path] = set()
    for given in paths:
        path = Path(given).absolute()
        if not path.exists():
            raise ReadError("there is no such file or folder", where=str(given))
        if path.is_file():
            if suffix_of(path) not in READERS:
                raise _unknown(path)
            found: Iterable[SourceFile] = [SourceFile(path, path.parent)]
        else:
            found = _walk(path)
        for file in found:
            real = file.path.resolve()
            if real not in seen:
                seen.add(real)
                yield file


def read_file(file: SourceFile, fields: Sequence[str] | None = None) -> Iterator[Document]:
    """Give the documents of a file, each with an id.

    A file that is one document has its name below the root as id; a row without an id
    has that name and its line: `notes/a.csv:7`.
    """
    return READERS[suffix_of(file.path)](file.path, file.name, fields)


def _walk(root: Path) -> Iterator[SourceFile]:
    corpus = next((root / name for name in _CORPUS if (root / name).is_file()), None)
    if corpus is not None:
        yield SourceFile(corpus, root)
        return
    for folder, folders, names in os.walk(root, onerror=_refuse):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and suffix_of(path) in READERS:
                yield SourceFile(path, root)


def _refuse(error: OSError) -> None:
    # A folder passed over in silence would look like one whose files are gone.
    raise unreadable(Path(str(error.filename)), error) from error


def _unknown(path: Path) -> ReadError:
    suffix = suffix_of(path)
    return ReadError(
        f"files that end in {suffix!r} cannot be read"
        if suffix
        else "no kind of file is known",
        where=str(path),
        fix=nearest(suffix, READERS),
    )
