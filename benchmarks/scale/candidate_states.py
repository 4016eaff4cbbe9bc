"""Candidates of test collections with their full token states, encoded once and cached."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from beir import ROOT, load

from secondpass import Candidate
from secondpass.evaluate.blend_weights import standardize_columns, weighted_sum
from secondpass.evaluate.first_stage import FirstStageCandidate
from secondpass.evaluate.score_matrix import FloatArray, build_score_matrix, ndcg
from secondpass.inference.runtimes.onnxruntime import OnnxRuntime
from secondpass.rerank.policies.blend import DEFAULT_WEIGHTS
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.folder import read_precomputed_folder
from secondpass.rerank.precomputed.scoring import EncodedQuery, score_records
from secondpass.rerank.precomputed.store import StateStore
from secondpass.rerank.precomputed.types import Record
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.store_protocol import Passage

CACHE = ROOT / ".cache" / "scale" / "collections"

Change = Callable[[Record, NDArray[np.int64]], Record]
"""Returns what is read of a record, by the record and the ids of its tokens."""


@dataclass(frozen=True)
class QueryCandidates:
    """A query, its BM25 candidates, and the keys of the windows that are read of each."""

    encoded: EncodedQuery
    names: list[str]
    bm25: list[float]
    cosines: list[float]
    windows: list[tuple[bytes, ...]]


class CandidateStates:
    """The best BM25 candidates of a collection's queries, with the records of their windows.

    The vector of a document is the embedding of its first window, so that no other document
    is encoded. Records are cached in .cache/scale/collections.
    """

    def __init__(self, name: str, reranker: PrecomputedReranker, queries: int, depth: int):
        self.name, self.reranker, self.depth = name, reranker, depth
        files = read_precomputed_folder(reranker.folder)
        self._graph = OnnxRuntime(files.score, threads=1)
        self.collection = load(name, queries)
        self.records: dict[bytes, Record] = {}
        self.tokens: dict[bytes, NDArray[np.int64]] = {}
        self.candidates: dict[str, QueryCandidates] = {}
        found = self._search(depth)
        documents = {d.id: d for d in self.collection.documents}
        storing = reranker.with_store(self._store())
        options = ScoringOptions()
        for query, hits in found.items():
            texts = options.texts([Candidate(documents[name]) for name, _ in hits])
            question = self.collection.queries[query]
            scorer = storing.window_scorer(question, list(dict.fromkeys(texts)), options)
            keys = [scorer.segments[text].keys for text in texts]
            wanted = list(dict.fromkeys(key for some in keys for key in some))
            new = [key for key in wanted if key not in self.records]
            self.records |= scorer.records.get(new)
            vector = scorer.query.encoded.embedding
            first = storing.segment(texts)
            missing = [s.keys[0] for s in first if s.keys[0] not in self.records]
            if missing:
                self.records |= scorer.records.get(missing)
            sequences = storing.sequences(list(dict.fromkeys(texts)), options)
            self.tokens |= {key: ids for key, (ids, _) in sequences.items()}
            self.candidates[query] = QueryCandidates(
                scorer.query,
                [name for name, _ in hits],
                [score for _, score in hits],
                [float(self.records[s.keys[0]].embedding @ vector) for s in first],
                keys,
            )

    def _store(self) -> StateStore:
        reranker = self.reranker
        CACHE.mkdir(parents=True, exist_ok=True)
        return StateStore(
            CACHE / f"states-{reranker.states_digest[:16]}-{self.name}.sqlite",
            digest=reranker.states_digest,
            codes=reranker.codes,
            dimension=reranker.encoder.dimension,
        )

    def _search(self, depth: int) -> dict[str, list[tuple[str, float]]]:
        with closing(open_index(CACHE / f"words-{self.name}", chunk_tokens=None)) as store:
            if not store.count_passages():
                store.upsert(
                    [Passage(d.id, d.text, d.title) for d in self.collection.documents]
                )
                store.optimize()
            return {
                query: [(hit.id, hit.score) for hit in store.bm25(question, depth)]
                for query, question in self.collection.queries.items()
            }

    def values(
        self, change: Change | None = None, *, weights: Mapping[str, float] = DEFAULT_WEIGHTS
    ) -> tuple[FloatArray, FloatArray]:
        """Return nDCG@10 of each query alone and fused, with changed records, [queries]."""
        records = self.records
        if change is not None:
            records = {key: change(r, self.tokens[key]) for key, r in records.items()}
        scores = {
            query: dict(zip(c.names, self._score(c, records), strict=True))
            for query, c in self.candidates.items()
        }
        entries = {
            query: [
                FirstStageCandidate(*row)
                for row in zip(c.names, c.bm25, c.cosines, strict=True)
            ]
            for query, c in self.candidates.items()
        }
        matrix = build_score_matrix(
            self.collection.queries, entries, scores, self.collection.qrels
        )
        fused = weighted_sum(standardize_columns(matrix), weights)
        return ndcg(matrix, matrix.columns["rerank"]), ndcg(matrix, fused)

    def _score(self, c: QueryCandidates, records: Mapping[bytes, Record]) -> list[float]:
        keys = list(dict.fromkeys(key for some in c.windows for key in some))
        logits = score_records(
            self._graph,
            c.encoded,
            [records[key] for key in keys],
            longest=self.reranker.longest,
        )
        by_key = dict(zip(keys, logits.tolist(), strict=True))
        combine = ScoringOptions().passages.combine
        return [combine([by_key[key] for key in some]) for some in c.windows]
