from __future__ import annotations

import pytest

from secondpass import Document, InputError, ScoreKind, Status
from secondpass.policies import Fallback
from secondpass.testing import ScriptedReranker


def test_scores_come_from_ids_texts_or_a_function() -> None:
    documents = [Document("one", id="a"), Document("two"), Document("three", id="c")]
    by_name = ScriptedReranker({"a": 0.0, "two": 2.0}, default=1.0)
    assert [r.index for r in by_name.rerank("q", documents).results] == [1, 2, 0]
    by_length = ScriptedReranker(lambda query, text: len(text), kind=ScoreKind.LOGIT)
    assert [r.score for r in by_length.rerank("q", documents).results] == [5, 3, 3]
    chances = ScriptedReranker({"a": 0.25}, kind=ScoreKind.PROBABILITY)
    assert chances.rerank("q", documents[:1]).results[0].probability == 0.25


def test_calls_are_remembered_and_failures_raised_in_order() -> None:
    reranker = ScriptedReranker({"x": 1.0}, failures=[RuntimeError("down")])
    policy = Fallback(reranker)
    assert policy.rerank("first", ["x"]).status is Status.FALLBACK
    assert policy.rerank("second", ["x"], fields=["text"]).status is Status.RERANKED
    assert [c.query for c in reranker.calls] == ["first", "second"]
    assert reranker.calls[1].options.fields == ("text",)


def test_what_is_not_in_a_strict_script_is_an_error() -> None:
    with pytest.raises(InputError, match="no score for 'y'"):
        ScriptedReranker({"x": 1.0}, default=None).rerank("q", ["y"])
    with pytest.raises(InputError, match="mapping or a function"):
        ScriptedReranker([1.0])  # type: ignore[arg-type]
