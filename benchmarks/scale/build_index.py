"""Build an index of a given size from recombined passages, and measure each part of it."""

from __future__ import annotations

import resource
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import wraps
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scale.encoded_passages import CACHE, EncodedPassages, open_models
from scale.real_texts import open_texts
from scale.recombined import RecombinedPassages, make_records
from secondpass.index.storage.open import open_store
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.store import StateStore
from secondpass.rerank.precomputed.types import Record
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.retrieve.backends.lance import table as lance_table
from secondpass.retrieve.backends.lance.store import LanceStore
from secondpass.retrieve.store_protocol import Passage
from secondpass.storage import verify_checksum
from secondpass.types import Candidate, Document

ROWS_AT_ONCE = 5_000
"""Passages a commit; `Index.add` commits 64 documents, which `small_commit` measures."""

SMALL_ROWS = 64
SMALL_COMMITS = 160
"""So many that the store gathers their rows once in an index of up to 100,000 passages."""


@dataclass
class Built:
    """What building an index took.

    - `seconds`, `processor`: by part, elapsed and of all threads together; `bytes`: by part,
      after old versions were removed.
    - `states`: how many passages have stored states; `peak_bytes`: of this process.
    - `small_commit`: seconds of the processor of a commit of 64 passages to the finished index,
      with the lookup of `Index.add` before it; the mean of `SMALL_COMMITS`.
    """

    kind: str
    place: str
    passages: int
    encoded: int
    states: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    processor: dict[str, float] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    small_commit: float = 0.0
    peak_bytes: int = 0


class Stopwatch:
    """Sums of seconds by the name of a part: elapsed, and of the processor."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.processor: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time of a block to a part."""
        began, worked = perf_counter(), process_time()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - began
            self.processor[name] = self.processor.get(name, 0.0) + process_time() - worked

    def parts(self, kind: str) -> dict[str, float]:
        """Return the sums of one kind, without what was counted twice."""
        sums: dict[str, float] = dict(getattr(self, kind))
        # The search indexes are built inside of the other two.
        sums["commit"] = sums.pop("upsert") - sums.get("text index", 0.0)
        sums["merge"] -= sums.get("vector index", 0.0)
        return sums

    def watch(self, owner: Any, function: str, name: str) -> None:
        """Add the time of a module's function to a part, from now on in this process."""
        call: Callable[..., Any] = getattr(owner, function)

        @wraps(call)
        def timed(*arguments: Any, **options: Any) -> Any:
            with self.part(name):
                return call(*arguments, **options)

        setattr(owner, function, timed)


def index_place(place: str, passages: int) -> tuple[str, Path]:
    """Return the path or URL of an index, and the folder that holds all of it."""
    folder = CACHE / f"index-{place}-{passages}"
    return (str(folder) if place == "local" else f"file://{folder}"), folder


