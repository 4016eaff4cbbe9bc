from __future__ import annotations

import gzip
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass import InputError, SecondpassError
from secondpass.evaluate import Run
from secondpass.evaluate.run import separate_ties
from tests.evaluate.file_strategies import SUFFIXES, free, ids, nested, scores


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=40)
@given(data=st.data())
def test_a_run_that_is_read_again_is_the_same(suffix: str, data: st.DataObject) -> None:
    found = data.draw(nested(free if "jsonl" in suffix else ids, scores))
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"a run.{suffix}"
        run = Run("a run", found)
        run.write(path)
        again = Run.read(path)
        assert again == run
        assert {q: again.ranking(q) for q in found} == {q: run.ranking(q) for q in found}


@given(st.lists(st.floats(-1e30, 1e30), max_size=12).map(lambda s: sorted(s, reverse=True)))
def test_scores_moved_apart_keep_their_order(falling: list[float]) -> None:
    moved = separate_ties(falling)
    assert moved == sorted(moved, reverse=True)
    assert len(set(moved)) == len(moved)
    ranked = {f"{i:02}": score for i, score in enumerate(moved)}
    assert Run("r", {"q": ranked}).ranking("q") == list(ranked)


def test_ties_stand_by_falling_id_in_single_precision() -> None:
    run = Run("r", {"q": {"a": 1.0, "c": 1.0 + 1e-12, "b": 1.0, "d": 2.0}})
    assert run.ranking("q") == ["d", "c", "b", "a"]
    assert run.ties == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q1 Q0 d1 1 0.5\n", "line 1): it has 5 columns"),
        ("q1 Q0 d1 1 0.5 r\nq1 Q0 d1 2 0.4 r\n", "'d1' is repeated for query 'q1' (.*line 2"),
        ("q1 Q0 d1 1 nan r\n", "line 1): the score is nan"),
        ("q1 Q0 d1 1 inf r\n", "line 1): the score is inf"),
        ("\nq1 Q0 d1 1 high r\n", "line 2): the score 'high' is not a number"),
        ("", "the run is empty"),
    ],
)
def test_a_run_that_cannot_be_read_says_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.txt"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError) as caught:
        Run.read(path)
    for part in message.split(".*"):
        assert part in str(caught.value)


def test_a_damaged_gzip_is_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "run.txt.gz"
    path.write_bytes(gzip.compress(b"q1 Q0 d1 1 0.5 r\n" * 50)[:-9])
    with pytest.raises(SecondpassError):
        Run.read(path)


def test_ids_with_spaces_need_json(tmp_path: Path) -> None:
    run = Run("r", {"q": {"two words": 1.0}})
    with pytest.raises(InputError, match="jsonl"):
        run.write(tmp_path / "run.txt")
    run.write(tmp_path / "run.jsonl")
    assert Run.read(tmp_path / "run.jsonl").scores == run.scores
