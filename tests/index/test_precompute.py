"""Rerankers with the stored states of an index."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

from secondpass import Embedder, Reranker
from secondpass.index.precompute import PrecomputedStates
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.precomputed import PrecomputedReranker


def test_a_reranker_is_given_its_states_once(tmp_path: Path) -> None:
    states = PrecomputedStates(tmp_path, Embedder())
    first, second = Reranker("bundled-tiny"), Reranker("bundled")
    with_states = states.use_states(second)
    assert with_states is states.use_states(second)
    assert with_states is not second
    base = with_states.base
    assert isinstance(base, PrecomputedReranker)
    assert base.store is not None
    # It reads another encoder's states.
    assert states.use_states(first) is first


def test_a_reranker_that_is_not_used_any_more_is_not_kept(tmp_path: Path) -> None:
    states = PrecomputedStates(tmp_path, Embedder())
    reranker: BaseReranker | None = Reranker("bundled")
    assert reranker is not None
    twin = weakref.ref(states.use_states(reranker))
    assert twin() is not None
    reranker = None
    gc.collect()
    assert twin() is None
