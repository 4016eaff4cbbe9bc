from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass import InputError
from secondpass.evaluate.qrels import read_qrels, write_qrels
from tests.evaluate.file_strategies import SUFFIXES, free, ids, nested


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=40)
@given(data=st.data())
def test_qrels_that_are_read_again_are_the_same(suffix: str, data: st.DataObject) -> None:
    grades = data.draw(nested(free if "jsonl" in suffix else ids, st.integers(0, 4)))
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"qrels.{suffix}"
        write_qrels(grades, path)
        assert read_qrels(path).grades == grades


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q1 0 d1\n", "line 1): it has neither 4 columns nor 3 separated by tabs"),
        ("q1 0 d1 1\nq1 0 d1 2\n", "1 before, 2 here"),
        ("q1 0 d1 1.5\n", "the grade '1.5' is not a whole number"),
        ("query-id\tcorpus-id\tscore\n", "there are no judgments"),
        ("a\tb\tc\nquery-id\tcorpus-id\tscore\n", "line 1): the grade 'c'"),
        ("query-id\tcorpus-id\tscore\na\tb\tscore\n", "line 2): the grade 'score'"),
        ("q1\td1\t1,0\nq1\td2\t0\n", "line 1): the grade '1,0' is not a whole number"),
        ("q1\td1\trelevant\nq1\td2\t0\n", "A grade is a whole number, such as 0, 1 or 2"),
        ("", "there are no judgments"),
    ],
)
def test_qrels_that_cannot_be_read_say_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "qrels.tsv"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError) as caught:
        read_qrels(path)
    assert message in str(caught.value)


def test_rules_for_grades_below_zero_and_repeated_lines(tmp_path: Path) -> None:
    path = tmp_path / "qrels.txt"
    path.write_text("q1 0 d1 1\nq1 0 d1 1\nq1 0 d2 -2\n", "utf-8")
    found = read_qrels(path)
    assert found.grades == {"q1": {"d1": 1, "d2": 0}}
    assert (found.repeated, found.negative) == (1, 1)


@pytest.mark.parametrize("text", ["1.0", "1", "1."])
def test_whole_grades_may_be_written_as_floats(tmp_path: Path, text: str) -> None:
    path = tmp_path / "qrels.tsv"
    path.write_text(f"q1\td1\t{text}\nq1\td2\t0\nq1\td3\t2.0\n", "utf-8")
    assert read_qrels(path).grades == {"q1": {"d1": 1, "d2": 0, "d3": 2}}
    path.write_text(f"q1 0 d1 {text}\nq1 0 d2 -1.0\n", "utf-8")
    assert read_qrels(path).grades == {"q1": {"d1": 1, "d2": 0}}
    path.with_suffix(".jsonl").write_text('{"query_id": "q", "doc_id": "d", "grade": 2.0}\n')
    assert read_qrels(path.with_suffix(".jsonl")).grades == {"q": {"d": 2}}


@pytest.mark.parametrize(
    "header", ["query-id\tcorpus-id\tscore", "# QID\tDoc ID\trel", "topic\tdocno\tlabel"]
)
def test_a_first_line_is_a_header_only_where_it_names_columns(
    tmp_path: Path, header: str
) -> None:
    path = tmp_path / "qrels.tsv"
    path.write_text(f"{header}\nq1\td1\t1\n", "utf-8")
    assert read_qrels(path).grades == {"q1": {"d1": 1}}
    path.write_text("q1\td1\t0.5\nq1\td2\t1\n", "utf-8")
    with pytest.raises(InputError, match=r"'0\.5' is not a whole number"):
        read_qrels(path)