def build(place: str, passages: int, encoded: EncodedPassages, states: int) -> Built:
    """Build the index from nothing through `LanceStore.upsert`, which takes given vectors."""
    location, folder = index_place(place, passages)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(local_copy(passages), ignore_errors=True)
    embedder, reranker = open_models()
    watch = Stopwatch()
    watch.watch(lance_table, "index_text", "text index")
    watch.watch(lance_table, "index_vectors", "vector index")
    copy = None if place == "local" else local_copy(passages)
    store = open_store(location, embedder, chunk_tokens=256, local_folder=copy)
    rows = RecombinedPassages(encoded, open_texts())
    real = real_records(encoded, 500)
    state_store = open_states(store, reranker)
    for start in range(0, passages, ROWS_AT_ONCE):
        batch = rows.batch(start, min(passages, start + ROWS_AT_ONCE))
        with watch.part("upsert"):
            store.upsert(batch)
        if start < states:
            with watch.part("states"):
                add_states(batch[: states - start], reranker, state_store, encoded, real)
        if sys.stderr.isatty() or (start // ROWS_AT_ONCE) % 10 == 0:
            print(f"{place} {passages:,}: {start + len(batch):,} stored", file=sys.stderr)
    with watch.part("merge"):
        store.optimize(keep=timedelta(0))
        store.publish_states()
    seconds, processor = watch.parts("seconds"), watch.parts("processor")
    # Once more: what the first one has replaced, the second one deletes.
    store.optimize(keep=timedelta(0))
    stored = folder_bytes(folder, passages, embedder.dimension)
    small = time_small_commits(store, rows, passages)
    for _ in range(2):
        store.optimize(keep=timedelta(0))
    store.close()
    state_store.close()
    return Built(
        "build",
        place,
        passages,
        len(encoded),
        states=min(states, passages),
        seconds=seconds,
        processor=processor,
        bytes=stored,
        small_commit=small,
        peak_bytes=peak_bytes(),
    )


def time_small_commits(store: LanceStore, rows: RecombinedPassages, passages: int) -> float:
    """Store batches as `Index.add` does, and delete them; return the seconds of one."""
    worked = 0.0
    for start in range(passages, passages + SMALL_COMMITS * SMALL_ROWS, SMALL_ROWS):
        batch = rows.batch(start, start + SMALL_ROWS)
        began = process_time()
        known = store.lookup([p.doc_id for p in batch])
        store.upsert(batch, records=known)
        worked += process_time() - began
    added = range(passages, passages + SMALL_COMMITS * SMALL_ROWS)
    store.delete([str(number) for number in added])
    return worked / SMALL_COMMITS


def local_copy(passages: int) -> Path:
    """Return the folder of the local copy of an index in object storage."""
    return CACHE / f"copy-{passages}"


def open_states(store: LanceStore, reranker: PrecomputedReranker) -> StateStore:
    """Return the state store of an index, where searches look for it."""
    digest = reranker.states_digest
    return StateStore(
        store.states_folder / f"states-{digest[:16]}.sqlite",
        digest=digest,
        codes=reranker.codes,
        dimension=reranker.encoder.dimension,
    )


def real_records(encoded: EncodedPassages, count: int) -> list[Record]:
    """Return some of the records of the real encoder."""
    about = encoded.states
    with sqlite3.connect(about.file) as connection:
        rows = list(islice(connection.execute("SELECT key, record FROM states"), count))
    return [
        Record.from_bytes(
            verify_checksum(key, packed), codes=about.codes, dimension=about.dimension
        )
        for key, packed in rows
    ]


def add_states(
    passages: list[Passage],
    reranker: PrecomputedReranker,
    store: StateStore,
    encoded: EncodedPassages,
    real: list[Record],
) -> None:
    """Store states of passages: those of the encoder where there are, else made-up ones."""
    documents = [Candidate(Document(p.text, title=p.title)) for p in passages]
    texts = ScoringOptions().texts(documents)
    unread = reranker.with_store(store).unread_windows(texts)
    records = make_records(unread, real)
    known = encoded.states.get([key for key, _ in records]).records
    store.put((key, known.get(key, record)) for key, record in records)


def folder_bytes(folder: Path, passages: int, dimension: int) -> dict[str, int]:
    """Return the bytes of an index by part: table, text index, vector index, states, rest."""
    parts = dict.fromkeys(
        ("text", "vectors", "text index", "vector index", "states", "rest"), 0
    )
    for file in folder.rglob("*"):
        if not file.is_file():
            continue
        size, names = file.stat().st_size, file.relative_to(folder).parts
        if file.name.startswith("states-") or "states" in names:
            parts["states"] += size
        elif "data" in names:
            parts["text"] += size
        elif "_indices" in names:
            words = any(name.endswith((".lance",)) for name in names[-1:]) and _is_text(file)
            parts["text index" if words else "vector index"] += size
        else:
            parts["rest"] += size
    parts["vectors"] = 4 * dimension * passages
    parts["text"] = max(0, parts["text"] - parts["vectors"])
    return parts


def _is_text(file: Path) -> bool:
    return any((file.parent / name).is_file() for name in ("tokens.lance", "invert.lance")) or (
        "token" in file.name or "docs" in file.name or "invert" in file.name
    )


def peak_bytes() -> int:
    """Return the largest resident memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
