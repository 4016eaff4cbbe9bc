from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from beir import Collection
from harness.candidates import (
    CandidateFinder,
    StageCandidates,
    VectorFinder,
    cached_candidates,
    cached_vectors,
    encoded_vectors,
)
from harness.embedder_key import embedder_key
from harness.pair_scores import PairScoreCache, PairScorer
from harness.scored_collection import score_collection
from harness.suite import CollectionSettings

from secondpass import Document
from secondpass.evaluate.first_stage import FirstStageCandidate
from secondpass.evaluate.score_matrix import NEIGHBORS
from secondpass.inference.model_folder import MANIFEST, sha256
from secondpass.models import bundled_path
from secondpass.rerank.policies.blend import neighbor_part
from tests.retrieve.hashed_embedder import HashedEmbedder
from tests.tiny_models import tiny_reader

COLLECTION = Collection(
    "small",
    [Document("Paris is in France.", id="a"), Document("Boil the rice.", id="b")],
    {"1": "Where is Paris?", "2": "How is rice cooked?"},
    {"1": {"a": 1}, "2": {"b": 1}},
)


class Asked:
    """A finder that remembers what it was asked, and can be interrupted."""

    def __init__(self, interrupted_at: str | None = None) -> None:
        self.asked: list[str] = []
        self._stop = interrupted_at

    def find(self, query: str, question: str) -> StageCandidates:
        if query == self._stop:
            raise KeyboardInterrupt
        self.asked.append(query)
        return {
            "bm25": [FirstStageCandidate("a", 1.5, 0.25)],
            "hybrid": [FirstStageCandidate("a", 1.5, 0.25)],
        }

    @contextmanager
    def open(self) -> Iterator[CandidateFinder]:
        yield self.find


def test_an_interrupted_search_goes_on_where_it_was(tmp_path: Path) -> None:
    file = tmp_path / "found.jsonl"
    with pytest.raises(KeyboardInterrupt):
        cached_candidates(COLLECTION, file, Asked("2").open)
    file.write_text(file.read_text("utf-8") + '{"query": "2", "que', "utf-8")
    again = Asked()
    found = cached_candidates(COLLECTION, file, again.open)
    assert again.asked == ["2"]
    assert found["1"]["bm25"] == [FirstStageCandidate("a", 1.5, 0.25)]
    unused = Asked()
    assert cached_candidates(COLLECTION, file, unused.open) == found
    assert unused.asked == []


def test_a_question_with_other_words_is_searched_again(tmp_path: Path) -> None:
    file = tmp_path / "found.jsonl"
    cached_candidates(COLLECTION, file, Asked().open)
    changed = Collection("small", [], {**COLLECTION.queries, "1": "Where is Rome?"}, {})
    again = Asked()
    cached_candidates(changed, file, again.open)
    assert again.asked == ["1"]


def test_vectors_are_found_once_and_make_a_column_of_neighbors(tmp_path: Path) -> None:
    third = Document("Rice grows in France.", id="c")
    three = replace(COLLECTION, documents=[*COLLECTION.documents, third])
    candidates = {
        query: {
            stage: [FirstStageCandidate(name, 1.5, 0.25) for name in "abc"]
            for stage in ("bm25", "hybrid")
        }
        for query in COLLECTION.queries
    }
    file, opened = tmp_path / "vectors.npz", []

    @contextmanager
    def finder() -> Iterator[VectorFinder]:
        opened.append(file)
        yield encoded_vectors(three, HashedEmbedder())

    part = {"1": {"bm25": candidates["1"]["bm25"][:1]}}
    assert set(cached_vectors(part, file, finder)) == {"a"}
    vectors = cached_vectors(candidates, file, finder)
    again = cached_vectors(candidates, file, finder)
    assert len(opened) == 2
    assert {name: v.tolist() for name, v in again.items()} == {
        name: v.tolist() for name, v in vectors.items()
    }
    cache = PairScoreCache(tmp_path / "scores.sqlite")
    scorer = PairScorer("bundled", cache, threads=1)
    plain, near = (
        score_collection(three, CollectionSettings(), candidates, scorer, given)
        for given in (None, vectors)
    )
    cache.close()
    assert NEIGHBORS not in plain.pools["bm25"].columns
    found = near.pools["bm25"]
    for row, logits in enumerate(found.columns["rerank"]):
        probabilities = [1 / (1 + np.exp(-logit)) for logit in logits]
        expected = neighbor_part([vectors[d] for d in "abc"], probabilities)
        assert found.columns[NEIGHBORS][row] == pytest.approx(expected)
        assert np.abs(expected).max() > 0


