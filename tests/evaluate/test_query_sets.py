"""Query sets: what is stored, what is refused, and what several writers do to one."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InputError
from secondpass.evaluate.qrels import read_qrels
from secondpass.evaluate.queries import read_queries
from secondpass.evaluate.query_sets import (
    JUDGED,
    QuerySet,
    QuerySets,
    keep_queries,
    to_name,
)

TEXTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp", "Zs")), min_size=1, max_size=20
)


def test_judged_is_there_before_anything_is_judged(tmp_path: Path) -> None:
    sets = QuerySets(tmp_path / "none")
    assert sets.names() == [JUDGED]
    assert sets.read(JUDGED) == QuerySet(JUDGED, {}, {})
    assert not (tmp_path / "none").exists()


def test_judgments_are_kept_changed_and_removed(tmp_path: Path) -> None:
    sets = QuerySets(tmp_path)
    assert sets.judge(JUDGED, " the sea ", {"a": 3, "b": 0}) == ("q1", {"a": 3, "b": 0})
    assert sets.judge(JUDGED, "ships", {"a b": 1}) == ("q2", {"a b": 1})
    assert sets.judge(JUDGED, "the sea", {"a": 2, "b": None, "c": None}) == ("q1", {"a": 2})
    again = QuerySets(tmp_path).read(JUDGED)
    assert again.queries == {"q1": "the sea", "q2": "ships"}
    assert again.grades == {"q1": {"a": 2}, "q2": {"a b": 1}}
    assert again.judgments == 2


def test_files_are_those_of_the_other_commands(tmp_path: Path) -> None:
    QuerySets(tmp_path).judge(JUDGED, "the sea", {"a": 3})
    assert read_queries(tmp_path / JUDGED / "queries.jsonl") == {"q1": "the sea"}
    assert read_qrels(tmp_path / JUDGED / "qrels.jsonl").grades == {"q1": {"a": 3}}


def test_what_was_judged_by_mistake_can_be_taken_back_whole(tmp_path: Path) -> None:
    sets = QuerySets(tmp_path)
    sets.judge(JUDGED, "the sea", {"a": 3})
    assert sets.judge(JUDGED, "the sea", {"a": None}) == ("q1", {})
    assert sets.read(JUDGED) == QuerySet(JUDGED, {"q1": "the sea"}, {})


@given(
    st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=5),
    st.dictionaries(TEXTS, st.integers(0, 9), max_size=5),
)
def test_a_set_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, queries: dict[str, str], grades: dict[str, int]
) -> None:
    sets = QuerySets(tmp_path_factory.mktemp("sets"))
    judged = {next(iter(queries)): grades} if grades else {}
    written = QuerySet("mine", queries, judged)
    sets.write(written)
    assert sets.read("mine") == written
    assert sets.names() == ["judged", "mine"]
    assert sets.delete("mine") == written
    assert sets.names() == ["judged"]


@pytest.mark.parametrize("name", ["", "-a", "../a", "a/b", "a.b", ".lock", "a" * 101, "ü"])
def test_names_that_are_not_safe_as_a_folder_are_refused(tmp_path: Path, name: str) -> None:
    sets = QuerySets(tmp_path / "sets")
    for use in (
        lambda: sets.read(name),
        lambda: sets.delete(name),
        lambda: sets.write(QuerySet(name, {"q1": "a"}, {})),
        lambda: sets.judge(name, "a", {"b": 1}),
    ):
        with pytest.raises(InputError, match="cannot be named"):
            use()
    assert not (tmp_path / "sets").exists()


def test_an_unknown_set_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    sets = QuerySets(tmp_path)
    with pytest.raises(InputError, match="Did you mean 'judged'"):
        sets.read("judge")
    with pytest.raises(InputError, match="there is no query set"):
        sets.judge("other", "a", {"b": 1})


@pytest.mark.parametrize("grade", [-1, 4, True, 1.0, "1"])
def test_grades_are_whole_numbers_from_0_to_3(tmp_path: Path, grade: object) -> None:
    sets = QuerySets(tmp_path)
    with pytest.raises(InputError, match="from 0"):
        sets.judge(JUDGED, "a", {"b": grade})  # type: ignore[dict-item]
    assert sets.read(JUDGED).queries == {}


def test_grades_need_their_query_and_queries_a_text(tmp_path: Path) -> None:
    sets = QuerySets(tmp_path)
    with pytest.raises(InputError, match="not in the set"):
        sets.write(QuerySet("mine", {"q1": "a"}, {"q2": {"b": 1}}))
    with pytest.raises(InputError, match="no text"):
        sets.write(QuerySet("mine", {"q1": "  "}, {}))
    with pytest.raises(InputError, match="empty"):
        sets.judge(JUDGED, "  ", {"b": 1})


def test_no_judgment_of_several_writers_is_lost(tmp_path: Path) -> None:
    def judge(number: int) -> None:
        for document in range(10):
            QuerySets(tmp_path).judge(
                JUDGED, f"query {number % 2}", {f"{number}-{document}": 1}
            )

    threads = [threading.Thread(target=judge, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = QuerySets(tmp_path).read(JUDGED)
    assert found.judgments == 40
    assert sorted(found.queries.values()) == ["query 0", "query 1"]


def test_the_judged_queries_of_a_beir_folder_are_kept_once(tmp_path: Path) -> None:
    corpus, index = tmp_path / "corpus", tmp_path / "index"
    (corpus / "qrels").mkdir(parents=True)
    assert keep_queries(corpus, index, "corpus") is None
    (corpus / "queries.jsonl").write_text(
        '{"_id": "1", "text": "a"}\n{"_id": "2", "text": "b"}\n'
    )
    (corpus / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\tx\t4\n3\tx\t1\n")
    kept = keep_queries(corpus, index, "corpus")
    assert kept == QuerySet("corpus", {"1": "a"}, {"1": {"x": 4}})
    assert QuerySets(index / "query-sets").read("corpus") == kept
    assert keep_queries(corpus, index, "corpus") is None


@given(st.text(max_size=120))
def test_any_name_of_a_folder_becomes_one_of_a_set(text: str) -> None:
    name = to_name(text)
    assert to_name(name) == name
    QuerySets(Path("/none")).read("judged")
    assert name in {"queries", name}
    with pytest.raises(InputError, match="there is no query set"):
        QuerySets(Path("/none")).read(name if name != "judged" else "other")
