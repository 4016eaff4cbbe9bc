"""Judgements that cannot be used, in every command that measures: a clear error, no guess."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

QUERIES = {f"q{i}": f"What is number {i}?" for i in range(5)}
COMMANDS = ("eval", "report", "tune", "calibrate")


def files(folder: Path, qrels: str, queries: dict[str, str] = QUERIES) -> tuple[object, ...]:
    texts, grades = folder / "queries.jsonl", folder / "qrels.txt"
    rows = [json.dumps({"_id": name, "text": text}) for name, text in queries.items()]
    texts.write_text("\n".join(rows), "utf-8")
    grades.write_text(qrels, "utf-8")
    return "--queries", texts, "--qrels", grades


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("qrels", "parts"),
    [
        ("", ["there are no judgments"]),
        ("q0 0 d1\n", ["line 1", "neither 4 columns nor 3"]),
        ("q0 0 d1 nan\n", ["'nan' is not a whole number"]),
        ("q0 0 d1 1\nq0 0 d1 0\n", ["'d1' has two grades for query 'q0'", "line 2"]),
        ("q0 0 d1 -1\nq1 0 d1 0\n", ["none of the 2 queries has a relevant document"]),
        (
            "1 0 d1 1\n2 0 d1 1\n3 0 d1 1\n4 0 d1 1\n",
            ["none of the 4 judged queries", "'1', '2', '3', …", "'q0', 'q1', 'q2', …"],
        ),
    ],
)
def test_they_are_refused(
    run: Run, sample_index: Path, tmp_path: Path, command: str, qrels: str, parts: list[str]
) -> None:
    ran = run(command, "--index", sample_index, *files(tmp_path, qrels))
    assert ran.code == 2
    assert ran.out == ""
    for part in parts:
        assert part in ran.err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("report", "1 judged query is too few"),
        ("tune", "1 judged query is too few"),
        ("calibrate", "are needed for platt"),
    ],
)
def test_one_query_is_too_few_to_fit_on(
    run: Run, sample_index: Path, tmp_path: Path, command: str, message: str
) -> None:
    given = files(tmp_path, "q0 0 1973-oil-crisis-01 1\n", {"q0": "When was the oil crisis?"})
    ran = run(command, "--index", sample_index, *given)
    assert ran.code == 2
    assert message in ran.err


def test_one_query_can_be_measured(run: Run, sample_index: Path, tmp_path: Path) -> None:
    given = files(tmp_path, "q0 0 1973-oil-crisis-01 1\n", {"q0": "When was the oil crisis?"})
    ran = run("eval", "--index", sample_index, *given, "--candidates", 5, "--json")
    assert ran.code == 0
    assert ran.json["queries"] == 1


def test_documents_that_the_index_lacks_are_counted_and_shown(
    run: Run, sample_index: Path, tmp_path: Path
) -> None:
    known = "q0 0 1973-oil-crisis-01 1\n"
    four = "".join(f"q1 0 gone-{i} 1\n" for i in range(4))
    measure = ("--candidates", 3, "--json")
    some = run("eval", "--index", sample_index, *files(tmp_path, known + four), *measure)
    assert some.code == 0
    assert "4 of 5 judged documents are not in the index (4 of" in some.err
    assert "'gone-0', 'gone-1', 'gone-2', …" in some.err
    none = run("eval", "--index", sample_index, *files(tmp_path, four), *measure)
    assert none.code == 2
    assert "none of the 4 relevant documents is there" in none.err


def test_rules_are_told_where_they_were_used(run: Run, tmp_path: Path) -> None:
    trec = tmp_path / "run.txt"
    trec.write_text("q0 Q0 d1 1 0.5 r\nq0 Q0 d2 2 0.5 r\nq7 Q0 d1 1 0.5 r\n", "utf-8")
    given = files(tmp_path, "q0 0 d1 1\nq0 0 d1 1\nq0 0 d2 -2\nq1 0 d1 1\nq9 0 d1 1\n")
    ran = run("eval", "--runs", trec, *given, "--measures", "RR", "--json")
    assert ran.code == 0
    for said in (
        "3 queries without judgments left out: 'q2', 'q3', 'q4'",
        "judgments of 1 query without a text left out: 'q9'",
        "1 repeated judgments count once",
        "1 grades below 0 count as judged and not relevant",
        "1 queries without results count as 0: 'q1'",
        "1 queries that are not judged were ignored: 'q7'",
        "ties are ordered by falling id",
    ):
        assert said in ran.err
    assert ran.json["runs"][0]["by_query"]["RR"] == {"q0": 0.5, "q1": 0.0}


@pytest.mark.parametrize("name", ["run.txt", "run.jsonl"])
@pytest.mark.parametrize("score", ["NaN", "Infinity"])
def test_a_run_with_scores_that_are_no_numbers(
    run: Run, tmp_path: Path, name: str, score: str
) -> None:
    file = tmp_path / name
    row = f'{{"query_id": "q0", "doc_id": "d1", "score": {score}}}'
    file.write_text(row if name.endswith("l") else f"q0 Q0 d1 1 {score} r", "utf-8")
    ran = run("eval", "--runs", file, *files(tmp_path, "q0 0 d1 1\n"))
    assert ran.code in (1, 2)
    assert "line 1" in ran.err
    assert "finite" in ran.err
