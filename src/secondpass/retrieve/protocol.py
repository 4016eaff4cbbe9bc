"""Protocol of a first stage: any source that returns candidates for a query.

An adapter of a database (`retrieve/backends/`) needs `Retriever` only; reranking, fusion with
other sources and evaluation work on the candidates. A database that searches by words and by
vectors, and does not fuse them itself, can implement `SearchableStore` instead and be wrapped
in `HybridRetriever`. A store that secondpass also writes to is a `DocumentStore`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from secondpass.types import Candidate


@dataclass(frozen=True, slots=True)
class RetrieverInfo:
    """What a retriever offers.

    - `modes`: "hybrid", "bm25", "vector"; the first is the default. A retriever with a
      ranking of its own, of another kind, has none.
    - `fields`: the metadata that a filter can name, with the type of each.
    - `count`: the number of passages, or None where the source does not know it.
    - `name`: its URL without secrets; `engine`: the engine and its version.
    - `ranking`: how keyword search scores there, such as "BM25" or "ts_rank_cd, without idf".
    - `note`: what is left out here, and what to do about it; None where nothing is.
    """

    modes: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    count: int | None = None
    name: str | None = None
    engine: str | None = None
    ranking: str | None = None
    note: str | None = None


@runtime_checkable
class Retriever(Protocol):
    """A source of candidates; safe to use from several threads."""

    def retrieve(
        self,
        query: str,
        k: int = 50,
        filter: str | None = None,  # noqa: A002 - the word that users know
    ) -> list[Candidate]:
        """Return up to `k` candidates, best first, ranks from 1.

        `filter` is an SQL condition over `RetrieverInfo.fields`, such as `"year >= 2015"`,
        and applies before the limit. Each candidate has `bm25` and `vector` scores where the
        source has them, and None where it has not. Raises InputError for a query that is not
        text or a `k` below 1, and FilterError for a filter that cannot be used.
        """
        ...

    def describe(self) -> RetrieverInfo:
        """Return what can be searched and filtered here."""
        ...
