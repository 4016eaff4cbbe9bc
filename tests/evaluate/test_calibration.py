from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import BaseReranker, Candidate, Document, InputError, ScoreKind
from secondpass.evaluate.calibration import calibrate, check_label_counts, write_calibration
from secondpass.evaluate.calibrators import fit_calibration, pool_adjacent
from secondpass.evaluate.qrels import LabelledQuery, read_pairs
from secondpass.evaluate.reliability import measure_reliability, wilson_interval
from secondpass.policies import Calibrated
from secondpass.rerank.calibration import METHODS, read_calibration
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions


class Numbers(BaseReranker):
    """Reads its scores from the texts."""

    kind = ScoreKind.LOGIT

    @property
    def model(self) -> str:
        return "numbers"

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        values = [float(c.document.text) for c in candidates]
        return Scored([Score(v, 1 / (1 + np.exp(-v))) for v in values], self.kind)


def drawn(queries: int, pairs: int, scale: float, shift: float) -> list[LabelledQuery]:
    """Labels that are true with the probability sigmoid(scale · score + shift)."""
    chance = np.random.default_rng(0)
    made = []
    for i in range(queries):
        scores = chance.normal(0, 2, pairs)
        hits = chance.random(pairs) < 1 / (1 + np.exp(-(scale * scores + shift)))
        candidates = tuple(Candidate(Document(repr(float(s)))) for s in scores)
        made.append(LabelledQuery(f"q{i}", candidates, tuple(map(bool, hits))))
    return made


@pytest.mark.parametrize("method", METHODS)
def test_probabilities_become_true(method: str, tmp_path: Path) -> None:
    shift = 0.0 if method == "temperature" else -1.0
    report = calibrate(Numbers(), drawn(80, 50, 0.4, shift), method=method)
    assert report.before is not None
    assert report.after.error < 0.03 < report.before.error
    assert report.after.error_low <= report.after.error <= report.after.error_high
    assert report.after.log_loss < report.before.log_loss
    assert report.after.pairs == report.relevant + report.irrelevant == 4000
    file = tmp_path / "calibration.json"
    write_calibration(file, report.calibration)
    assert read_calibration(file).steps == report.calibration.steps
    applied = Calibrated(Numbers(), file).rerank("q", ["-3", "0", "2"])
    for result, score in zip(applied.results, (2, 0, -3), strict=True):
        expected = 1 / (1 + np.exp(-(0.4 * score + shift)))
        assert result.probability == pytest.approx(expected, abs=0.08)


@given(st.lists(st.tuples(st.floats(-50, 50), st.integers(1, 9)), min_size=1, max_size=40))
def test_pooling_gives_the_nearest_rising_sequence(rows: list[tuple[float, int]]) -> None:
    values = np.array([v for v, _ in rows])
    weights = np.array([float(w) for _, w in rows])
    blocks = pool_adjacent(values, weights)
    assert [start for start, _, _ in blocks] == [0, *(end for _, end, _ in blocks[:-1])]
    assert blocks[-1][1] == len(rows)
    levels = [level for _, _, level in blocks]
    assert all(a < b for a, b in pairwise(levels))
    for start, end, level in blocks:
        mean = np.average(values[start:end], weights=weights[start:end])
        assert level == pytest.approx(mean, abs=1e-9)
        # Were a block's beginning lower than its end, it would have been cut there.
        for cut in range(start + 1, end):
            left = np.average(values[start:cut], weights=weights[start:cut])
            right = np.average(values[cut:end], weights=weights[cut:end])
            assert left >= right - 1e-9


