"""A session of judging: what is asked next, and what an answer does.

A file of grades that loses nothing: each is on disk before the next is asked for.
"""

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
    """Grades by query and document, in BEIR's three columns, written one by one.

    A file that is there is gone on with; a last line that was cut off by a crash goes.

    Raises `InputError` for a file that cannot be written, or holds something else, and
    `ReadError` for one that cannot be read.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._mend()
            found = read_qrels(file, may_be_empty=True).grades
        except OSError as error:
            raise InputError(
                "The judgements cannot be kept", where=str(file), why=error.strerror
            ) from error
        self.grades = {query: dict(judged) for query, judged in found.items()}
        self._ends: list[tuple[str, str, int]] = []

    def __contains__(self, pair: tuple[str, str]) -> bool:
        query, document = pair
        return document in self.grades.get(query, {})

    def __len__(self) -> int:
        return sum(map(len, self.grades.values()))

    def add(self, query: str, document: str, grade: int) -> None:
        """Write a judgement, through to the disk."""
        if any(c in name for name in (query, document) for c in "\t\r\n"):
            raise InputError(
                f"The id {document!r} cannot stand in a file of columns",
                why="it has a tab or a line break",
            )
        with self.file.open("ab") as stream:
            start = stream.tell()
            stream.write(f"{query}\t{document}\t{grade}\n".encode("utf-8", "replace"))
            stream.flush()
            os.fsync(stream.fileno())
        self._ends.append((query, document, start))
        self.grades.setdefault(query, {})[document] = grade

    def undo(self) -> tuple[str, str] | None:
        """Take back the last judgement of this session; return whose it was, or None."""
        if not self._ends:
            return None
        query, document, start = self._ends.pop()
        with self.file.open("r+b") as stream:
            stream.truncate(start)
            os.fsync(stream.fileno())
        del self.grades[query][document]
        return query, document

    def _mend(self) -> None:
        data = self.file.read_bytes() if self.file.is_file() else b""
        if not data:
            self.file.write_bytes(f"{HEADER}\n".encode())
            return
        last = data[data.rfind(b"\n") + 1 :]
        if not last:
            return
        with self.file.open("r+b") as stream:
            if len(last.split()) in (3, 4) and last.split()[-1].isdigit():
                stream.seek(0, os.SEEK_END)
                stream.write(b"\n")
            else:
                stream.truncate(len(data) - len(last))


Pool = Callable[[str, str], list[Document]]
"""The documents to judge for a query, by its id and text."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A pair to be judged; `query` and `document` count from 1 within all and the pool."""

    name: str
    text: str
    document: Document
    query: int
    queries: int
    place: int
    pooled: int


class Labelling:
    """Goes through the pools of all queries, and leaves out what was judged before.

    What is skipped is not written, and asked again in another session.
    """

    def __init__(self, queries: Mapping[str, str], pool: Pool, file: GradeFile) -> None:
        self.queries = list(queries.items())
        self.file = file
        self.judged = self.skipped = 0
        self._pool = pool
        self._pools: dict[str, list[Document]] = {}
        self._at = (0, 0)
        self._history: list[tuple[tuple[int, int], bool]] = []

    def asked(self) -> Asked | None:
        """Return the pair to be judged now, or None at the end."""
        query, place = self._at
        while query < len(self.queries):
            name, text = self.queries[query]
            documents = self._documents(name, text)
            while place < len(documents):
                document = documents[place]
                if (name, document.id or "") not in self.file:
                    self._at = (query, place)
                    counts = query + 1, len(self.queries), place + 1, len(documents)
                    return Asked(name, text, document, *counts)
                place += 1
            query, place = query + 1, 0
        self._at = (query, 0)
        return None

    def grade(self, grade: int) -> None:
        """Write the grade of the pair that was asked for, and go on."""
        asked = self.asked()
        if asked is not None:
            self.file.add(asked.name, asked.document.id or "", grade)
            self.judged += 1
            self._go_on(written=True)

    def skip(self) -> None:
        """Go on without a judgement."""
        if self.asked() is not None:
            self.skipped += 1
            self._go_on(written=False)

    def skip_query(self) -> None:
        """Go on with the next query."""
        while (asked := self.asked()) is not None:
            self.skip()
            following = self.asked()
            if following is None or following.query != asked.query:
                return

    def undo(self) -> bool:
        """Take back the last answer of this session; return whether there was one."""
        if not self._history:
            return False
        self._at, written = self._history.pop()
        if written:
            self.file.undo()
            self.judged -= 1
        else:
            self.skipped -= 1
        return True

    def _go_on(self, *, written: bool) -> None:
        query, place = self._at
        self._history.append((self._at, written))
        self._at = (query, place + 1)

    def _documents(self, name: str, text: str) -> list[Document]:
        if name not in self._pools:
            self._pools[name] = self._pool(name, text)
        return self._pools[name]
