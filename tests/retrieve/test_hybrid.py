from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from secondpass.errors import InputError
from secondpass.retrieve.fusion import fuse, max_share
from secondpass.retrieve.hybrid import (
    HybridHit,
    cosine_similarity,
    filter_hits,
    fuse_hits,
    merge_hits,
    run_now,
    search_halves,
)
from secondpass.retrieve.store_protocol import Hit
from secondpass.types import Document

QUERY = np.array([1.0, 0.0], dtype=np.float32)


def hit(name: str, score: float, *vector: float) -> Hit:
    embedding = np.array(vector, dtype=np.float32) if vector else None
    return Hit(score, Document("text", id=name), embedding)


BM25 = [hit("a", 9.0, 0.6, 0.8), hit("b", 4.0), hit("c", 1.0, 0.0, 1.0)]
VECTOR = [hit("c", 0.9), hit("d", 0.5), hit("e", 0.1)]


def test_hits_are_merged_with_scores_and_ranks() -> None:
    merged = {h.id: h for h in merge_hits(BM25, VECTOR)}
    assert set(merged) == set("abcde")
    assert (merged["a"].bm25, merged["a"].bm25_rank, merged["a"].vector) == (9.0, 1, None)
    assert (merged["c"].bm25_rank, merged["c"].vector_rank) == (3, 1)
    assert merged["c"].vector == 0.9
    assert (merged["d"].bm25, merged["d"].vector_rank) == (None, 2)


def test_the_cosine_is_completed_from_the_vectors_of_bm25_hits() -> None:
    merged = {h.id: h for h in merge_hits(BM25, VECTOR, embedding=QUERY)}
    assert merged["a"].vector == pytest.approx(0.6)
    assert merged["a"].vector_rank is None
    assert merged["b"].vector is None
    # The vector half itself knows better.
    assert merged["c"].vector == 0.9


def test_vector_hits_below_a_similarity_are_dropped_before_they_are_ranked() -> None:
    merged = merge_hits(BM25, VECTOR, min_similarity=0.5)
    assert {h.id for h in merged if h.vector_rank is not None} == {"c", "d"}
    zero = merge_hits([], [hit("x", 0.0), hit("y", -0.1)], min_similarity=0.0)
    assert [h.id for h in zero] == ["x"]


def test_dropping_hits_counts_ranks_anew() -> None:
    kept = {h.id: h for h in filter_hits(merge_hits(BM25, VECTOR), lambda h: h.id != "c")}
    assert {i: h.bm25_rank for i, h in kept.items()} == {"a": 1, "b": 2, "d": None, "e": None}
    assert {i: h.vector_rank for i, h in kept.items()} == {"a": None, "b": None, "d": 1, "e": 2}
    # A score without a rank stays.
    assert kept["a"].bm25 == 9.0


@pytest.mark.parametrize("method", ["rrf", "weighted", "weighted-z-score", "dbsf"])
@pytest.mark.parametrize("weights", [None, (0.3, 0.7), (1, 0)])
def test_fused_hits_are_the_fusion_of_both_rankings(method, weights) -> None:
    rankings = [[(h.id, h.score) for h in half] for half in (BM25, VECTOR)]
    fused = fuse_hits(merge_hits(BM25, VECTOR, embedding=QUERY), method, weights)
    assert [(h.id, h.score) for h in fused] == fuse(rankings, method, weights)
    for h in fused:
        assert h.score == pytest.approx(h.bm25_part + h.vector_part)


def test_ranks_of_several_stores_are_counted_together() -> None:
    first = merge_hits([hit("a", 9.0), hit("b", 8.0)], [])
    second = merge_hits([hit("x", 8.5)], [])
    assert [h.id for h in fuse_hits([*first, *second])] == ["a", "x", "b"]


def test_the_highest_share_of_either_half() -> None:
    fused = {h.id: h for h in fuse_hits(merge_hits(BM25, VECTOR), max_share)}
    assert fused["a"].score == fused["c"].score == 1.0
    assert fused["b"].score == pytest.approx(4 / 9)
    assert fused["c"].bm25_part == pytest.approx(1 / 9)
    assert max_share([[("a", 0.0)]]) == {"a": (0.0, (0.0,))}


