"""What smaller token states cost in nDCG@10: fewer bits, tokens or dimensions.

    python benchmarks/scale/compact_states.py --queries 60

The 50 best BM25 candidates of the first queries of each collection are read by the bundled
reranker from full states and from smaller ones. "Fused" adds cosine and BM25 with the weights
that ship. Differences are to full states, with the p-value of a two-sided paired randomization
test over all queries. Collections are in $SECONDPASS_DATA/eval; their states are encoded once
into .cache/scale, and results are kept beside them, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import string
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scale.candidate_states import CACHE, CandidateStates
from scale.encoded_passages import open_models
from scale.state_codes import (
    Codec,
    bits,
    full_size,
    pooled,
    projected,
    states_of,
    without_near,
    without_tokens,
)
from secondpass.evaluate.significance import randomization_test
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.retrieve.languages import ENGLISH_STOP_WORDS

COLLECTIONS = ("scifact", "nfcorpus", "cranfield", "cisi")
SYSTEMS = ("alone", "fused")
MAX_LOSS = 0.003
MAX_SHARE = 0.26


def codecs(reranker: PrecomputedReranker, pools: Sequence[CandidateStates]) -> Iterator[Codec]:
    """Yield the ways that are compared; principal axes are those of the collections' tokens."""
    count = reranker.encoder.tokenizer.encode
    words = list(ENGLISH_STOP_WORDS) + list(string.punctuation)
    ids = {w: tokens.ids for w, tokens in zip(words, count(words, limit=8), strict=True)}
    stop = {int(i[0]) for w, i in ids.items() if len(i) == 1 and w.isalpha()}
    marks = {int(i[0]) for w, i in ids.items() if len(i) == 1 and not w.isalpha()}
    sample = [states_of(r) for pool in pools for r in list(pool.records.values())[:100]]
    states = np.concatenate(sample)
    axes = np.linalg.eigh(states.T @ states)[1][:, ::-1].astype(np.float32)
    yield bits(2)
    yield bits(2, centered=True)
    yield bits(3)
    yield bits(4)
    yield bits(1)
    yield without_tokens("punctuation and stop words", stop | marks, 3)
    yield pooled(2, 4)
    yield without_near(0.5, 4)
    yield projected(64, axes, 4)


class MeasuredCodecs:
    """nDCG@10 of each query alone and fused, by collection and codec, kept in a file."""

    def __init__(self, file: Path, digest: str) -> None:
        self._file, self._digest = file, digest
        self._known = json.loads(file.read_text()) if file.is_file() else {}

    def values(self, pool: CandidateStates, codec: Codec | None) -> dict[str, np.ndarray]:
        """Return the values of "alone" and "fused", each [queries]; measure unknown ones."""
        counts = f"{len(pool.candidates)}x{pool.depth}"
        name = "full" if codec is None else codec.name
        key = f"{self._digest[:16]} {pool.name} {counts} {name}"
        if key not in self._known:
            alone, fused = pool.values(None if codec is None else codec.change)
            # Another process may have added its own meanwhile.
            known = json.loads(self._file.read_text()) if self._file.is_file() else {}
            known[key] = {"alone": alone.tolist(), "fused": fused.tolist()}
            self._known = known
            self._file.write_text(json.dumps(known))
        return {system: np.array(v) for system, v in self._known[key].items()}


def mean_size(pools: Sequence[CandidateStates], codec: Codec | None) -> float:
    """Return the mean bytes of a window over the collections, each with equal weight."""
    sizes = [
        np.mean(
            [
                full_size(r) if codec is None else codec.size(r, pool.tokens[key])
                for key, r in pool.records.items()
            ]
        )
        for pool in pools
    ]
    return float(np.mean(sizes))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collections", nargs="+", default=list(COLLECTIONS))
    parser.add_argument("--queries", type=int, default=60, metavar="N")
    parser.add_argument("--candidates", type=int, default=50, metavar="N")
    arguments = parser.parse_args()
    _, reranker = open_models(1)
    measured = MeasuredCodecs(CACHE / "compact.json", reranker.states_digest)
    pools = [
        CandidateStates(name, reranker, arguments.queries, arguments.candidates)
        for name in arguments.collections
    ]
    tokens = np.mean([r.tokens for pool in pools for r in pool.records.values()])
    count = sum(len(pool.candidates) for pool in pools)
    print(f"{count} queries of {', '.join(arguments.collections)}; {tokens:.0f} tokens")
    print("| states | bytes | share | alone | fused | alone, change | fused, change | p |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    full: list[dict[str, np.ndarray]] = []
    size = mean_size(pools, None)
    for codec in (None, *codecs(reranker, pools)):
        name = "full" if codec is None else codec.name
        values = [measured.values(pool, codec) for pool in pools]
        full = full or values
        means = {s: float(np.mean([v[s].mean() for v in values])) for s in SYSTEMS}
        base = {s: float(np.mean([v[s].mean() for v in full])) for s in SYSTEMS}
        changes = [v["fused"] - f["fused"] for v, f in zip(values, full, strict=True)]
        p = randomization_test(np.concatenate(changes))
        own = mean_size(pools, codec)
        good = own <= MAX_SHARE * size and means["fused"] >= base["fused"] - MAX_LOSS
        print(
            f"| {name}{' *' if good else ''} | {own:,.0f} | {own / size:.2f} "
            f"| {means['alone']:.4f} | {means['fused']:.4f} "
            f"| {means['alone'] - base['alone']:+.4f} | {means['fused'] - base['fused']:+.4f} "
            f"| {p:.2f} |",
            flush=True,
        )
    print(f"* at most {MAX_SHARE:.0%} of the bytes, and at most {MAX_LOSS} lost, fused")


if __name__ == "__main__":
    main()
