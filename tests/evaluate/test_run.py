"""What is read is what was written, and what cannot be read names its line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass import InputError, SecondpassError
from secondpass.evaluate import Collection, Run
from secondpass.evaluate.qrels import read_qrels, write_qrels
from secondpass.evaluate.queries import read_queries
from secondpass.evaluate.run import separate_ties

ids = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="\ufeff"),
    min_size=1,
    max_size=6,
).filter(lambda text: text.split() == [text])
free = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda text: bool(text.strip())
)
scores = st.floats(allow_nan=False, allow_infinity=False, width=32)
SUFFIXES = ["trec", "txt.gz", "jsonl", "jsonl.gz"]


def nested(names: st.SearchStrategy[str], values: st.SearchStrategy[object]) -> object:
    return st.dictionaries(
        names, st.dictionaries(names, values, min_size=1, max_size=5), min_size=1, max_size=4
    )


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


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=40)
@given(data=st.data())
def test_qrels_that_are_read_again_are_the_same(suffix: str, data: st.DataObject) -> None:
    grades = data.draw(nested(free if "jsonl" in suffix else ids, st.integers(0, 4)))
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"qrels.{suffix}"
        write_qrels(grades, path)
        assert read_qrels(path).grades == grades


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q1 0 d1\n", "line 1): it has neither 4 columns nor 3 separated by tabs"),
        ("q1 0 d1 1\nq1 0 d1 2\n", "1 before, 2 here"),
        ("q1 0 d1 1.5\n", "the grade '1.5' is not a whole number"),
        ("query-id\tcorpus-id\tscore\n", "there are no judgments"),
        ("a\tb\tc\nquery-id\tcorpus-id\tscore\n", "line 2"),
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


def test_a_damaged_gzip_is_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "run.txt.gz"
    path.write_bytes(gzip.compress(b"q1 Q0 d1 1 0.5 r\n" * 50)[:-9])
    with pytest.raises(SecondpassError):
        Run.read(path)


def test_queries_one_a_line_are_named_by_their_lines(tmp_path: Path) -> None:
    plain = tmp_path / "queries.txt"
    plain.write_text("plain words\n\nothers\n", "utf-8")
    assert read_queries(plain) == {"q1": "plain words", "q3": "others"}
    plain.write_text("plain words\nid\ttext\n", "utf-8")
    with pytest.raises(InputError, match="line 1"):
        read_queries(plain)


def test_queries_from_tabs_and_json(tmp_path: Path) -> None:
    tabs, lines = tmp_path / "q.tsv", tmp_path / "q.jsonl"
    tabs.write_text("1\tone\n2\ttwo words\n", "utf-8")
    lines.write_text(
        '{"query_id": 1, "query": "one"}\n{"id": "2", "text": "two words"}\n', "utf-8"
    )
    assert read_queries(tabs) == read_queries(lines) == {"1": "one", "2": "two words"}
    lines.write_text('{"_id": "1", "text": "a"}\n{"_id": "1", "text": "b"}\n', "utf-8")
    with pytest.raises(InputError, match="two texts"):
        read_queries(lines)


def folder(tmp_path: Path, queries: list[str], qrels: str) -> Path:
    rows = [json.dumps({"_id": q, "text": f"text of {q}"}) for q in queries]
    (tmp_path / "qrels").mkdir()
    (tmp_path / "queries.jsonl.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    (tmp_path / "qrels" / "test.tsv").write_text(qrels, "utf-8")
    return tmp_path


def test_what_is_left_out_is_counted_and_shown(tmp_path: Path) -> None:
    table = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td1\t0\nq9\td1\t1\nq9\td2\t-1\n"
    found = Collection.read(folder(tmp_path, ["q1", "q2", "q3", "q4", "q5", "q6"], table))
    assert list(found.queries) == ["q1", "q2"]
    notes = "\n".join(found.notes)
    assert "4 queries without judgments left out: 'q3', 'q4', 'q5', …" in notes
    assert "judgments of 1 query without a text left out: 'q9'" in notes
    assert "1 query without a relevant document count as 0: 'q2'" in notes
    assert "1 grades below 0" in notes


def test_ids_that_do_not_match_at_all_are_an_error(tmp_path: Path) -> None:
    where = folder(tmp_path, ["q1"], "1\td1\t1\n")
    with pytest.raises(InputError, match=r"judgments are for '1'; queries are 'q1'"):
        Collection.read(where)


def test_judged_documents_that_the_index_lacks() -> None:
    collection = Collection("c", {"q": "text"}, {"q": {"a": 1, "b": 1, "x": 0}})
    assert collection.checked(["a", "b", "x"], "the index") is collection
    note = collection.checked(["a"], "the index").notes[0]
    assert "2 of 3 judged documents are not in the index (1 of them relevant" in note
    with pytest.raises(InputError, match="none of the 2 relevant documents"):
        collection.checked(["other"], "the index")


@pytest.mark.parametrize("qrels", ["1\td1\t0\n", "1\td1\t-1\n"])
def test_a_collection_without_relevant_documents_is_an_error(
    tmp_path: Path, qrels: str
) -> None:
    with pytest.raises(InputError, match="has a relevant document"):
        Collection.read(folder(tmp_path, ["1"], qrels))


def test_ids_with_spaces_need_json(tmp_path: Path) -> None:
    run = Run("r", {"q": {"two words": 1.0}})
    with pytest.raises(InputError, match="jsonl"):
        run.write(tmp_path / "run.txt")
    run.write(tmp_path / "run.jsonl")
    assert Run.read(tmp_path / "run.jsonl").scores == run.scores
