"""Labeling sessions: pairs to judge, one after another, and a crash-safe file of grades."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from secondpass.errors import InputError
from secondpass.evaluate.qrels import read_qrels
from secondpass.types import Document

HEADER = "query-id\tcorpus-id\tscore"


class GradeFile:
    """A file of grades in BEIR's three columns, where each grade is flushed to the disk.

    An existing file is continued; an incomplete last line, left by a crash, is removed.
    Raises `InputError` for a file that cannot be written, or has other content, and
    `ReadError` for one that cannot be read.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._repair()
            judged = read_qrels(file, may_be_empty=True).grades
        except OSError as error:
            raise InputError(
                "The judgments cannot be kept", where=str(file), why=error.strerror
            ) from error
        self.grades = {query: dict(grades) for query, grades in judged.items()}
        self._written: list[tuple[str, str, int]] = []

    def __contains__(self, pair: tuple[str, str]) -> bool:
        query, document = pair
        return document in self.grades.get(query, {})

    def __len__(self) -> int:
        return sum(map(len, self.grades.values()))

    def add(self, query: str, document: str, grade: int) -> None:
        """Write a grade and flush it to the disk."""
        if any(c in name for name in (query, document) for c in "\t\r\n"):
            raise InputError(
                f"The id {document!r} cannot be written to a file of columns",
                why="it has a tab or a line break",
            )
        with self.file.open("ab") as stream:
            start = stream.tell()
            stream.write(f"{query}\t{document}\t{grade}\n".encode("utf-8", "replace"))
            stream.flush()
            os.fsync(stream.fileno())
        self._written.append((query, document, start))
        self.grades.setdefault(query, {})[document] = grade

    def undo(self) -> tuple[str, str] | None:
        """Delete the last grade of this session; return its pair, or None."""
        if not self._written:
            return None
        query, document, start = self._written.pop()
        with self.file.open("r+b") as stream:
            stream.truncate(start)
            os.fsync(stream.fileno())
        del self.grades[query][document]
        return query, document

    def _repair(self) -> None:
        data = self.file.read_bytes() if self.file.is_file() else b""
        if not data:
            self.file.write_bytes(f"{HEADER}\n".encode())
            return
        last_line = data[data.rfind(b"\n") + 1 :]
        if not last_line:
            return
        columns = last_line.split()
        with self.file.open("r+b") as stream:
            if len(columns) in (3, 4) and columns[-1].isdigit():
                stream.seek(0, os.SEEK_END)
                stream.write(b"\n")
            else:
                stream.truncate(len(data) - len(last_line))


Pool = Callable[[str, str], list[Document]]
"""Returns the documents to judge for a query, by its id and text."""


@dataclass(frozen=True, slots=True)
class PairToJudge:
    """A query and a document to judge, with their positions, from 1, for display.

    - `query_id`, `query`: id and text of the query, which is `query_number` of `queries`.
    - `document`: number `document_number` of the `pool_size` documents of the query.
    """

    query_id: str
    query: str
    document: Document
    query_number: int
    queries: int
    document_number: int
    pool_size: int


class Labelling:
    """A labeling session over the pools of all queries, without pairs judged before.

    A skipped pair is not written, and asked for again in another session.
    """

    def __init__(self, queries: Mapping[str, str], pool: Pool, file: GradeFile) -> None:
        self.queries = list(queries.items())
        self.file = file
        self.judged = self.skipped = 0
        self._pool = pool
        self._pools: dict[str, list[Document]] = {}
        self._position = (0, 0)
        self._history: list[tuple[tuple[int, int], bool]] = []

    def current(self) -> PairToJudge | None:
        """Return the pair to judge now, or None at the end."""
        query, document = self._position
        while query < len(self.queries):
            query_id, text = self.queries[query]
            documents = self._documents(query_id, text)
            while document < len(documents):
                candidate = documents[document]
                if (query_id, candidate.id or "") not in self.file:
                    self._position = (query, document)
                    return PairToJudge(
                        query_id,
                        text,
                        candidate,
                        query + 1,
                        len(self.queries),
                        document + 1,
                        len(documents),
                    )
                document += 1
            query, document = query + 1, 0
        self._position = (query, 0)
        return None

    def grade(self, grade: int) -> None:
        """Write the grade of the current pair, and advance."""
        pair = self.current()
        if pair is not None:
            self.file.add(pair.query_id, pair.document.id or "", grade)
            self.judged += 1
            self._advance(written=True)

    def skip(self) -> None:
        """Advance without a grade."""
        if self.current() is not None:
            self.skipped += 1
            self._advance(written=False)

    def skip_query(self) -> None:
        """Advance to the next query."""
        while (pair := self.current()) is not None:
            self.skip()
            following = self.current()
            if following is None or following.query_number != pair.query_number:
                return

    def undo(self) -> bool:
        """Undo the last grade or skip of this session; return whether there was one."""
        if not self._history:
            return False
        self._position, written = self._history.pop()
        if written:
            self.file.undo()
            self.judged -= 1
        else:
            self.skipped -= 1
        return True

    def _advance(self, *, written: bool) -> None:
        query, document = self._position
        self._history.append((self._position, written))
        self._position = (query, document + 1)

    def _documents(self, query_id: str, text: str) -> list[Document]:
        if query_id not in self._pools:
            self._pools[query_id] = self._pool(query_id, text)
        return self._pools[query_id]
