"""Adaptive retrieval: the neighbors of what reads best are read too.

MacAvaney, Tonellotto and Macdonald, "Adaptive Re-Ranking with a Corpus Graph", CIKM 2022. The
neighbors are looked up in the vectors of the index, passage by passage, so there is no graph
to keep up to date, and filters and versions hold for neighbors too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from secondpass.index.rounds import Rounds
from secondpass.types import Candidate, Document

ROUNDS = 6
"""In how many rounds the candidates are read; every other one reads neighbors."""
NEIGHBORS = 8
"""How many neighbors of a passage are considered."""

_LOOKED_UP_AT_ONCE = 2

FindNeighbors = Callable[[Sequence[Document]], list[list[Document]]]
"""Returns the nearest passages of each passage, nearest first."""
ToCandidates = Callable[[Sequence[Document]], list[Candidate]]
"""Returns passages with their scores of the first stage."""


def read_adaptively(
    pool: Sequence[Candidate],
    rounds: Rounds,
    find_neighbors: FindNeighbors,
    to_candidates: ToCandidates,
) -> None:
    """Read in turn the next candidates of a pool, and neighbors of the best that were read.

    A round without neighbors reads the pool instead, and the other way round, until the limit
    of the rounds is reached or there is nothing left.
    """
    frontier = Frontier(rounds, find_neighbors)
    in_pool = {candidate.document.key: candidate for candidate in pool}
    size = -(-rounds.room // ROUNDS)

    def from_pool(count: int) -> list[Candidate]:
        return [c for c in pool if c.document.key not in rounds.taken][:count]

    def from_frontier(count: int) -> list[Candidate]:
        found = frontier.next_documents(count)
        new = iter(to_candidates([d for d in found if d.key not in in_pool]))
        return [in_pool[d.key] if d.key in in_pool else next(new) for d in found]

    sources = [from_pool, from_frontier]
    while rounds.room:
        count = min(size, rounds.room)
        batch = sources[0](count) or sources[1](count)
        if not batch:
            break
        rounds.read(batch)
        sources.reverse()


class Frontier:
    """The neighbors of what was read, those of the best passage first.

    The neighbors of a passage are looked up when its turn comes.
    """

    def __init__(self, rounds: Rounds, find_neighbors: FindNeighbors) -> None:
        self._rounds = rounds
        self._find_neighbors = find_neighbors
        self._neighbors: dict[str, list[Document]] = {}

    def next_documents(self, count: int) -> list[Document]:
        """Return up to `count` passages that were not read, of as many good ones at most."""
        chosen: dict[str, Document] = {}
        for neighbors in self._of_the_best(count):
            for document in neighbors:
                if len(chosen) < count and document.key not in self._rounds.taken:
                    chosen[document.key] = document
            if len(chosen) == count:
                break
        return list(chosen.values())

    def _of_the_best(self, count: int) -> Iterator[list[Document]]:
        best = self._rounds.best()[:count]
        for position, document in enumerate(best):
            if document.key not in self._neighbors:
                new = [d for d in best[position:] if d.key not in self._neighbors]
                new = new[:_LOOKED_UP_AT_ONCE]
                found = self._find_neighbors(new)
                self._neighbors |= {d.key: n for d, n in zip(new, found, strict=True)}
            yield self._neighbors[document.key]