@given(
    st.lists(st.tuples(st.floats(-30, 30), st.booleans()), min_size=2, max_size=60),
    st.sampled_from(METHODS),
)
def test_a_fit_is_usable_or_none(rows: list[tuple[float, bool]], method: str) -> None:
    found = fit_calibration(
        method, np.array([s for s, _ in rows]), np.array([y for _, y in rows])
    )
    if found is not None:
        assert found.scale > 0
        assert np.isfinite([found.scale, found.shift]).all()
        assert all(0 < p < 1 for _, p in found.steps)
        assert list(found.steps) == sorted(found.steps)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((0, 50, 20), "none is relevant"),
        ((50, 0, 20), "none is irrelevant"),
        ((10, 190, 20), r"17 relevant and 308 irrelevant"),
        ((200, 200, 9), "at least 10 queries, not 9"),
    ],
)
def test_too_few_labels_say_how_many_are_needed(
    counts: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_label_counts("platt", *counts)


@given(st.integers(1, 400), st.integers(1, 4000))
def test_the_number_said_is_enough(hits: int, others: int) -> None:
    if 1 / hits + 1 / others <= (0.5 / 1.96) ** 2:
        check_label_counts("platt", hits, others, 10)
        return
    with pytest.raises(InputError) as raised:
        check_label_counts("platt", hits, others, 10)
    words = str(raised.value.fix).split()
    need = int(words[6]), int(words[9])
    assert need >= (hits, others)
    check_label_counts("platt", *need, 10)


def test_isotonic_needs_more() -> None:
    check_label_counts("platt", 31, 32, 10)
    with pytest.raises(InputError, match="isotonic"):
        check_label_counts("isotonic", 31, 32, 10)


def test_labels_that_say_the_opposite_are_refused() -> None:
    with pytest.raises(InputError, match="do not score higher"):
        calibrate(Numbers(), drawn(20, 20, -1.0, 0.0))
    with pytest.raises(InputError, match="no calibration 'plat'"):
        calibrate(Numbers(), drawn(20, 20, 1.0, 0.0), method="plat")


def test_scores_of_one_list_are_refused() -> None:
    class Ranks(Numbers):
        kind = ScoreKind.RANK

    class Cosines(Numbers):
        kind = ScoreKind.SIMILARITY

    with pytest.raises(InputError, match="one list only"):
        calibrate(Ranks(), drawn(20, 20, 1.0, 0.0))
    with pytest.raises(InputError, match="temperature"):
        calibrate(Cosines(), drawn(20, 20, 1.0, 0.0), method="temperature")
    assert calibrate(Cosines(), drawn(20, 20, 1.0, 0.0)).relevant


def test_a_reliability_diagram_counts_every_pair() -> None:
    chances = np.array([0.0, 0.05, 0.55, 0.5, 1.0])
    relevant = np.array([False, True, True, False, True])
    found = measure_reliability(chances, relevant, np.array([0, 0, 1, 1, 2]))
    assert [b.pairs for b in found.bins] == [2, 2, 1]
    assert [b.share for b in found.bins] == [0.5, 0.5, 1.0]
    expected = (2 * abs(0.025 - 0.5) + 2 * abs(0.525 - 0.5) + 0) / 5
    assert found.error == pytest.approx(expected)
    assert found.error_low <= found.error_high
    assert found.queries == 3


def test_wilsons_interval() -> None:
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_pairs_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    rows = [
        {"query": "a", "text": "x", "label": True},
        {"query": "b", "text": "y", "label": 0, "title": "t"},
        {"query": "a", "text": "z", "grade": 2},
        {"query": "a", "text": "z", "grade": 3},
    ]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n\n", "utf-8")
    first, second = read_pairs(file, min_grade=2)
    assert (first.query, first.relevant) == ("a", (True, True))
    assert second.candidates[0].document.title == "t"
    assert second.relevant == (False,)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"query": "a"}',
        '{"query": "a", "text": "b", "label": "yes"}',
        '{"query": "a", "text": "b", "label": NaN}',
        '{"query": "a", "text": "x", "label": 0}',
        "3",
    ],
)
def test_bad_pairs_name_their_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"query": "a", "text": "x", "label": 1}\n' + line, "utf-8")
    with pytest.raises(InputError, match="line 2"):
        read_pairs(file)
