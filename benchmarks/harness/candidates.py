"""Candidates of the first stages for each question, computed once and cached in a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from beir import Collection

from harness.progress import progress_bar
from secondpass import Embedder
from secondpass.evaluate.first_stage import FirstStageCandidate
from secondpass.evaluate.score_matrix import Vectors
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.retrieve.store_protocol import searchable

StageCandidates = Mapping[str, list[FirstStageCandidate]]
"""By first stage ("bm25", "hybrid", "vector"), the candidates of a question, best first."""

CandidateFinder = Callable[[str, str], StageCandidates]
"""Returns the candidates for a query id and its question."""


FinderOpener = Callable[[], AbstractContextManager[CandidateFinder]]


def index_finder(retriever: HybridRetriever, depth: int) -> CandidateFinder:
    """Return a finder that searches an index, as `Index.search` does."""

    def find(_: str, question: str) -> StageCandidates:
        candidates = {}
        for mode in ("bm25", "hybrid", "vector"):
            retrieved = retriever.search(
                question, mode=mode, candidates=depth, complete_scores=mode != "vector"
            )
            candidates[mode] = [
                FirstStageCandidate.from_candidate(c) for c in retrieved.candidates
            ]
        return candidates

    return find


def run_finder(collection: Collection, embedder: Embedder, depth: int) -> CandidateFinder:
    """Return a finder that reads the collection's own run, and computes the cosines."""
    texts = {d.id: searchable(d.title, d.text) for d in collection.documents}

    def find(query: str, question: str) -> StageCandidates:
        run = collection.runs[query][:depth]
        vectors = embedder.encode([question, *(texts[name] for name, _ in run)])
        cosines = (vectors[1:] @ vectors[0]).tolist()
        entries = [
            FirstStageCandidate(n, score, c) for (n, score), c in zip(run, cosines, strict=True)
        ]
        return {"bm25": entries, "hybrid": entries}

    return find


VectorFinder = Callable[[Sequence[str]], Vectors]
"""Returns the vectors of documents by their ids."""


def index_vectors(collection: Collection, retriever: HybridRetriever) -> VectorFinder:
    """Return a finder that looks vectors up in an index."""
    documents = {d.id: d for d in collection.documents}
    return lambda ids: retriever.embeddings([documents[name] for name in ids])


def encoded_vectors(collection: Collection, embedder: Embedder) -> VectorFinder:
    """Return a finder that embeds the documents, as an index would."""
    texts = {d.id: searchable(d.title, d.text) for d in collection.documents}

    def find(ids: Sequence[str]) -> Vectors:
        rows = embedder.encode([texts[name] for name in ids])
        return dict(zip(ids, rows, strict=True))

    return find


def cached_vectors(
    candidates: Mapping[str, StageCandidates],
    file: Path,
    open_finder: Callable[[], AbstractContextManager[VectorFinder]],
) -> Vectors:
    """Return the vectors of all candidates, from the file if it has them all.

    `open_finder` is called only if some are missing.
    """
    stages = (found for by_stage in candidates.values() for found in by_stage.values())
    ids = list(dict.fromkeys(c.id for found in stages for c in found))
    if file.is_file():
        with np.load(file) as cached:
            known = dict(zip(cached["ids"].tolist(), cached["vectors"], strict=True))
        if all(name in known for name in ids):
            return {name: known[name] for name in ids}
    with open_finder() as find:
        vectors = find(ids)
    with file.open("wb") as stream:
        np.savez(stream, ids=np.array(list(vectors)), vectors=np.stack(list(vectors.values())))
    return vectors


def cached_candidates(
    collection: Collection, file: Path, open_finder: FinderOpener
) -> dict[str, StageCandidates]:
    """Return the candidates of every question, from the file as far as it has them.

    New ones are appended question by question, so that an interrupted run can continue;
    `open_finder` is called only if some are missing.
    """
    cached = _read(file, collection.queries)
    missing = [query for query in collection.queries if query not in cached]
    if missing:
        file.parent.mkdir(parents=True, exist_ok=True)
        with (
            open_finder() as find,
            progress_bar(f"{collection.name}: first stages", len(missing)) as advance,
            file.open("a", encoding="utf-8") as stream,
        ):
            # End a line that an interruption may have cut off.
            stream.write("\n")
            for query in missing:
                question = collection.queries[query]
                cached[query] = find(query, question)
                stream.write(_line(query, question, cached[query]))
                stream.flush()
                advance(1)
    return {query: cached[query] for query in collection.queries}


def _line(query: str, question: str, found: StageCandidates) -> str:
    rows = {stage: [[e.id, e.bm25, e.vector] for e in es] for stage, es in found.items()}
    return json.dumps({"query": query, "question": question, "found": rows}) + "\n"


def _read(file: Path, questions: Mapping[str, str]) -> dict[str, StageCandidates]:
    known: dict[str, StageCandidates] = {}
    for line in file.read_text("utf-8").splitlines() if file.is_file() else ():
        try:
            row: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        if questions.get(row["query"]) == row["question"]:
            known[row["query"]] = {
                stage: [FirstStageCandidate(*fields) for fields in entries]
                for stage, entries in row["found"].items()
            }
    return known
