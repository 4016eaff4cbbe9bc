"""An index that shards have: its store and its first stage, which any shard answers for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from secondpass.cluster.shard import AboutIndex, ShardStatus
from secondpass.cluster.shard_calls import ShardCalls
from secondpass.observe import stage
from secondpass.retrieve.protocol import RetrieverInfo
from secondpass.types import Candidate, Document

if TYPE_CHECKING:
    from secondpass.index.first_stage import FirstStageOptions
    from secondpass.retrieve.expansion import Expansion
    from secondpass.retrieve.retriever import Retrieved
    from secondpass.retrieve.store_protocol import (
        DocumentRecord,
        Embedding,
        Hit,
        TextEncoder,
        Version,
    )

_ASK_SECONDS = 5.0


class ShardedIndex:
    """One index as shards have it, in the version that searches use; thread-safe.

    A search stays on the version that it began with. `move` takes the others to a new one,
    once each shard that answers has it.
    """

    def __init__(self, name: str, calls: ShardCalls) -> None:
        self.name, self.calls = name, calls
        self._newest: AboutIndex = calls.ask_any("about", name, None)
        self._pinned: ContextVar[AboutIndex | None] = ContextVar("pinned", default=None)
        self._lock = threading.Lock()
        self._asked = time.monotonic()

    @property
    def about(self) -> AboutIndex:
        """What the index is, in the version of this search, or else of the next one."""
        pinned = self._pinned.get()
        return self._newest if pinned is None else pinned

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Stay on one version inside."""
        token = self._pinned.set(self.about)
        try:
            yield
        finally:
            self._pinned.reset(token)

    def move(self, statuses: Sequence[ShardStatus]) -> None:
        """Use the newest version that all of these shards have; raises what asking raises."""
        pins = [status.newest.get(self.name) for status in statuses]
        oldest = min((pin for pin in pins if pin is not None), default=None)
        with self._lock:
            current, now = self._newest.pin, time.monotonic()
            if oldest is None or current is None:
                # A folder has no versions to compare: what it has is asked now and then.
                if now - self._asked < _ASK_SECONDS:
                    return
            elif oldest <= current:
                return
            self._newest, self._asked = self.calls.ask_any("about", self.name, oldest), now

    def ask(
        self,
        target: str,
        method: str,
        *arguments: Any,
        state: int | None = None,
        **options: Any,
    ) -> Any:
        """Call a method of the retriever or the store of the version, at any shard."""
        return self.calls.ask_any(
            "retrieve", self.name, self.about.pin, state, target, method, arguments, options
        )