def test_fusion_of_nothing_and_a_method_that_is_unknown() -> None:
    assert fuse_hits([]) == []
    with pytest.raises(InputError, match="Did you mean 'rrf'"):
        fuse_hits(merge_hits(BM25, VECTOR), "rff")


def test_cosines() -> None:
    zero = np.zeros(2, dtype=np.float32)
    assert cosine_similarity(QUERY, zero) == 0.0
    assert cosine_similarity(QUERY, QUERY * 3) == 1.0
    assert cosine_similarity(QUERY, -QUERY) == -1.0


def fail() -> list[Hit]:
    raise ValueError("bm25 failed")


def fail_vector(_: object) -> list[Hit]:
    raise KeyError("vector failed")


def test_both_halves_run() -> None:
    halves = search_halves(bm25=lambda: BM25, embed=lambda: QUERY, vector=lambda _: VECTOR)
    assert (halves.bm25, halves.vector) == (BM25, VECTOR)
    assert halves.embedding is QUERY


def test_a_half_that_is_left_out_is_empty() -> None:
    words = search_halves(bm25=lambda: BM25, embed=None, vector=None)
    assert (words.bm25, words.vector, words.embedding) == (BM25, [], None)
    near = search_halves(bm25=None, embed=lambda: QUERY, vector=lambda _: VECTOR)
    assert (near.bm25, near.vector) == ([], VECTOR)


def test_words_are_searched_while_the_query_is_embedded() -> None:
    started = threading.Event()

    def words() -> list[Hit]:
        started.set()
        return BM25

    def embed() -> np.ndarray:
        assert started.wait(10)
        return QUERY

    with ThreadPoolExecutor(2) as threads:
        halves = search_halves(
            bm25=words, embed=embed, vector=lambda _: VECTOR, submit=threads.submit
        )
    assert (halves.bm25, halves.vector) == (BM25, VECTOR)


def test_one_half_is_enough_where_errors_are_tolerated() -> None:
    errors = (ValueError, KeyError)
    words = search_halves(
        bm25=lambda: BM25, embed=lambda: QUERY, vector=fail_vector, tolerate=errors
    )
    assert (words.bm25, words.vector) == (BM25, [])
    near = search_halves(
        bm25=fail, embed=lambda: QUERY, vector=lambda _: VECTOR, tolerate=errors
    )
    assert (near.bm25, near.vector) == ([], VECTOR)


def test_errors_are_raised_if_not_tolerated_or_if_no_half_is_left() -> None:
    with pytest.raises(ValueError, match="bm25 failed"):
        search_halves(bm25=fail, embed=lambda: QUERY, vector=lambda _: VECTOR)
    with pytest.raises(KeyError, match="vector failed"):
        search_halves(
            bm25=lambda: BM25, embed=lambda: QUERY, vector=fail_vector, tolerate=(ValueError,)
        )
    both = (ValueError, KeyError)
    with pytest.raises(KeyError, match="vector failed"):
        search_halves(bm25=fail, embed=lambda: QUERY, vector=fail_vector, tolerate=both)
    with pytest.raises(ValueError, match="bm25 failed"):
        search_halves(bm25=fail, embed=None, vector=None, tolerate=both)
    with pytest.raises(KeyError, match="vector failed"):
        search_halves(bm25=None, embed=lambda: QUERY, vector=fail_vector, tolerate=both)


def test_waiting_can_be_replaced() -> None:
    waited: list[Future[list[Hit]]] = []

    def wait(future: Future[list[Hit]]) -> list[Hit]:
        waited.append(future)
        return future.result()

    search_halves(bm25=lambda: BM25, embed=lambda: QUERY, vector=lambda _: VECTOR, wait=wait)
    assert len(waited) == 2
    with pytest.raises(ValueError, match="bm25 failed"):
        run_now(fail).result()


def test_the_id_is_that_of_the_document() -> None:
    assert HybridHit(Document("text", id="a#1")).id == "a#1"
