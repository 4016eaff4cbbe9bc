from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InputError
from secondpass.evaluate.rank_correlation import (
    kendall_tau,
    rank_biased_overlap,
    rank_order,
    top_overlap,
)
from secondpass.inference.tokenizer import Tokenizer
from secondpass.models import calibration_pairs
from secondpass.train.export.calibrate import (
    Pair,
    pair_sequences,
    read_pairs,
    split_pairs,
    text_sequences,
)
from tests.tiny_models import tiny_tokenizer

PAIRS = calibration_pairs()
scores = st.lists(st.integers(-50, 50), min_size=2, max_size=30, unique=True)


def test_the_shipped_pairs_are_real_varied_and_attributed() -> None:
    rows = [json.loads(line) for line in PAIRS.read_text(encoding="utf-8").splitlines()]
    sources = {row["source"] for row in rows}
    assert 400 <= len(rows) <= 600
    assert len(sources) >= 8
    attribution = (PAIRS.parent / "README.md").read_text(encoding="utf-8")
    assert all(f"| {source} |" in attribution for source in sources)
    assert {row["label"] for row in rows} == {0, 1}


def test_titles_are_read_with_the_text(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"query": "q", "text": "b", "title": "a"}\n\n', encoding="utf-8")
    assert read_pairs(file) == [Pair("q", "a\nb")]


@pytest.mark.parametrize("line", ["{", '{"query": "q"}', "[]", '{"query": 1, "text": "t"}'])
def test_a_line_that_cannot_be_read_is_named(line: str, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"query": "q", "text": "t"}\n' + line, encoding="utf-8")
    with pytest.raises(InputError, match="line 2"):
        read_pairs(file)


def test_missing_or_empty_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.jsonl"):
        read_pairs(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(InputError, match="no calibration pairs"):
        read_pairs(tmp_path / "empty.jsonl")


def test_no_question_is_used_and_held_out() -> None:
    pairs = [Pair(f"question {i // 3}", f"passage {i}") for i in range(60)]
    used, held_out = split_pairs(pairs)
    assert len(used) + len(held_out) == 60
    assert len(held_out) == 18
    assert not {p.query for p in used} & {p.query for p in held_out}


def test_sequences_never_exceed_the_window(tmp_path: Path) -> None:
    tiny_tokenizer(tmp_path, "bert")
    tokeniser = Tokenizer(tmp_path / "tokenizer.json")
    long = "the slow ship " * 40
    for ids, segments in pair_sequences(tokeniser, [Pair(long, long), Pair("a", "")], 24):
        assert len(ids) == len(segments) <= 24
    assert [len(ids) for ids, _ in text_sequences(tokeniser, [long, "a"], 24)] == [24, 3]


@given(scores)
def test_a_ranking_agrees_with_itself_and_not_with_its_reverse(values: list[int]) -> None:
    values_array = np.array(values, dtype=np.float64)
    assert top_overlap(values_array, values_array, 10) == 1.0
    assert kendall_tau(values_array, values_array) == 1.0
    assert kendall_tau(values_array, -values_array) == -1.0
    assert rank_biased_overlap(
        rank_order(values_array).tolist(), rank_order(values_array).tolist()
    ) == pytest.approx(1.0)
    assert (
        0.0
        <= rank_biased_overlap(
            rank_order(values_array).tolist(), rank_order(-values_array).tolist()
        )
        < 1.0
    )
