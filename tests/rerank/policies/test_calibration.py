from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import BaseReranker, Candidate, Document, InputError, ScoreKind
from secondpass.policies import Blend, Calibrated
from secondpass.rerank.calibration import Calibration, read_calibration, scoring_conditions
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Status

HERE = scoring_conditions(ScoringOptions())


class Lengths(BaseReranker):
    """Scores a text by its length, or does not score it at all if it is empty."""

    def __init__(self, kind: ScoreKind = ScoreKind.LOGIT, chances: bool = True) -> None:
        self.kind, self.chances = kind, chances

    @property
    def model(self) -> str:
        return "lengths"

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        def one(text: str) -> Score:
            if not text:
                return Score(0.0, windows=0, scored=False)
            return Score(float(len(text)), 0.5 if self.chances else None)

        scores = [one(c.document.text) for c in candidates]
        status = Status.RERANKED if all(s.scored for s in scores) else Status.PARTIALLY_RERANKED
        return Scored(scores, self.kind, status=status)


def calibration(method: str = "platt", **numbers: object) -> Calibration:
    return Calibration(method, "lengths", "name:lengths", reading=HERE, **numbers)  # type: ignore[arg-type]


finite = st.floats(-1e6, 1e6)
steps = st.lists(
    st.tuples(st.floats(-100, 100), st.floats(0.001, 0.999)), min_size=1, max_size=8
).map(lambda s: tuple(zip(sorted(x for x, _ in s), sorted(p for _, p in s), strict=True)))


@given(
    made=st.one_of(
        st.builds(
            lambda a, b: calibration(scale=a, shift=b), st.floats(1e-3, 1e3), st.floats(-20, 20)
        ),
        st.builds(lambda a: calibration("temperature", scale=a), st.floats(1e-3, 1e3)),
        st.builds(lambda s: calibration("isotonic", steps=s, spread=10.0), steps),
    ),
    scores=st.lists(st.floats(-300, 300).map(lambda x: round(x, 3)), min_size=2, unique=True),
)
def test_the_order_is_kept_strictly(made: Calibration, scores: list[float]) -> None:
    ordered = sorted(scores)
    odds = made.log_odds(ordered).tolist()
    assert all(a < b for a, b in pairwise(odds))
    assert all(math.isfinite(o) for o in odds)


@given(scores=st.lists(finite, min_size=1), made_of=steps)
def test_a_score_does_not_depend_on_its_neighbours(
    scores: list[float], made_of: tuple[tuple[float, float], ...]
) -> None:
    made = calibration("isotonic", steps=made_of)
    together = made.log_odds(scores).tolist()
    assert together == [made.log_odds([one])[0] for one in scores]


def test_probabilities_follow_the_calibration_and_order_is_kept() -> None:
    made = calibration(scale=0.5, shift=-3.0)
    response = Calibrated(Lengths(), made).rerank("q", ["abcd", "abcdefgh", "ab"])
    assert [r.index for r in response.results] == [1, 0, 2]
    for result, length in zip(response.results, (8, 4, 2), strict=True):
        assert result.score == 0.5 * length - 3
        assert result.score_kind is ScoreKind.LOGIT
        assert result.probability == pytest.approx(1 / (1 + math.exp(-result.score)))
    assert response.reason is None


def test_what_was_read_otherwise_is_said() -> None:
    response = Calibrated(Lengths(), calibration()).rerank("q", ["a"], max_length=64)
    assert response.reason is not None
    assert "other scoring options" in response.reason


def test_a_blend_orders_as_without_the_calibration() -> None:
    bent = calibration("isotonic", steps=((1.0, 0.01), (2.0, 0.9), (9.0, 0.91)))
    candidates = [
        Candidate(Document("a" * n), bm25=b, vector=v)
        for n, b, v in ((3, 1.0, 0.2), (9, 0.0, 0.1), (1, 9.0, 0.9), (5, 3.0, 0.5))
    ]
    plain = Blend(Lengths()).rerank("q", candidates)
    with_it = Blend(Calibrated(Lengths(), bent)).rerank("q", candidates)
    assert [r.score for r in plain.results] == [r.score for r in with_it.results]
    assert {r.index: r.probability for r in with_it.results}[1] == pytest.approx(0.91, abs=1e-3)


