"""Rerankers with the stored states of an index."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from secondpass import Embedder, Reranker
from secondpass.index.precompute import PrecomputedStates
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.policies.wrapper import RerankerWrapper
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.score import Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate


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


@dataclass
class Unhashable(RerankerWrapper):
    """A policy of somebody else, which compares by value."""

    reranker: BaseReranker

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        return self.reranker.score(query, candidates, options)


def test_a_reranker_without_a_hash_is_given_its_states(tmp_path: Path) -> None:
    states = PrecomputedStates(tmp_path, Embedder())
    base = states.use_states(Unhashable(Reranker("bundled"))).base
    assert isinstance(base, PrecomputedReranker)
    assert base.store is not None
