"""`--over URL`: commands over a database instead of an index."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from secondpass.cli.serve import parse_database_options
from secondpass.errors import InputError
from secondpass.index.config_file import Configuration
from tests.cli.conftest import Run
from tests.index.test_index import sample

QUERY = "When did the oil crisis begin?"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("over") / "wiki.db"
    rows = [(str(r["_id"]), str(r["text"]), r["year"]) for r in sample(30)]
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE docs (id TEXT PRIMARY KEY, body TEXT, year INTEGER)")
        database.executemany("INSERT INTO docs VALUES (?, ?, ?)", rows)
        database.execute("CREATE VIRTUAL TABLE docs_fts USING fts5(body, content=docs)")
        database.execute("INSERT INTO docs_fts (docs_fts) VALUES ('rebuild')")
    database.close()
    return f"sqlite:///{file}?table=docs&text=body"


def test_a_database_is_searched(run: Run, url: str) -> None:
    done = run("search", QUERY, "--over", url, "--model", "bundled-tiny", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["results"][0]["id"] == "1973-oil-crisis-01"
    assert "no vectors" in found["reason"]


def test_exactly_one_source(run: Run, url: str) -> None:
    neither = run("search", QUERY)
    assert neither.code == 2
    assert "--over URL" in neither.err
    both = run("search", QUERY, "--over", url, "--index", "i")
    assert both.code == 2
    assert "cannot be combined" in both.err


def test_a_configuration_names_the_source(run: Run, url: str, tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    Configuration({"candidates": 10, "rerank": False}, source={"over": url}).write(file)
    assert Configuration.read(file).source == {"over": url}
    done = run("search", QUERY, "--config", str(file), "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["status"] == "skipped"


def test_relative_indexes_are_beside_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('[source]\nindex = "docs"\n', "utf-8")
    assert Configuration.read(file).source == {"index": str(tmp_path / "docs")}


@pytest.mark.parametrize(
    "source", [{"over": "a", "index": "b"}, {"ovr": "a"}, {"over": 3}, {"over": ""}]
)
def test_sources_that_are_none(source: dict[str, str]) -> None:
    with pytest.raises(InputError):
        Configuration({}, source=source)


def test_evaluating_a_database(run: Run, url: str, tmp_path: Path) -> None:
    queries, qrels = tmp_path / "q.tsv", tmp_path / "qrels.txt"
    queries.write_text(f"q1\t{QUERY}\n", "utf-8")
    qrels.write_text("q1 0 1973-oil-crisis-01 1\n", "utf-8")
    arguments = ("--queries", str(queries), "--models", "bundled-tiny", "--json")
    done = run("eval", "--over", url, *arguments, "--qrels", str(qrels))
    assert done.code == 0, done.err
    runs = {r["name"]: r["means"]["nDCG@10"] for r in json.loads(done.out)["runs"]}
    assert runs.keys() == {"bm25", "bm25 + bundled-tiny"}
    assert runs["bm25 + bundled-tiny"] == 1.0
    qrels.write_text("q1 0 unknown 1\n", "utf-8")
    done = run("eval", "--over", url, *arguments, "--qrels", str(qrels))
    assert done.code == 2
    assert "none of the 1 relevant documents was retrieved" in done.err


def test_names_of_served_databases() -> None:
    assert parse_database_options(
        ["shop=sqlite:///a.db?table=t", "sqlite:///b.db?table=docs", "duckdb:///c/d.duckdb"]
    ) == {
        "shop": "sqlite:///a.db?table=t",
        "docs": "sqlite:///b.db?table=docs",
        "d": "duckdb:///c/d.duckdb",
    }


@pytest.mark.parametrize(
    "values",
    [
        ["folder"],
        ["name=folder"],
        ["a=sqlite:///a.db", "a=sqlite:///b.db"],
        ["a b=sqlite:///a.db"],
        ["sqlite:///a b.db"],
    ],
)
def test_names_that_cannot_be_served(values: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        parse_database_options(values)
    assert caught.value.fix


def test_a_secret_is_not_printed() -> None:
    with pytest.raises(InputError) as caught:
        parse_database_options(["name=user:hunter2@host/x?password=hunter2"])
    assert "hunter2" not in str(caught.value)
