"""What the stores over tables and collections of others share, whatever engine has them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from secondpass.errors import InputError
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.table_columns import TableColumns
from secondpass.retrieve.backends.vector_fit import fit_embedder
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.retrieve.store_protocol import StoreInfo, TextEncoder
from secondpass.types import Document

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding, SearchableStore


class TableStore(ABC):
    """A table or collection of others, of which columns have roles; it is only read.

    `dimension` is 0 until an embedder is found to fit.
    """

    def __init__(self, url: DatabaseURL, columns: TableColumns, info: StoreInfo) -> None:
        self.url = url
        self.columns = columns
        self.info = info
        self.dimension = 0

    @property
    def fields(self) -> Mapping[str, str]:
        """The metadata that a filter can name, with the kind of each."""
        return self.columns.filtered

    @abstractmethod
    def count_passages(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def probe(self) -> Sequence[tuple[Document, Embedding]]:
        """Return some rows with their vectors."""

    @abstractmethod
    def close(self) -> None:
        """Release the connections."""

    def embeddings(self, passages: Sequence[Document]) -> dict[str, Embedding]:
        """Return no vectors, which would take a further query."""
        return {}

    def fit(
        self,
        embedder: TextEncoder | None,
        dimension: int | None = None,
        note: str | None = None,
    ) -> HybridRetriever:
        """Return a retriever over this store, with the embedder if the vectors are its own.

        `dimension` is that of the vectors, None where it is not known. `note` is what keyword
        search lacks. Raises InputError where neither half can search.
        """
        fitting, why = fit_embedder(embedder, self.columns.vector, dimension, self.probe)
        notes = "; ".join(text for text in (why, note) if text is not None) or None
        if fitting is None and self.info.ranking is None:
            raise InputError(
                "what this URL names can be searched neither by words nor by vectors",
                where=self.url.redacted,
                why=notes,
            )
        self.dimension = 0 if fitting is None else fitting.dimension
        self.info = replace(self.info, note=notes)
        return HybridRetriever(cast("SearchableStore", self), fitting)


@contextmanager
def close_on_error(close: Callable[[], None]) -> Iterator[None]:
    """Close a connection if what opens a store over it fails."""
    try:
        yield
    except BaseException:
        close()
        raise
