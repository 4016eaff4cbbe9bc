"""A session of judging: what is asked next, and what an answer does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from secondpass.evaluate.grade_file import GradeFile
from secondpass.types import Document

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
