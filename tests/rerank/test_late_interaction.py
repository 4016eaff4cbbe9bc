from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import Document, Index, InputError, Reranker, ScoreKind
from secondpass.errors import ModelDamagedError
from secondpass.rerank.late_interaction import (
    LateInteraction,
    PrecomputedMaxSim,
    maxsim,
    normalize_rows,
)
from tests.tiny_models import tiny_cross_encoder, tiny_late_interaction


@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_maxsim_against_loops(asked: int, read: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    query = normalize_rows(random.normal(size=(asked, 5)).astype(np.float32))
    document = normalize_rows(random.normal(size=(read, 5)).astype(np.float32))
    slow = [max(float(q @ d) for d in document) for q in query]
    assert maxsim(query, document) == pytest.approx(sum(slow) / asked, abs=1e-6)
    assert maxsim(query, query) == pytest.approx(1, abs=1e-6)
    assert maxsim(query, document[:0]) == maxsim(query[:0], document) == -1.0


def test_a_model_of_the_shape_of_colbert(tmp_path: Path) -> None:
    tiny_late_interaction(tmp_path / "plain")
    plain = Reranker(tmp_path / "plain")
    assert isinstance(plain.base, LateInteraction)
    response = plain.rerank("blue sea", ["the blue sea", "bread, bread.", ""])
    assert response.results[0].score_kind is ScoreKind.SIMILARITY
    assert all(-1 <= r.score <= 1.000001 for r in response.results)
    tiny_late_interaction(
        tmp_path / "full", query_marker="with", document_marker="by", skip_punctuation=True
    )
    full = Reranker(tmp_path / "full")
    one, other = (full.rerank("blue sea", [t]).results[0] for t in ("bread", "bread"))
    assert one.score == other.score
    assert full.rerank("blue sea", ["bread"]).results[0].score != pytest.approx(
        plain.rerank("blue sea", ["bread"]).results[0].score
    )


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    tiny_late_interaction(tmp_path / "marker", query_marker="no such marker")
    with pytest.raises(ModelDamagedError, match="must be one"):
        Reranker(tmp_path / "marker")
    tiny_late_interaction(tmp_path / "length", query_length="long")
    with pytest.raises(ModelDamagedError, match="not valid"):
        Reranker(tmp_path / "length")
    tiny_late_interaction(tmp_path / "label")
    with pytest.raises(InputError, match="label"):
        Reranker(tmp_path / "label", label=0)
    tiny_cross_encoder(tmp_path / "other")
    with pytest.raises(InputError, match="no precomputed token states"):
        PrecomputedMaxSim(Reranker(tmp_path / "other"))


def test_an_index_hands_over_what_it_keeps(tmp_path: Path) -> None:
    texts = ["Paris is the capital of France.", "Boil the rice.", "The sea is blue."]
    late = PrecomputedMaxSim(Reranker())
    with Index.open(tmp_path / "index") as index:
        index.add([Document(t) for t in texts])
        found = index.search("What is the capital of France?", rerank=late, blend=False)
    assert found.results[0].document is not None
    assert found.results[0].document.text == texts[0]
    # Only the query was encoded: it has nine tokens with the special ones.
    assert found.usage.tokens == 9
    fresh = late.rerank("What is the capital of France?", texts)
    assert [r.score for r in fresh.results] == [r.score for r in found.results]