class ShardedStore:
    """The passages of an index, as a `PassageStore` that any shard reads.

    `state`: an earlier state of the store; None for that of the version.
    """

    def __init__(self, index: ShardedIndex, state: int | None = None) -> None:
        self._index, self._state = index, state

    @property
    def dimension(self) -> int:
        """The length of a vector; 0 without vectors."""
        return self._index.about.dimension

    @property
    def fields(self) -> Mapping[str, str]:
        """The metadata that a filter can name, with the type of each."""
        return self._index.about.fields

    @property
    def folder(self) -> Path:
        """Where the index is, for messages."""
        return Path(self._index.about.place)

    @property
    def keyword_note(self) -> str | None:
        """What keyword search does not do here, or None."""
        return self._index.about.keyword_note

    @property
    def version(self) -> int:
        """The number of the state that a search reads now."""
        return self._index.about.version if self._state is None else self._state

    def versions(self) -> list[Version]:
        """Return the states that can still be read, oldest first."""
        found: list[Version] = self._ask("versions")
        return found

    def checkout(self, version: int) -> ShardedStore:
        """Return one older state; raises InputError where it is gone."""
        index = self._index
        index.calls.ask_any("check_state", index.name, index.about.pin, version)
        return ShardedStore(index, version)

    def count_passages(self) -> int:
        """Return the number of passages."""
        return self._index.about.passages

    def lookup(self, ids: Sequence[str]) -> dict[str, DocumentRecord]:
        """Return the records of those of these documents that are stored, by id."""
        found: dict[str, DocumentRecord] = self._ask("lookup", list(ids))
        return found

    def bm25(
        self,
        query: str,
        limit: int,
        filter: str | None = None,  # noqa: A002 - the field's own word
        *,
        passages: Sequence[Document] | None = None,
        embeddings: bool = False,
        all_words: bool = False,
        weights: Mapping[str, float] | None = None,
    ) -> list[Hit]:
        """Search by words; see `SearchableStore.bm25`."""
        hits: list[Hit] = self._ask(
            "bm25",
            query,
            limit,
            filter,
            passages=passages,
            embeddings=embeddings,
            all_words=all_words,
            weights=weights,
        )
        return hits

    def vector(
        self,
        embedding: Embedding,
        limit: int,
        filter: str | None = None,  # noqa: A002
    ) -> list[Hit]:
        """Search by cosine, -1 to 1."""
        hits: list[Hit] = self._ask("vector", embedding, limit, filter)
        return hits

    def embeddings(self, passages: Sequence[Document]) -> dict[str, Embedding]:
        """Return the vectors of those of these passages that are stored with one, by key."""
        found: dict[str, Embedding] = self._ask("embeddings", list(passages))
        return found

    def passages_of(self, document_id: str) -> list[Hit]:
        """Return all passages of the document, or else the passage of this id; [] if none."""
        hits: list[Hit] = self._ask("passages_of", document_id)
        return hits

    def matching(
        self,
        passages: Sequence[Document],
        filter: str | None,  # noqa: A002
    ) -> list[bool]:
        """Return which of these passages pass a filter, in their order; raises FilterError."""
        found: list[bool] = self._ask("matching", list(passages), filter)
        return found

    def _ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._index.ask("store", method, *arguments, state=self._state, **options)


class ShardedFirstStage:
    """A first stage that any shard runs over its copy of the whole index.

    So its scores are those of one index, whatever the number of shards. `embedder` is what
    embeds texts of a search in this process, such as pinned passages.
    """

    def __init__(self, index: ShardedIndex, embedder: TextEncoder) -> None:
        self._index, self.embedder = index, embedder
        self.store = ShardedStore(index)

    @property
    def name(self) -> str:
        """Where the index is, for messages."""
        return self._index.about.place

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes there are, the default first."""
        return self._index.about.modes

    def describe(self) -> RetrieverInfo:
        """Return what can be searched and filtered."""
        about = self._index.about
        return RetrieverInfo(about.modes, about.fields, about.passages, about.place)

    def search(self, query: str, **options: Unpack[FirstStageOptions]) -> Retrieved:
        """Return candidates, see `HybridRetriever.search`."""
        asked = {"mode": options.get("mode"), "candidates": options.get("candidates")}
        with stage("first_pass", query=query, **asked) as attributes:
            found: Retrieved = self._ask("search", query, **options)
            attributes["documents"] = len(found.candidates)
        return found

    def score_passages(
        self,
        query: str,
        documents: Sequence[Document],
        *,
        embedding: Embedding | None,
        version: int | None = None,
        expansion: Expansion | None = None,
    ) -> list[Candidate]:
        """Return stored passages as candidates of a query, in their order, without ranks."""
        found: list[Candidate] = self._ask(
            "score_passages",
            query,
            list(documents),
            embedding=embedding,
            version=version,
            expansion=expansion,
        )
        return found

    def embeddings(
        self, documents: Sequence[Document], *, version: int | None = None
    ) -> dict[str, Embedding]:
        """Return the vectors of stored passages, by key, of those that have one."""
        found: dict[str, Embedding] = self._ask("embeddings", list(documents), version=version)
        return found

    def find_neighbors(
        self,
        documents: Sequence[Document],
        limit: int,
        *,
        filter: str | None = None,  # noqa: A002
        version: int | None = None,
    ) -> list[list[Document]]:
        """Return for each stored passage the `limit` nearest others, nearest first."""
        found: list[list[Document]] = self._ask(
            "find_neighbors", list(documents), limit, filter=filter, version=version
        )
        return found

    def close(self) -> None:
        """Do nothing: the shards stay."""

    def _ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._index.ask("retriever", method, *arguments, **options)
