"""Passages with vectors and token states of the real encoder, made once and cached.

    python benchmarks/scale/encoded_passages.py --encoded 20000

Texts are those of $SECONDPASS_DATA/train/passages_pool.jsonl.gz and of the collections under
eval/ (default ../shared/data). The cache is .cache/scale/encoded; a run that was stopped goes
on where it was. Each part of 500 documents also records what it took: splitting, the forward
pass with compression, and writing the states.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from beir import DATA, ROOT

from secondpass import Document, Embedder
from secondpass.index.precompute import RecordingEmbedder
from secondpass.registry import load_reranker
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.store import StateStore
from secondpass.retrieve.chunking import split_document
from secondpass.retrieve.store_protocol import Passage, searchable

CACHE = ROOT / ".cache" / "scale"
PART = 500
COLLECTIONS = ("squad-dev", "scifact", "nfcorpus", "cranfield", "cisi", "arguana")


class TimedStore(StateStore):
    """A `StateStore` that adds up the seconds of its writes."""

    seconds = 0.0

    def put(self, records: object) -> str | None:
        """Write records as `StateStore` does; those of a generator are computed before."""
        rows = list(records)  # type: ignore[call-overload]
        began = perf_counter()
        problem: str | None = super().put(rows)
        self.seconds += perf_counter() - began
        return problem

    def put_segments(self, segments: object) -> None:
        """Write segments as `StateStore` does."""
        began = perf_counter()
        super().put_segments(segments)  # type: ignore[arg-type]
        self.seconds += perf_counter() - began


@dataclass(frozen=True)
class EncodedPassages:
    """Passages, their vectors float32 [passages, dimension], and the store of their states."""

    passages: list[Passage]
    vectors: NDArray[np.float32]
    states: StateStore

    def __len__(self) -> int:
        return len(self.passages)


def documents() -> Iterator[Document]:
    """Yield the texts of the pool, then those of the collections, with ids that are numbers."""
    files = [DATA / "train" / "passages_pool.jsonl.gz"]
    files += [DATA / "eval" / name / "corpus.jsonl.gz" for name in COLLECTIONS]
    number = 0
    for file in files:
        if not file.is_file():
            print(f"not there, left out: {file}", file=sys.stderr)
            continue
        with gzip.open(file, "rt", encoding="utf-8") as stream:
            for line in stream:
                row = json.loads(line)
                yield Document(row["text"], id=str(number), title=row.get("title") or None)
                number += 1


def open_models(threads: int | None = None) -> tuple[Embedder, PrecomputedReranker]:
    """Return the bundled embedder and reranker, which share one encoder."""
    reranker = load_reranker("bundled", threads=threads)
    assert isinstance(reranker, PrecomputedReranker)
    return Embedder(threads=threads), reranker


def encode(
    wanted: int, *, threads: int | None = None, folder: Path = CACHE / "encoded"
) -> EncodedPassages:
    """Return at least `wanted` encoded passages, or all there are; encode what is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    embedder, reranker = open_models(threads)
    store = TimedStore(
        folder / f"states-{reranker.states_digest[:16]}.sqlite",
        digest=reranker.states_digest,
        codes=reranker.codes,
        dimension=embedder.dimension,
    )
    recording = RecordingEmbedder(embedder, reranker, store)
    passages: list[Passage] = []
    vectors: list[NDArray[np.float32]] = []
    source = documents()
    part = 0
    while len(passages) < wanted:
        batch = list(islice(source, PART))
        if not batch:
            break
        texts_file = folder / f"part-{part:05}.jsonl"
        vectors_file = folder / f"part-{part:05}.npy"
        if not texts_file.is_file():
            encode_part(batch, embedder, recording, store, texts_file, vectors_file)
            print(f"{len(passages):,} passages", file=sys.stderr)
        rows = [json.loads(line) for line in texts_file.read_text("utf-8").splitlines()]
        passages += [Passage(r["doc"], r["text"], r["title"], chunk=r["chunk"]) for r in rows]
        vectors.append(np.load(vectors_file))
        part += 1
    return EncodedPassages(passages, np.concatenate(vectors), store)


def encode_part(
    batch: Sequence[Document],
    embedder: Embedder,
    recording: RecordingEmbedder,
    store: TimedStore,
    texts_file: Path,
    vectors_file: Path,
) -> None:
    """Split, encode and store some documents as ingestion does, and write what it took."""
    began = perf_counter()
    passages = [
        passage
        for document in batch
        for passage in split_document(document, str(document.id), embedder.count_tokens)
    ]
    split, worked = perf_counter(), process_time()
    store.seconds = 0.0
    vectors = recording.encode([searchable(p.title, p.text) for p in passages])
    recording.remember(passages)
    done = perf_counter()
    np.save(vectors_file, vectors)
    times = {
        "passages": len(passages),
        "tokens": sum(len(ids) for ids, _ in embedder.sequences([p.text for p in passages])),
        "chunk": split - began,
        "embed": done - split - store.seconds,
        "processor": process_time() - worked,
        "states": store.seconds,
    }
    vectors_file.with_suffix(".times.json").write_text(json.dumps(times))
    # Last: a part whose texts are there is complete.
    rows = (
        {"doc": p.doc_id, "chunk": p.chunk, "title": p.title, "text": p.text} for p in passages
    )
    texts_file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def encoding_times(folder: Path = CACHE / "encoded") -> dict[str, float]:
    """Return the sums of what the parts took, in seconds, with passages and tokens."""
    sums: dict[str, float] = {}
    for file in sorted(folder.glob("part-*.times.json")):
        for name, value in json.loads(file.read_text()).items():
            sums[name] = sums.get(name, 0.0) + value
    return sums


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoded", type=int, default=20_000, metavar="N")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    encoded = encode(arguments.encoded, threads=arguments.threads)
    sums = encoding_times()
    print(f"{len(encoded):,} passages; all parts so far: {json.dumps(sums)}")


if __name__ == "__main__":
    main()
