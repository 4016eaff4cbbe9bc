"""Loader table by file suffix, and finding files in folders."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import cache
from itertools import count, islice
from pathlib import Path

from secondpass.errors import ReadError, nearest
from secondpass.retrieve.loaders import (
    delimited,
    html,
    jsonl,
    markdown,
    office,
    parquet,
    pdf,
    text,
)
from secondpass.retrieve.loaders.base import Batch, Loader, Loading, lines, loading, read_error
from secondpass.retrieve.loaders.sandbox import Cancellation, FileRead, ReadLimits, Sandbox
from secondpass.types import Document

_FORMATS = (
    text.LOADER,
    markdown.LOADER,
    html.LOADER,
    jsonl.LOADER,
    delimited.LOADER,
    parquet.LOADER,
    office.LOADER,
    pdf.LOADER,
)

LOADERS: dict[str, Loader] = {
    suffix: loader for loader in _FORMATS for suffix in loader.suffixes
}
"""The loader of each suffix."""

_BATCH_ROWS = 256
_BATCH_CHARACTERS = 1_000_000

_CORPUS = ("corpus.jsonl", "corpus.jsonl.gz")
# As PowerPoint, Word and the libraries that write their formats save empty files, at most.
_EMPTY_BYTES = {".docx": 40_000, ".pptx": 60_000}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read, and the folder that was searched (its own, if the file was named)."""

    path: Path
    root: Path

    @property
    def name(self) -> str:
        """The path below the root, with forward slashes: the id of a whole file."""
        return self.path.relative_to(self.root).as_posix()


def suffix_of(path: Path) -> str:
    """Return the suffix in lower case; with the one before it, if it is `.gz`."""
    suffixes = [s.lower() for s in path.suffixes]
    return "".join(suffixes[-2:]) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])


def is_one_document(path: Path) -> bool:
    """Return whether a file of this format is one document, not many rows."""
    loader = LOADERS.get(suffix_of(path))
    return loader is None or not loader.rows


def is_sparse(file: Path, size: int, characters: int) -> bool:
    """Return whether a file of `size` bytes should have more text.

    Pages with more scripts than text still have 1% of it; a PDF or a slide deck with pictures
    has less, but more than a line. Not counted is what an empty DOCX or PPTX file has: styles
    and layouts.
    """
    size -= _EMPTY_BYTES.get(file.suffix.lower(), 0)
    return size > 2000 and characters < min(size / 100, 200)


def find_files(
    paths: Iterable[str | Path], other_formats: dict[str, int] | None = None
) -> Iterator[SourceFile]:
    """Yield the files under these paths, sorted, each once.

    In a folder, hidden files and those of other formats are skipped; the latter are counted by
    suffix in `other_formats`. In a BEIR folder (one
    with a `corpus.jsonl`) only the corpus is read. Raises ReadError for a path that does not
    exist, or a named file of an unknown format.
    """
    resolved: set[Path] = set()
    for name in paths:
        path = Path(name).absolute()
        if not path.exists():
            raise ReadError("there is no such file or folder", where=str(name))
        if path.is_file():
            if suffix_of(path) not in LOADERS:
                raise _unknown_format(path)
            files: Iterable[SourceFile] = [SourceFile(path, path.parent)]
        else:
            files = _walk(path, {} if other_formats is None else other_formats)
        for file in files:
            real = file.path.resolve()
            if real not in resolved:
                resolved.add(real)
                yield file


def read_file(
    file: SourceFile,
    fields: Sequence[str] | None = None,
    *,
    kinds: Mapping[str, str] | None = None,
    limits: ReadLimits | None = None,
    cancellation: Cancellation | None = None,
    apart: bool = False,
    strict: bool = True,
) -> FileRead:
    """Read the documents of a file, each with an id, in the sandbox.

    Plain text of up to 16 MB and Markdown of up to 1 MB are read in this process, unless
    `apart`: they take time and memory in proportion to their size. A file that is one document
    has its path below the root as id; a row without an id has that path and its line:
    `notes/a.csv:7`. `kinds` are types of metadata fields (names in lower case) for the cells
    of CSV and TSV, which have none of their own. `limits`: those of the environment if None.
    `cancellation` ends it from another thread. If `strict` is false, a row that cannot be read
    is skipped, and does not end the file.
    """
    limits = ReadLimits.from_environment() if limits is None else limits
    if not apart and _is_at_most(file.path, LOADERS[suffix_of(file.path)].safe_bytes):
        return FileRead(
            load_batches(file, fields, kinds, characters=limits.characters, strict=strict)
        )
    return FileRead(
        sandbox().read(
            file.path,
            file.name,
            fields,
            kinds,
            limits=limits,
            cancellation=cancellation,
            strict=strict,
        )
    )


