from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass import Document, InputError
from secondpass.cli.label import judge_interactively
from secondpass.cli.output import stderr_console
from secondpass.cli.terminal_keys import END, Keys
from secondpass.evaluate.labelling import HEADER, GradeFile, Labelling
from secondpass.evaluate.qrels import Grades, read_qrels

QUERIES = {"q1": "first", "q2": "second", "q3": "third"}


def pool(name: str, text: str) -> list[Document]:
    return [] if name == "q2" else [Document(f"text {i}", f"{name}-{i}") for i in range(3)]


def grades(file: Path) -> Grades:
    return read_qrels(file, may_be_empty=True).grades


def label(file: Path, keys: str) -> Labelling:
    labelling = Labelling(QUERIES, pool, GradeFile(file))
    stream = Keys(io.BytesIO(keys.encode()))
    judge_interactively(labelling, stream.next, stderr_console())
    return labelling


def test_a_session_continues_where_it_stopped(tmp_path: Path) -> None:
    file = tmp_path / "new" / "qrels.tsv"
    assert label(file, "3\n0").judged == 2
    assert file.read_text() == f"{HEADER}\nq1\tq1-0\t3\nq1\tq1-1\t0\n"
    done = label(file, "?x1sq")
    assert (done.judged, done.skipped) == (1, 1)
    assert grades(file) == {"q1": {"q1-0": 3, "q1-1": 0, "q1-2": 1}}
    label(file, "222")
    assert grades(file)["q3"] == {"q3-0": 2, "q3-1": 2, "q3-2": 2}
    assert label(file, "333").judged == 0


def test_undo_of_grades_and_skips(tmp_path: Path) -> None:
    file = tmp_path / "qrels.tsv"
    done = label(file, "u3s0uuu1")
    assert (done.judged, done.skipped) == (1, 0)
    assert grades(file) == {"q1": {"q1-0": 1}}


def test_a_whole_query_can_be_skipped(tmp_path: Path) -> None:
    file = tmp_path / "qrels.tsv"
    done = label(file, "3n1")
    assert done.skipped == 2
    assert grades(file) == {"q1": {"q1-0": 3}, "q3": {"q3-0": 1}}
    assert label(tmp_path / "other.tsv", "nn").current() is None


@settings(max_examples=25)
@given(st.text(alphabet="0123snuq\n", max_size=40))
def test_the_file_has_the_grades_of_the_session(tmp_path_factory: object, keys: str) -> None:
    file = tmp_path_factory.mktemp("x") / "qrels.tsv"  # type: ignore[attr-defined]
    done = label(file, keys)
    assert grades(file) == {q: g for q, g in done.file.grades.items() if g}
    assert sum(map(len, grades(file).values())) == done.judged == len(done.file)


@pytest.mark.parametrize("cut", ["q1\tq1-1", "q1\tq1-1\t", "q", "q1\t"])
def test_an_incomplete_line_of_a_crash_is_removed(tmp_path: Path, cut: str) -> None:
    file = tmp_path / "qrels.tsv"
    label(file, "3")
    whole = file.read_bytes()
    file.write_bytes(whole + cut.encode())
    assert GradeFile(file).grades == {"q1": {"q1-0": 3}}
    assert file.read_bytes() == whole


def test_an_existing_file_is_continued(tmp_path: Path) -> None:
    file = tmp_path / "qrels.tsv"
    file.write_text("q1 0 q1-0 2\nq1 0 q1-1 1")
    label(file, "0q")
    assert grades(file) == {"q1": {"q1-0": 2, "q1-1": 1, "q1-2": 0}}
    file.write_text("this is no file of grades at all\n")
    with pytest.raises(InputError, match="line 1"):
        GradeFile(file)
    with pytest.raises(InputError, match="cannot be kept"):
        GradeFile(tmp_path)


def test_ids_with_tabs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tab or a line break"):
        GradeFile(tmp_path / "q.tsv").add("q", "a\tb", 1)


def test_keys() -> None:
    keys = Keys(io.BytesIO(b" A\r\n3"))
    assert [keys.next() for _ in range(4)] == ["a", "3", END, END]
    with pytest.raises(KeyboardInterrupt):
        Keys(io.BytesIO(b"\x03")).next()


@pytest.mark.parametrize("line", ["a\tb", "a\tb\tx", "a\tb\t1.5", "a\tb\tnan", "a b c d e"])
def test_bad_grades_name_their_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "qrels.tsv"
    file.write_text(f"{HEADER}\na\tb\t1\n{line}\n")
    with pytest.raises(InputError, match="line 3"):
        read_qrels(file)
