"""What is told of each window is what the document's score was made of."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from secondpass import BaseReranker, Candidate, Document, PassageAggregation, Reranker
from secondpass.rerank.scoring_options import ScoringOptions
from tests.tiny_models import tiny_cross_encoder, tiny_reader


@pytest.fixture(params=[tiny_cross_encoder, tiny_reader])
def reranker(request: pytest.FixtureRequest, tmp_path: Path) -> BaseReranker:
    request.param(tmp_path)
    return Reranker(tmp_path)


@pytest.mark.parametrize("aggregate", ["max", "mean", "first", "top-2-mean"])
def test_windows_make_the_score_and_cover_what_was_read(
    reranker: BaseReranker, aggregate: str
) -> None:
    text = "the river is slow and the sea is blue. " * 20
    passages = PassageAggregation(aggregate, limit=3)
    reading = ScoringOptions(max_length=32, passages=passages)
    candidates = [Candidate(Document(text, title="sky")), Candidate(Document(""))]
    long, empty = reranker.score("where is the sea", candidates, reading).scores
    assert long.windows == len(long.window_scores) == passages.max_windows
    assert long.value == pytest.approx(passages.combine([w.value for w in long.window_scores]))
    assert long.window_scores[0].start == 0
    # The next begins where the one before had not ended.
    for before, after in pairwise(long.window_scores):
        assert before.start < after.start <= before.end < after.end
    assert len(text) - long.window_scores[-1].end == long.unread
    assert [(w.start, w.end) for w in empty.window_scores] == [(0, 0)]