def test_pairs_are_scored_once(tmp_path: Path) -> None:
    cache = PairScoreCache(tmp_path / "scores.sqlite")
    first = PairScorer("bundled", cache, threads=1)
    part = first.score(COLLECTION, {"1": ["a"]})
    whole = first.score(COLLECTION, {"1": ["a", "b", "a"]})
    assert whole["1"]["a"] == part["1"]["a"]
    assert set(whole["1"]) == {"a", "b"}
    assert whole["1"]["a"] > whole["1"]["b"]
    cache.add(first.key, "small", "1", {"a": 99.0})
    assert PairScorer("bundled", cache).score(COLLECTION, {"1": ["a"]})["1"]["a"] == 99.0
    cache.delete_model(first.key)
    assert first.score(COLLECTION, {"1": ["a"]})["1"]["a"] == pytest.approx(part["1"]["a"])
    cache.close()


def test_a_reader_reads_a_document_once_for_all_questions(tmp_path: Path) -> None:
    model = tmp_path / "model"
    tiny_reader(model)
    short = Collection(
        "short",
        [Document(text, id=text) for text in ("the slow sea", "a ship")],
        {"1": "slow ship", "2": "the sea"},
        {"1": {}, "2": {}},
    )
    wanted = {query: [d.text for d in short.documents] for query in short.queries}
    found = []
    for place in ("with", "without"):
        cache = PairScoreCache(tmp_path / f"{place}.sqlite")
        states = tmp_path if place == "with" else None
        scorer = PairScorer(str(model), cache, threads=1, states=states)
        found.append(scorer.score(short, wanted))
        cache.close()
    assert [p.name for p in tmp_path.glob("states-*-short.sqlite")]
    for query, scores in found[0].items():
        assert scores == pytest.approx(found[1][query], abs=1e-5)


def test_what_scores_sentences_is_not_part_of_the_key_of_pairs(tmp_path: Path) -> None:
    model, cache = tmp_path / "model", PairScoreCache(tmp_path / "scores.sqlite")
    shutil.copytree(bundled_path("bundled"), model)
    manifest = json.loads((model / MANIFEST).read_text("utf-8"))
    keys = [PairScorer(str(model), cache).key]
    for name in ("spans.onnx", "model.onnx"):
        (model / name).write_bytes(b"changed")
        manifest["files"][name] = {"sha256": sha256(model / name), "bytes": len(b"changed")}
        (model / MANIFEST).write_text(json.dumps(manifest), "utf-8")
        keys.append(PairScorer(str(model), cache).key)
    cache.close()
    assert keys[1] == keys[0]
    assert keys[2] != keys[0]


class Jittered(HashedEmbedder):
    """The same vectors but for the last digits, as another build of a graph gives them."""

    def __init__(self, size: float) -> None:
        super().__init__(digest="other-bytes")
        self._size = size

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        vectors = super().encode(texts)
        vectors += self._size * np.random.default_rng(0).standard_normal(vectors.shape)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_an_embedder_is_known_by_its_vectors(tmp_path: Path) -> None:
    tokenizer, file = tmp_path / "tokenizer.json", tmp_path / "embedders.json"
    tokenizer.write_text("{}", "utf-8")
    name = embedder_key(HashedEmbedder(), tokenizer, file)
    assert embedder_key(HashedEmbedder(digest="other-bytes"), tokenizer, file) == name
    assert embedder_key(Jittered(0.0005), tokenizer, file) == name
    others = {
        embedder_key(Jittered(0.05), tokenizer, file),
        embedder_key(HashedEmbedder(dimension=8), tokenizer, file),
    }
    tokenizer.write_text('{"changed": true}', "utf-8")
    others.add(embedder_key(HashedEmbedder(), tokenizer, file))
    assert name not in others
    assert len(others) == 3
