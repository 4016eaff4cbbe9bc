"""A file of grades that loses nothing: each is on disk before the next is asked for."""

from __future__ import annotations

import os
from pathlib import Path

from secondpass.errors import InputError
from secondpass.evaluate.qrels import read_qrels

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
