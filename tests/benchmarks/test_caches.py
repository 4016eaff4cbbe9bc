from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from beir import Collection
from measuring.candidates import Finder, Found, gather
from measuring.embedders import known_as
from measuring.pairs import PairScores, Scorer

from secondpass import Document
from secondpass.evaluate.first_stage import FirstStageCandidate
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

    def find(self, query: str, question: str) -> Found:
        if query == self._stop:
            raise KeyboardInterrupt
        self.asked.append(query)
        return {
            "bm25": [FirstStageCandidate("a", 1.5, 0.25)],
            "hybrid": [FirstStageCandidate("a", 1.5, 0.25)],
        }

    @contextmanager
    def open(self) -> Iterator[Finder]:
        yield self.find


def test_an_interrupted_search_goes_on_where_it_was(tmp_path: Path) -> None:
    file = tmp_path / "found.jsonl"
    with pytest.raises(KeyboardInterrupt):
        gather(COLLECTION, file, Asked("2").open)
    file.write_text(file.read_text("utf-8") + '{"query": "2", "que', "utf-8")
    again = Asked()
    found = gather(COLLECTION, file, again.open)
    assert again.asked == ["2"]
    assert found["1"]["bm25"] == [FirstStageCandidate("a", 1.5, 0.25)]
    unused = Asked()
    assert gather(COLLECTION, file, unused.open) == found
    assert unused.asked == []


def test_a_question_with_other_words_is_searched_again(tmp_path: Path) -> None:
    file = tmp_path / "found.jsonl"
    gather(COLLECTION, file, Asked().open)
    changed = Collection("small", [], {**COLLECTION.queries, "1": "Where is Rome?"}, {})
    again = Asked()
    gather(changed, file, again.open)
    assert again.asked == ["1"]


def test_pairs_are_scored_once(tmp_path: Path) -> None:
    cache = PairScores(tmp_path / "scores.sqlite")
    first = Scorer("bundled", cache, threads=1)
    part = first.score(COLLECTION, {"1": ["a"]})
    whole = first.score(COLLECTION, {"1": ["a", "b", "a"]})
    assert whole["1"]["a"] == part["1"]["a"]
    assert set(whole["1"]) == {"a", "b"}
    assert whole["1"]["a"] > whole["1"]["b"]
    cache.add(first.key, "small", "1", {"a": 99.0})
    assert Scorer("bundled", cache).score(COLLECTION, {"1": ["a"]})["1"]["a"] == 99.0
    cache.forget(first.key)
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
        cache = PairScores(tmp_path / f"{place}.sqlite")
        states = tmp_path if place == "with" else None
        scorer = Scorer(str(model), cache, threads=1, states=states)
        found.append(scorer.score(short, wanted))
        cache.close()
    assert [p.name for p in tmp_path.glob("states-*-short.sqlite")]
    for query, scores in found[0].items():
        assert scores == pytest.approx(found[1][query], abs=1e-5)


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
    name = known_as(HashedEmbedder(), tokenizer, file)
    assert known_as(HashedEmbedder(digest="other-bytes"), tokenizer, file) == name
    assert known_as(Jittered(0.0005), tokenizer, file) == name
    others = {
        known_as(Jittered(0.05), tokenizer, file),
        known_as(HashedEmbedder(dimension=8), tokenizer, file),
    }
    tokenizer.write_text('{"changed": true}', "utf-8")
    others.add(known_as(HashedEmbedder(), tokenizer, file))
    assert name not in others
    assert len(others) == 3