def test_probabilities_are_calibrated_by_their_log_odds() -> None:
    class Chances(Lengths):
        def score(
            self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
        ) -> Scored:
            values = [float(c.document.text) for c in candidates]
            return Scored([Score(v, v) for v in values], ScoreKind.PROBABILITY)

    response = Calibrated(Chances(), calibration(scale=2.0)).rerank("q", ["0.9", "1", "0"])
    first, second, third = response.results
    assert second.probability == pytest.approx(81 / 82)
    assert 0 <= third.probability < 1e-9 < 1 - 1e-9 < first.probability <= 1


def test_nothing_likely_enough_is_no_good_answer() -> None:
    reranker = Calibrated(Lengths(), calibration(shift=-10.0))
    response = reranker.rerank("q", ["a", "abc"], min_probability=0.3)
    assert response.results == ()
    assert response.status is Status.RERANKED
    assert response.reason is not None
    assert response.reason.startswith("no good answer: the best of 2")
    kept = reranker.rerank("q", ["a", "abc", "a" * 12], min_probability=0.3)
    assert [r.index for r in kept.results] == [2]
    assert reranker.rerank("q", ["a", "abc"], min_probability=0.0).results


def test_what_was_not_scored_goes_with_the_unlikely() -> None:
    reranker = Calibrated(Lengths(), calibration(shift=-50.0))
    response = reranker.rerank("q", ["", "abc"], min_probability=0.9)
    assert response.results == ()
    assert response.reason is not None


def test_where_nothing_was_scored_nothing_is_dropped() -> None:
    (result,) = Lengths().rerank("q", [""], min_probability=0.9).results
    assert not result.scored
    assert result.probability is None
    assert result.score_kind is ScoreKind.RANK


def test_a_model_without_probabilities_needs_a_calibration() -> None:
    with pytest.raises(InputError, match="secondpass calibrate"):
        Lengths(chances=False).rerank("q", ["a"], min_probability=0.5)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), True, "0.5"])
def test_bad_probabilities(value: object) -> None:
    with pytest.raises(InputError, match="min_probability"):
        Lengths().rerank("q", ["a"], min_probability=value)  # type: ignore[arg-type]


def test_scores_of_one_list_cannot_be_calibrated() -> None:
    with pytest.raises(InputError, match="one list only"):
        Calibrated(Lengths(ScoreKind.RANK), calibration()).rerank("q", ["a"])


def test_a_calibration_of_another_model_is_refused() -> None:
    other = Calibration("platt", "other", "0123456789abcdef")
    with pytest.raises(InputError, match=r"of another model.*'other'.*0123456789ab"):
        Calibrated(Lengths(), other)


def test_files_come_back_as_they_were(tmp_path: Path) -> None:
    made = calibration("isotonic", steps=((0.0, 0.25), (1.5, 0.75)), centre=0.5, spread=2.0)
    file = tmp_path / "calibration.json"
    file.write_text(json.dumps(made.as_object()), "utf-8")
    assert read_calibration(file) == made
    assert Calibrated(Lengths(), file).calibration == made


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        "{",
        '{"format": 99}',
        json.dumps({**calibration().as_object(), "scale": 0}),
        json.dumps({**calibration().as_object(), "method": "plat"}),
        json.dumps({**calibration().as_object(), "steps": [[1]]}),
        json.dumps({**calibration("isotonic", steps=((0, 0.5),)).as_object(), "steps": []}),
    ],
)
def test_damaged_files(tmp_path: Path, content: str) -> None:
    file = tmp_path / "calibration.json"
    file.write_text(content, "utf-8")
    with pytest.raises(InputError, match=r"calibration\.json"):
        read_calibration(file)
    with pytest.raises(InputError, match="no calibration file"):
        read_calibration(tmp_path / "absent.json")
