from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from secondpass.errors import FilterError, InputError
from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.fusion import METHODS, fuse
from secondpass.retrieve.ingest import add_documents
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.types import Document
from tests.retrieve.hashed_embedder import HashedEmbedder

DOCUMENTS = [
    Document(f"{a} {b} number{i}", id=f"d{i:02d}", metadata={"n": i})
    for i, (a, b) in enumerate(
        (a, b)
        for a in ("cat", "dog", "bird", "fish", "horse")
        for b in ("house", "garden", "river", "cat")
    )
]


@pytest.fixture(scope="module")
def retriever(tmp_path_factory):
    embedder = HashedEmbedder(32)
    store = open_index(tmp_path_factory.mktemp("index"), embedder)
    add_documents(DOCUMENTS, store, embedder)
    retriever = HybridRetriever(store, embedder)
    yield retriever
    retriever.close()
    store.close()


def ids(retrieved):
    return [c.document.id for c in retrieved.candidates]


@pytest.mark.parametrize("mode", ["hybrid", "bm25", "vector"])
def test_every_candidate_has_both_scores(retriever, mode):
    found = retriever.search("cat river", mode=mode, candidates=6)
    query = retriever.embedder.encode(["cat river"])[0]
    bm25 = {h.id: h.score for h in retriever.store.bm25("cat river", 100)}
    assert [c.rank for c in found.candidates] == list(range(1, len(found.candidates) + 1))
    for candidate in found.candidates:
        vector = retriever.embedder.encode([candidate.document.text])[0]
        assert candidate.vector == pytest.approx(float(query @ vector), abs=1e-5)
        assert candidate.bm25 == pytest.approx(bm25.get(candidate.document.id, 0.0))
        assert candidate.document in DOCUMENTS
    scores = [c.score for c in found.candidates]
    assert scores == sorted(scores, reverse=True)
    expected = {"bm25": "bm25", "vector": "vector"}.get(mode)
    if expected is not None:
        assert scores == [getattr(c, expected) for c in found.candidates]


@pytest.mark.parametrize("method", sorted(METHODS))
def test_hybrid_is_the_fusion_of_both_halves(retriever, method):
    weights = [2.0, 1.0]
    found = retriever.search("cat house", candidates=8, fusion=method, weights=weights)
    halves = [
        [
            (c.document.id, c.score)
            for c in retriever.search("cat house", mode=m, candidates=8).candidates
        ]
        for m in ("bm25", "vector")
    ]
    expected = fuse(halves, method, weights)[:8]
    assert ids(found) == [name for name, _ in expected]
    assert [c.score for c in found.candidates] == pytest.approx([s for _, s in expected])


def test_scores_are_only_completed_where_asked(retriever):
    found = retriever.search("cat river", mode="bm25", complete_scores=False)
    assert {c.vector for c in found.candidates} == {None}
    assert "embed" not in found.timings
    found = retriever.search("cat river", mode="vector", complete_scores=False)
    assert {c.bm25 for c in found.candidates} == {None}


def test_timings_are_named_by_stage(retriever):
    assert set(retriever.search("cat").timings) == {
        *("embed", "bm25", "vector", "fusion", "total")
    }
    assert all(ms >= 0 for ms in retriever.search("cat").timings.values())


def test_filters_and_versions(retriever):
    for mode in ("hybrid", "bm25", "vector"):
        found = retriever.search("cat", mode=mode, filter="n >= 3 AND n < 5")
        assert set(ids(found)) <= {"d03", "d04"}
    assert len(ids(retriever.search("cat", mode="vector", filter="n < 5"))) == 5
    assert ids(retriever.search("cat", version=1)) == []
    with pytest.raises(FilterError, match="n \\(integer\\)"):
        retriever.search("cat", filter="m = 1")


@pytest.mark.parametrize("query", ["", "the", "\ud800", "x" * 10_000, "!?"])
def test_odd_queries(retriever, query):
    assert len(ids(retriever.search(query, candidates=5))) == 5
    assert ids(retriever.search(query, mode="bm25")) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mode": "hybird"}, "Did you mean 'hybrid'"),
        ({"mode": "bm25", "fusion": "rff"}, "Did you mean 'rrf'"),
        ({"candidates": 0}, "whole number"),
        ({"candidates": -1}, "whole number"),
        ({"candidates": 2.5}, "whole number"),
        ({"candidates": True}, "whole number"),
        ({"weights": [1]}, "weights"),
        ({"version": 10**6}, "version"),
    ],
)
def test_arguments_that_cannot_be_used(retriever, options, says):
    with pytest.raises(InputError, match=says):
        retriever.search("cat", **options)
    with pytest.raises(InputError, match="not text"):
        retriever.search(3)


def test_a_store_without_vectors_searches_words_only(tmp_path):
    store = open_index(tmp_path)
    add_documents(DOCUMENTS, store, None)
    retriever = HybridRetriever(store)
    found = retriever.search("river", mode="bm25")
    assert len(found.candidates) == 5
    assert {c.vector for c in found.candidates} == {None}
    with pytest.raises(InputError, match="mode 'bm25'"):
        retriever.search("river")
    retriever.close()


def test_many_threads_get_the_same_answer(retriever):
    expected = ids(retriever.search("cat river"))
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(ids(retriever.search("cat river"))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected] * 8


def test_the_vector_index_is_made_and_finds_what_came_later(tmp_path, monkeypatch):
    monkeypatch.setattr("secondpass.retrieve.backends.lance.store.VECTOR_INDEX_FROM", 300)
    embedder = HashedEmbedder(32)
    store = open_index(tmp_path, embedder)
    documents = [Document(f"w{i} v{i % 7}", id=f"d{i}") for i in range(400)]
    add_documents(documents, store, embedder)
    assert any("_sp_vector" in i.columns for i in store._table.list_indices())
    late = Document("zebra stripes", id="late")
    add_documents([late], store, embedder)
    for _ in range(2):
        query = embedder.encode(["zebra stripes"])[0]
        top = store.vector(query, 1)[0]
        assert (top.id, round(top.score, 4)) == ("late", 1.0)
        matrix = embedder.encode([d.text for d in documents])
        asked = embedder.encode(["w5 v3"])[0]
        exact = {documents[i].id for i in np.argsort(-(matrix @ asked))[:10]}
        for limit in (10, 100, 300):
            assert len({h.id for h in store.vector(asked, limit)[:10]} & exact) >= 9
            assert len(store.vector(asked, limit)) == limit
        store.optimize()
    assert store.vector(query, 1, "true")[0].id == "late"
    changed = replace(late, text="quite other")
    add_documents([changed], store, embedder)
    assert store.vector(embedder.encode(["quite other"])[0], 1)[0].id == "late"