@cache
def sandbox() -> Sandbox:
    """Return the sandbox that this process reads files in."""
    return Sandbox()


def load_batches(
    file: SourceFile,
    fields: Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    *,
    characters: int,
    name: str | None = None,
    strict: bool = True,
) -> Iterator[Batch]:
    """Yield the documents of a file, loaded in this process; the last batch may be empty.

    `characters`: how many a document may have; the rest of it is cut. `name`: its id, if not
    its path below the root. `strict`: whether a row that cannot be read ends the file. Raises
    ReadError, after the documents before the error.
    """
    suffix = suffix_of(file.path)
    name = file.name if name is None else name
    if has_cells(file.path):
        source = delimited.load(file.path, name, fields, kinds)
    else:
        source = LOADERS[suffix].load(file.path, name, fields)
    state = Loading(characters, strict)
    # A generator runs in the context of whoever asks for the next document.
    context = copy_context()
    context.run(loading.set, state)
    documents: list[Document] = []
    total = 0
    try:
        while (document := context.run(next, source, None)) is not None:
            if len(document.text) > characters:
                state.cut += len(document.text) - characters
                document = replace(document, text=document.text[:characters])
            state.found = True
            documents.append(document)
            total += len(document.text)
            if len(documents) >= _BATCH_ROWS or total >= _BATCH_CHARACTERS:
                yield _batch(documents, state, last=False)
                documents, total = [], 0
    except Exception:
        if documents or (state.skipped and state.found):
            yield _batch(documents, state, last=False)
        raise
    if state.skipped and not state.found:
        raise state.skipped[0]
    yield _batch(documents, state, last=True)


def _batch(documents: list[Document], state: Loading, *, last: bool) -> Batch:
    skipped, state.skipped = state.skipped, []
    return Batch(documents, dict(state.left_out), state.cut, skipped, last)


def _is_at_most(path: Path, size: int) -> bool:
    try:
        return size > 0 and path.stat().st_size <= size
    except OSError:
        # Reading it gives the reason.
        return True


def has_cells(path: Path) -> bool:
    """Return whether a file is CSV or TSV, whose values have no types of their own."""
    return suffix_of(path) in delimited.LOADER.suffixes


def locate_rows(
    file: SourceFile,
    positions: Collection[int],
    fields: Sequence[str] | None = None,
    skipped: Collection[ReadError] = (),
) -> list[str]:
    """Return where the documents at these positions, from 0, are in their file.

    `skipped`: the rows that could not be read, which have no position.
    """
    if is_one_document(file.path):
        return [str(file.path) for _ in positions]
    if has_cells(file.path):
        places = (f"line {line}" for line in delimited.row_lines(file.path, fields))
    elif suffix_of(file.path) in jsonl.LOADER.suffixes:
        places = (
            f"line {n}" for n, line in lines(file.path, lambda error: None) if line.strip()
        )
    else:
        places = (f"row {n}" for n in count(1))
    unread = {error.where for error in skipped}
    read = (where for p in places if (where := f"{file.path}, {p}") not in unread)
    # What is wrong with the file after the last position must not be raised here.
    until = max(positions, default=-1) + 1
    return [where for n, where in enumerate(islice(read, until)) if n in positions]


def _walk(root: Path, other_formats: dict[str, int]) -> Iterator[SourceFile]:
    corpus = next((root / name for name in _CORPUS if (root / name).is_file()), None)
    if corpus is not None:
        yield SourceFile(corpus, root)
        return
    for folder, folders, names in os.walk(root, onerror=_raise):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            suffix = suffix_of(path)
            if name.startswith("."):
                continue
            if suffix in LOADERS:
                yield SourceFile(path, root)
            else:
                other_formats[suffix] = other_formats.get(suffix, 0) + 1


def _raise(error: OSError) -> None:
    # A folder that is silently skipped would look like one whose files were deleted.
    raise read_error(Path(str(error.filename)), error) from error


def _unknown_format(path: Path) -> ReadError:
    suffix = suffix_of(path)
    return ReadError(
        f"files that end in {suffix!r} cannot be read" if suffix else "the file has no suffix",
        where=str(path),
        fix=nearest(suffix, LOADERS),
    )
