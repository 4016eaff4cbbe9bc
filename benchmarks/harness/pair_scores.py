"""Scores of pairs of question and document, cached on disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from beir import Collection

from harness.progress import progress_bar
from secondpass import Candidate, Document, Reranker, ScoreKind
from secondpass.evaluate.pair_scores import ProbabilitiesByQuery, ScoresByQuery
from secondpass.registry import resolve
from secondpass.rerank.cross_encoder import sigmoid
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.folder import read_precomputed_folder, without_spans
from secondpass.rerank.precomputed.model import use_store
from secondpass.rerank.precomputed.store import StateStore
from secondpass.rerank.scoring_options import ScoringOptions

_TABLE = """CREATE TABLE IF NOT EXISTS scores (
    model TEXT, collection TEXT, query TEXT, document TEXT, score REAL,
    PRIMARY KEY (model, collection, query, document)) WITHOUT ROWID"""


def gives_logits(model: str) -> bool:
    """Return whether a model's probabilities follow from its scores: only scores are cached."""
    scored = Reranker(model).score("query", [Candidate(Document("text"))], ScoringOptions())
    (score,) = scored.scores
    return scored.kind is ScoreKind.LOGIT and score.probability == sigmoid(score.value)


def logit_probabilities(scores: ScoresByQuery) -> ProbabilitiesByQuery:
    """Return the probabilities of scores that are logits."""
    return {
        q: {d: sigmoid(s) for d, s in by_document.items()} for q, by_document in scores.items()
    }


class PairScoreCache:
    """Scores by model, collection, query id and document id, in one SQLite file."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(file, timeout=60)
        self._connection.execute(_TABLE)

    def known(self, model: str, collection: str, query: str) -> dict[str, float]:
        """Return the scores of a question's documents."""
        rows = self._connection.execute(
            "SELECT document, score FROM scores WHERE model=? AND collection=? AND query=?",
            (model, collection, query),
        )
        return {str(document): float(score) for document, score in rows}

    def add(self, model: str, collection: str, query: str, scores: Mapping[str, float]) -> None:
        """Store the scores of a question's documents, in one transaction."""
        rows = [(model, collection, query, name, score) for name, score in scores.items()]
        with self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO scores VALUES (?,?,?,?,?)", rows
            )

    def delete_model(self, model: str) -> None:
        """Delete all scores of a model."""
        with self._connection:
            self._connection.execute("DELETE FROM scores WHERE model=?", (model,))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


class PairScorer:
    """A model whose scores are looked up in a cache before it runs.

    With a folder for `states`, a precomputed reranker stores the states of documents there:
    most documents are candidates of several questions. `options` change what is read.
    """

    def __init__(
        self,
        name: str,
        cache: PairScoreCache,
        *,
        threads: int | None = None,
        states: Path | None = None,
        options: ScoringOptions | None = None,
    ) -> None:
        folder = resolve(name)
        self.name = name
        # The window is not part of the digest, but changes the scores.
        self.length: int | None = folder.manifest.get("max_length")
        # Nor does what scores sentences change those of documents.
        digest = without_spans(folder).digest
        self.key = f"{digest[:16]}-{'own' if self.length is None else self.length}"
        if folder.architecture == "reader":
            # Its encoder is in another folder, and not part of its own digest.
            self.key += f"-{read_precomputed_folder(folder).states_digest[:16]}"
        self._options = ScoringOptions() if options is None else options
        if self._options != ScoringOptions():
            self.key += f"-{self._options.token_share}"
        self._cache, self._threads, self._states = cache, threads, states
        self._model: Reranker | None = None

    def score(
        self, collection: Collection, documents_by_query: Mapping[str, Sequence[str]]
    ) -> dict[str, dict[str, float]]:
        """Return the scores of each query id's document ids.

        Raises ValueError for a reranker whose scores depend on the whole list.
        """
        scores = {
            q: self._cache.known(self.key, collection.name, q) for q in documents_by_query
        }
        missing = {
            query: [name for name in dict.fromkeys(names) if name not in scores[query]]
            for query, names in documents_by_query.items()
        }
        total = sum(len(names) for names in missing.values())
        if not total:
            return scores
        if self._model is None:
            self._model = Reranker(self.name, threads=self._threads)
        documents = {document.id: document for document in collection.documents}
        model, store = self._model, self._store(self._model, collection.name)
        if store is not None:
            model = use_store(model, store)
        with progress_bar(f"{collection.name}: pairs of {self.name}", total) as advance:
            for query, names in missing.items():
                if not names:
                    continue
                candidates = [Candidate(documents[name]) for name in names]
                scored = model.score(collection.queries[query], candidates, self._options)
                if scored.kind is ScoreKind.RANK:
                    raise ValueError(f"{self.name} scores whole lists, not pairs")
                new = {n: s.value for n, s in zip(names, scored.scores, strict=True)}
                self._cache.add(self.key, collection.name, query, new)
                scores[query] |= new
                advance(len(names))
        if store is not None:
            store.close()
        return scores

    def _store(self, model: Reranker, collection: str) -> StateStore | None:
        reader = model.base
        if self._states is None or not isinstance(reader, PrecomputedReranker):
            return None
        digest = reader.states_digest
        return StateStore(
            self._states / f"states-{digest[:16]}-{collection}.sqlite",
            digest=digest,
            codes=reader.codes,
            dimension=reader.encoder.dimension,
        )
