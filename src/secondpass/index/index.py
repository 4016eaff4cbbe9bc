"""The index: documents in a folder, searched by a first stage and reranked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondpass.errors import SecondpassError
from secondpass.index.search import Search
from secondpass.options import Rerank, SearchOptions
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.inputs import DocumentLike, check_ids, to_candidates
from secondpass.types import Document, is_missing

if TYPE_CHECKING:
    from secondpass.errors import ReadError
    from secondpass.index.precompute import StatesCheck
    from secondpass.index.storage.store import RemoteStore
    from secondpass.retrieve.backends.lance.store import LanceStore
    from secondpass.retrieve.embedder import Embedder
    from secondpass.retrieve.ingest_batches import AsIndexed
    from secondpass.retrieve.ingest_report import IngestReport, Progress
    from secondpass.retrieve.passage_maker import PassageMaker
    from secondpass.retrieve.retriever import HybridRetriever
    from secondpass.retrieve.settings import IndexSettings, States
    from secondpass.retrieve.store_protocol import TextEncoder, Version

__all__ = ["Index", "Rerank", "SearchOptions"]


@dataclass(frozen=True, slots=True)
class OptimizeReport:
    """What `Index.optimize` did with the stored states of passages.

    - `states_removed`: how many states were removed because no passage has them any more, or
      because they are of another model or another option `states`; `bytes_removed`: their
      bytes; `files_removed`: how many of their files as a whole.
    - `bytes_freed`: by how much the files got smaller. What is not freed is used for later
      states.
    - `windows_read`: how many windows of passages had no states, and were encoded.
    - `problem`: why not all of it was removed; None where it was.
    """

    states_removed: int = 0
    bytes_removed: int = 0
    files_removed: int = 0
    bytes_freed: int = 0
    windows_read: int = 0
    problem: str | None = None


@contextmanager
def index_engine_loading(*, only_search: bool = False) -> Iterator[None]:
    """Import the engine of an index in a thread, while what is in the block is loaded.

    Half of that import is spent outside of Python's lock, and so is half of loading a model.
    A failure is left to whoever needs the engine. `only_search`: for a process of one's own
    that only searches, see `import_for_search`.
    """
    from secondpass.retrieve.backends.lance.table import load

    def load_quietly() -> None:
        with suppress(SecondpassError):
            load(only_search=only_search)

    thread = threading.Thread(target=load_quietly, name="secondpass-load", daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


class Index(Search):
    """An index of documents with hybrid search (BM25 and vectors) and reranking.

    Open one with `Index.open`. Thread-safe; several processes may read while one writes.
    The async methods `aadd`, `adelete`, `acount`, `aoptimize`, `asearch` and `aanswer` run
    the method without the "a" in a worker thread.
    """

    def __init__(
        self, store: LanceStore, embedder: Embedder, *, reranker: BaseReranker | None = None
    ) -> None:
        from secondpass.index.precompute import PrecomputedStates
        from secondpass.retrieve.retriever import HybridRetriever

        self.store = store
        self._embedder = embedder
        self._states = PrecomputedStates(
            store.states_folder, embedder, states=store.settings.states
        )
        self._hybrid = HybridRetriever(store, embedder)
        super().__init__(self._hybrid, reranker, states=self._states)
        store.when_removed(self._remove_states)

    @property
    def embedder(self) -> Embedder:
        """The embedding model."""
        return self._embedder

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        create: bool = True,
        language: str | None = None,
        chunk_tokens: int | None = None,
        overlap: int = 32,
        embedder: Embedder | None = None,
        reranker: BaseReranker | None = None,
        states: States | None = None,
        keep_states: bool | None = None,
        storage_options: Mapping[str, Any] | None = None,
        local_folder: str | Path | None = None,
        local_bytes: int | None = None,
    ) -> Index:
        """Open the index in a folder; create one if there is none and `create` is True.

        `path` is a folder, or the URL of a prefix in object storage: s3://BUCKET/PREFIX,
        gs://… or az://…, with `file:///FOLDER` for the same layout in a folder. Such an index
        has one writer at a time, and any number of readers, each with a copy on its machine.

        - `language`: of stemming and stop words, for a new index; English by default.
        - `chunk_tokens`, `overlap`: split documents longer than `chunk_tokens` into passages
          of that many tokens, for a new index; None keeps documents whole.
        - `embedder`: the embedding model; the bundled one by default.
        - `reranker`: the reranker of `search`; by default the bundled one, loaded at the
          first search.
        - `states`: how a precomputed reranker over the same embedder stores the states of
          passages in the index's folder, so that a search encodes only its query: "full", in
          tokens * (codes + 2) + 4 * dimension bytes a passage; "compact", in tokens *
          (codes / 4 + 2) + dimension, a quarter; or "none". Saved with the index, "full" for a
          new one. After a change, `optimize` makes the states anew and deletes the others.
        - `keep_states`: the older name: False is "none", True what there is or "full".

        - `storage_options`: for a URL, settings of the storage such as "aws_access_key_id",
          "region" and "endpoint"; by default its usual environment variables.
        - `local_folder`, `local_bytes`: for a URL, where the copy is (in the user's cache) and
          its limit, 50 GiB; an index that is larger cannot be opened.

        Raises `IndexNotFoundError`, `IndexStoreError` for a folder that holds something
        else or an index made by another embedder, `MissingExtraError` without the extra
        `index`.
        """
        from secondpass.index.storage.open import open_store
        from secondpass.retrieve.embedder import Embedder

        embedder = Embedder() if embedder is None else embedder
        store = open_store(
            path,
            embedder,
            language=language,
            chunk_tokens=chunk_tokens,
            overlap=overlap,
            create=create,
            states=states,
            keep_states=keep_states,
            storage_options=storage_options,
            local_folder=local_folder,
            local_bytes=local_bytes,
        )
        return cls(store, embedder, reranker=reranker)

    def add(
        self,
        documents: Iterable[DocumentLike],
        *,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Store documents, replacing those with the same ids; return how many are stored now.

        Documents are written in batches, each atomically: a crash loses at most the current
        batch. A document without an id gets a hash of its content as id, so that adding it
        twice stores it once. Ids are text, whole numbers of any type or UUIDs, and are stored
        as text: 7.0 is "7". An id, a title or metadata that is NaN counts as absent. Of
        documents with the same id the last is stored, and they count as one; without title
        and text, none is.
        `progress` is called with the number of documents read since its last call.
        """
        from secondpass.retrieve.ingest import add_documents

        converted = (_without_missing(c.document) for c in to_candidates(documents))
        embedder = self.ingest_embedder()
        return add_documents(converted, self.store, embedder, progress=progress).stored

    def ingest_embedder(self) -> TextEncoder:
        """Return the embedder to pass to `ingest`: it also stores the reranker's states.

        The index's own embedder if its reranker uses no stored states.
        """
        return self._states.recording_embedder(self._rerankers.load_for_states())

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents by id; return how many were deleted."""
        return self.store.delete(check_ids("ids", ids))

    def count(self) -> int:
        """Return the number of documents."""
        return self.store.count_documents()

    def optimize(
        self, *, progress: Callable[[str, int, int], None] | None = None
    ) -> OptimizeReport:
        """Bring the search indexes up to date and merge small files, after many writes.

        Also removes stored states of passages that are no longer in the index, and makes those
        that `count_unread_windows` counts. Others can search and write meanwhile: a search of
        an older version, or with other `fields` or another `max_length`, then encodes again
        what was removed. What is returned has `states_removed`, `bytes_removed`,
        `files_removed`, `bytes_freed`, `windows_read` and `problem`, why not all was removed.

        `progress` is called with a stage, how much of it is done, and of how much, 0 where
        that is not known: "merge", "check" (passages), "remove" (states) and "encode"
        (passages).
        """
        show = _show_nothing if progress is None else progress
        show("merge", 0, 0)
        self.store.optimize()
        reranker = self._rerankers.load_for_states()
        removed = self._states.remove_unused(
            reranker, self._take_passages("check", show), progress=partial(show, "remove")
        )
        self.store.publish_states(removed=removed.states > 0)
        made = self._states.read_unread(reranker, self._take_passages("encode", show))
        if made:
            self.store.publish_states()
        return OptimizeReport(
            removed.states, removed.bytes, removed.files, removed.freed, made, removed.problem
        )

    def _remove_states(self, documents: Iterator[list[Document]]) -> None:
        """Remove states that none of all these passages has."""
        precomputed = self._states.find_precomputed(self._rerankers.load_for_states())
        if precomputed is not None:
            self._states.remove_unneeded(precomputed, documents)

    def _take_passages(
        self, stage: str, show: Callable[[str, int, int], None]
    ) -> Iterator[list[Document]]:
        """Yield all passages in batches, and show how many were taken."""
        done, total = 0, self.store.count_passages()
        show(stage, done, total)
        for batch in self.store.iter_documents():
            yield batch
            done += len(batch)
            show(stage, min(done, total), total)

    async def aadd(
        self,
        documents: Iterable[DocumentLike],
        *,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Run `add` in a worker thread."""
        return await asyncio.to_thread(self.add, documents, progress=progress)

    async def adelete(self, ids: Iterable[str]) -> int:
        """Run `delete` in a worker thread."""
        return await asyncio.to_thread(self.delete, ids)

    async def acount(self) -> int:
        """Run `count` in a worker thread."""
        return await asyncio.to_thread(self.count)

    async def aoptimize(
        self, *, progress: Callable[[str, int, int], None] | None = None
    ) -> OptimizeReport:
        """Run `optimize` in a worker thread."""
        return await asyncio.to_thread(self.optimize, progress=progress)

    # The document store, for modules outside of `index` and `retrieve`.

    @property
    def name(self) -> str:
        """The index's folder, or its URL, for messages."""
        return self.store.place

    @property
    def remote(self) -> RemoteStore | None:
        """The store of an index in object storage; None for one in a folder."""
        from secondpass.index.storage.store import RemoteStore

        return self.store if isinstance(self.store, RemoteStore) else None

    @property
    def folder(self) -> Path:
        """The index's folder."""
        return self.store.folder

    @property
    def language(self) -> str:
        """The language of stemming and stop words, "none" for neither."""
        return self.store.settings.language

    @property
    def retriever(self) -> HybridRetriever:
        """The first stage that `search` uses; it is closed with the index."""
        return self._hybrid

    @property
    def dimension(self) -> int:
        """The length of a vector; 0 in an index without vectors."""
        return self.store.dimension

    @property
    def settings(self) -> IndexSettings:
        """How the index was made: passages, language, states."""
        return self.store.settings

    def versions(self) -> list[Version]:
        """Return the states that the option `version` of a search can name, oldest first."""
        return self.store.versions()

    def count_passages(self) -> int:
        """Return the number of passages that documents were split into."""
        return self.store.count_passages()

    def count_unindexed(self) -> int:
        """Return how many rows are outside the text index that lacks most.

        Searches scan them; `optimize` takes them in.
        """
        return self.store.count_unindexed()

    def count_unread_windows(self) -> int:
        """Return how many windows of passages have no stored states: searches encode them.

        They are those of long passages in an index of an earlier version, and of a file of
        states that was lost; `optimize` reads them. 0 where the reranker stores no states.
        """
        return self.check_states(None).unread_windows

    def check_states(self, sample: int | None = 2000) -> StatesCheck:
        """Count what is stored for a reranker, and what passages lack of it; writes nothing.

        So many passages drawn by chance are looked at, None for all. What is returned has
        `states` and `bytes` of the file, the `passages` that were looked at, and of them
        `unread_passages` with `unread_windows`, which a search would encode. All is 0 where
        the reranker stores no states.
        """
        if sample is None:
            documents = self.store.iter_documents()
        else:
            documents = iter([self.store.sample_documents(sample)])
        return self._states.check(self._rerankers.load_for_states(), documents)

    def stored_ids(self, ids: Sequence[str]) -> set[str]:
        """Return those of these document ids that are stored."""
        return set(self.store.lookup(ids))

    def iter_documents(
        self,
        filter: str | None = None,  # noqa: A002
    ) -> Iterator[list[Document]]:
        """Yield all passages that pass a filter, in batches, unordered."""
        return self.store.iter_documents(filter=filter)

    def add_documents(
        self,
        documents: Iterable[Document],
        embedder: TextEncoder,
        *,
        chunk_tokens: int | AsIndexed | None = "index",
        overlap: int | AsIndexed = "index",
    ) -> IngestReport:
        """Store documents as `add` does, with an embedder and chunking of the caller's choice.

        The embedder must be the index's own, or a wrapper of it.
        """
        from secondpass.retrieve.ingest import add_documents

        return add_documents(
            documents, self.store, embedder, chunk_tokens=chunk_tokens, overlap=overlap
        )

    def ingest(
        self,
        paths: Iterable[str | Path],
        encoder: TextEncoder,
        maker: PassageMaker,
        *,
        fields: Sequence[str] | None = None,
        prefix_ids: bool = False,
        strict: bool = True,
        progress: Progress | None = None,
        on_error: Callable[[ReadError], None] | None = None,
    ) -> IngestReport:
        """Read files and folders into the index, with passages that are made by `maker`.

        `encoder` is that of `ingest_embedder`; the rest is as in `retrieve.ingest.ingest`.
        """
        from secondpass.retrieve.ingest import ingest

        return ingest(
            paths,
            self.store,
            encoder,
            fields=fields,
            prefix_ids=prefix_ids,
            strict=strict,
            progress=progress,
            on_error=on_error,
            maker=maker,
        )

    def close(self) -> None:
        """Close files and threads; the index can be opened again."""
        super().close()
        self.store.close()
        # After the thread of the store, which may remove states.
        self._states.close()


def _show_nothing(stage: str, done: int, total: int) -> None:
    pass


def _without_missing(document: Document) -> Document:
    """Return the document without the NaN that pandas writes for absent values; None stays."""
    metadata = document.metadata
    missing = {k for k, v in metadata.items() if v is not None and is_missing(v)}
    if not missing:
        return document
    return replace(document, metadata={k: v for k, v in metadata.items() if k not in missing})
