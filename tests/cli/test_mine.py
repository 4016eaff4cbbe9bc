from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from secondpass.train.data.files import read_examples
from tests.cli.conftest import SAMPLE, Run


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Six questions of the sample with their passages, as pairs."""
    whole = read_examples(SAMPLE, split="test")
    rows = [
        {"query": g.query, "positive": whole.passages[g.positives[0]]} for g in whole.groups[:6]
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A few more passages of the sample."""
    file = tmp_path / "corpus.jsonl"
    lines = (SAMPLE / "corpus.jsonl").read_text(encoding="utf-8").splitlines()[:12]
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def test_negatives_are_written_and_counted(
    run: Run, pairs: Path, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mined"
    options = ("--out", out, "--hard", 2, "--medium", 1, "--random", 1, "--corpus", corpus)
    ran = run("mine", pairs, *options, "--json")
    assert ran.code == 0, ran.err
    found = ran.json
    assert found["path"] == str(out)
    assert (found["groups"], found["passages"], found["given"]) == (6, 18, 0)
    examples = read_examples(out)
    assert [len(g.negatives) for g in examples.groups] == [4] * 6
    assert found["hard"] + found["medium"] + found["random"] == 24
    again = run("mine", pairs, *options)
    assert again.code == 2
    assert "not empty" in again.err
    forced = run("mine", pairs, *options, "--force")
    assert forced.code == 0
    assert "6 queries, 18 passages" in forced.out
    assert read_examples(out) == examples
    # What was mined can be mined again: its negatives are the given ones now.
    more = run("mine", out, "--out", tmp_path / "more", "--random", 1, "--json")
    assert more.json["given"] == 24


def test_a_database_is_the_first_stage(run: Run, pairs: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in open_lines(SAMPLE / "corpus.jsonl")[:60]]
    texts = {f"{row['title']}\n{row['text']}" for row in rows}
    file = tmp_path / "wiki.db"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE docs (id TEXT, title TEXT, body TEXT)")
        database.executemany(
            "INSERT INTO docs VALUES (?, ?, ?)",
            [(row["_id"], row["title"], row["text"]) for row in rows],
        )
        # A query finds this row, which has no id.
        query = json.loads(open_lines(pairs)[0])["query"]
        database.execute("INSERT INTO docs VALUES (NULL, 'No id', ?)", [query])
        database.execute("CREATE VIRTUAL TABLE docs_fts USING fts5(title, body, content=docs)")
        database.execute("INSERT INTO docs_fts (docs_fts) VALUES ('rebuild')")
    out = tmp_path / "mined"
    options = ("--out", out, "--hard", 3, "--medium", 0, "--random", 1, "--margin", -1)
    url = f"sqlite:///{file}?table=docs&text=body&id=id"
    ran = run("mine", pairs, *options, "--over", url, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["hard"] > 0
    assert "1 row without a value in 'id'" in ran.err
    assert "has no vectors" not in ran.err
    examples = read_examples(out)
    mined = {examples.passages[n] for g in examples.groups for n in g.negatives}
    own = {json.loads(line)["positive"] for line in open_lines(pairs)}
    assert mined <= texts | own
    assert mined & texts
    both = run("mine", pairs, "--out", tmp_path / "x", "--over", url, "--index", "i")
    assert both.code == 2
    assert "cannot be combined" in both.err


def open_lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--hard", "-1"], 2, "hard is not valid"),
        (["--depth", "0"], 2, "depth is not valid"),
        (["--margin", "nan"], 2, "margin is not valid"),
        (["--corpus", "absent.jsonl"], 1, "absent.jsonl"),
    ],
)
def test_errors(
    run: Run, pairs: Path, tmp_path: Path, options: list[str], code: int, message: str
) -> None:
    ran = run("mine", pairs, "--out", tmp_path / "out", *options)
    assert ran.code == code
    assert message in ran.err
    assert ran.out == ""
    assert not (tmp_path / "out").exists()


def test_pairs_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    assert "no such file" in run("mine", "absent.jsonl", "--out", tmp_path / "out").err
    assert "Known names: test" in run("mine", SAMPLE, "--out", tmp_path / "out").err
    (tmp_path / "bad.jsonl").write_text('{"query": "q"}\n', encoding="utf-8")
    ran = run("mine", tmp_path / "bad.jsonl", "--out", tmp_path / "out", "--json")
    assert ran.code == 2
    assert "line 1" in json.loads(ran.err)["error"]["where"]


def test_help_has_an_example(run: Run) -> None:
    ran = run("mine", "--help")
    assert ran.code == 0
    assert "Example:" in ran.out
