"""Listing in order, fields searched alone, and vectors that come with the passages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secondpass.errors import FilterError, InputError
from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.store_protocol import Passage
from tests.retrieve.hashed_embedder import HashedEmbedder


def passage(name, text, embedding=None, **columns):
    vector = None if embedding is None else np.array(embedding, dtype=np.float32)
    return Passage(name, text, embedding=vector, columns=columns, metadata={"of": name})


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Passages with two columns, some of them empty."""
    store = open_index(tmp_path_factory.mktemp("shelf"), chunk_tokens=None)
    rows = [(f"d{i:02}", i % 4 if i % 5 else None, f"w{i % 3}") for i in range(30)]
    store.upsert([passage(name, "zebra", n=n, w=w) for name, n, w in rows])
    return store, rows


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    order=st.lists(
        st.tuples(st.sampled_from(["n", "w", "_sp_doc"]), st.booleans()), max_size=4
    ),
    offset=st.integers(0, 35),
    limit=st.integers(0, 35),
    above=st.sampled_from([None, 0, 2]),
)
def test_a_listing_is_what_sorting_all_rows_gives(shelf, order, offset, limit, above):
    store, rows = shelf
    kept = [r for r in rows if above is None or (r[1] is not None and r[1] > above)]
    for name, falls in reversed([*order, ("_sp_doc", False)]):
        place = {"_sp_doc": 0, "n": 1, "w": 2}[name]
        there = [r for r in kept if r[place] is not None]
        there.sort(key=lambda r, at=place: r[at], reverse=falls)
        kept = there + [r for r in kept if r[place] is None]
    condition = None if above is None else f"n > {above}"
    found = store.list_passages(condition, order=order, offset=offset, limit=limit)
    assert [h.id for h in found] == [r[0] for r in kept][offset : offset + limit]
    assert store.count_documents(condition) == len(kept)


def test_columns_take_the_place_of_metadata_in_filters_only(tmp_path):
    store = open_index(tmp_path)
    store.upsert([passage("a", "zebra", n=1)])
    assert dict(store.fields) == {"n": "integer"}
    assert store.get(["a", "b"])["a"].document.metadata == {"of": "a"}
    with pytest.raises(FilterError):
        store.list_passages("of = 'a'", limit=1)


def test_a_field_is_searched_alone_and_kept_up(tmp_path):
    store = open_index(tmp_path)
    store.upsert([passage("a", "zebra and lion", head="zebra", n=1)])
    store.index_field("head")
    store.index_field("head")
    store.upsert([passage(f"x{i}", "lion", head="lions") for i in range(5)])
    assert [h.id for h in store.bm25("zebra", 9, field="head")] == ["a"]
    assert len(store.bm25("lion", 9)) == 6
    assert len(store.bm25("lion", 9, field="head")) == 5
    stats = store._table.index_stats("_sp_words_head_idx")
    assert stats.num_unindexed_rows <= 0.2 * stats.num_indexed_rows
    for wrong in ("n", "nothing"):
        with pytest.raises(InputError, match="not a text field"):
            store.index_field(wrong)


def test_vectors_of_the_caller_may_begin_late_and_be_missing(tmp_path):
    store = open_index(tmp_path, chunk_tokens=None)
    store.upsert([passage("none", "zebra")])
    store.enable_vectors(3)
    store.enable_vectors(3)
    store.upsert([passage("x", "zebra", [1, 0, 0]), passage("y", "zebra", [1, 2, 0])])
    store.upsert([passage("bare", "zebra")])
    store.close()
    store = open_index(tmp_path)
    near = store.vector(np.array([1, 0, 0], dtype=np.float32), 9)
    assert [h.id for h in near] == ["x", "y"]
    found = store.get(["bare", "y", "x", "none"], embeddings=True)
    vectors = {k: None if h.embedding is None else list(h.embedding) for k, h in found.items()}
    assert vectors == {"none": None, "bare": None, "x": [1, 0, 0], "y": [1, 2, 0]}
    assert len(store.bm25("zebra", 9, embeddings=True)) == 4
    store.optimize()
    with pytest.raises(InputError, match="this index has 3"):
        store.enable_vectors(4)
    with pytest.raises(InputError, match="3 finite numbers"):
        store.upsert([passage("z", "zebra", [1, 2])])


def test_an_interrupted_start_of_vectors_is_taken_up_again(tmp_path):
    from secondpass.retrieve.backends.lance import table

    store = open_index(tmp_path, chunk_tokens=None)
    store.upsert([passage("none", "zebra")])
    table.add_vectors(store._table, 5)
    store = open_index(tmp_path)
    store.upsert([passage("more", "zebra")])
    store.enable_vectors(2)
    store.upsert([passage("x", "zebra", [3, 4])])
    assert list(store.get(["x"], embeddings=True)["x"].embedding) == [3, 4]


def test_vectors_of_an_embedder_are_never_missing(tmp_path):
    store = open_index(tmp_path, HashedEmbedder())
    with pytest.raises(InputError, match="it is missing"):
        store.upsert([passage("a", "zebra")])
    with pytest.raises(InputError, match="cannot be stored"):
        store.enable_vectors(3)


def test_long_vectors_of_the_caller_may_be_missing_in_a_batch(tmp_path):
    store = open_index(tmp_path, chunk_tokens=None)
    store.enable_vectors(64)
    store.upsert([passage("x", "zebra", [1.0] * 64), passage("bare", "zebra")])
    found = store.get(["bare", "x"], embeddings=True)
    assert (found["bare"].embedding, list(found["x"].embedding)) == (None, [1.0] * 64)
