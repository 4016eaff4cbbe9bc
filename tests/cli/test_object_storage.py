"""`--index URL`: commands over an index in object storage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondpass import Index
from secondpass.cli.serve import parse_index_options
from secondpass.errors import InputError
from secondpass.index.config_file import Configuration
from tests.cli.conftest import Run
from tests.loopback.moto_server import ObjectServer, object_server

pytest.importorskip("lancedb", reason="the extra index is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    with object_server() as found:
        yield found


@pytest.fixture
def url(server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    return server.use_prefix(tmp_path, monkeypatch)


def test_files_are_indexed_searched_and_deleted(run: Run, url: str, tmp_path: Path) -> None:
    rows, note = tmp_path / "rows.jsonl", tmp_path / "note.txt"
    tea = '{"id": "tea", "text": "Tea is hot."}\n'
    rows.write_text('{"id": "key", "text": "The key is in the shed."}\n' + tea)
    note.write_text("The river meets the sea.")
    added = run("index", rows, note, "--index", url, "--no-keep-states", "--json")
    assert added.code == 0, added.err
    assert (added.json["added"], added.json["index"]) == (3, url)
    search = ("search", "where is the key", "--index", url, "--no-rerank", "--json")
    assert run(*search).json["results"][0]["id"] == "key"

    rows.write_text(tea)
    again = run("index", rows, note, "--index", url, "--json")
    assert (again.json["deleted"], again.json["total"]) == (1, 2)
    assert {r["id"] for r in run(*search).json["results"]}.isdisjoint({"key"})

    (tmp_path / "s.toml").write_text(f'[source]\nindex = "{url}"\n[search]\nrerank = false\n')
    assert run("search", "tea", "--config", tmp_path / "s.toml", "--json").code == 0
    (tmp_path / "q.tsv").write_text("q\ttea\n")
    (tmp_path / "q.qrels").write_text("q 0 tea 1\n")
    judged = ("--queries", tmp_path / "q.tsv", "--qrels", tmp_path / "q.qrels")
    assert run("eval", "--index", url, *judged, "--models", "bundled-tiny").code == 0
    out = tmp_path / "sampled.jsonl"
    assert run("sample-queries", "--index", url, "--count", 1, "--out", out).code == 0
    optimized = run("optimize", "--index", url, "--json")
    assert (optimized.json["index"], optimized.json["states_removed"]) == (url, 0)
    assert list(tmp_path.glob("s3:*")) == []


@pytest.mark.parametrize("command", [("search", "q"), ("index", ".")])
def test_a_place_that_cannot_be_is_wrong_usage(
    run: Run, url: str, command: tuple[str, ...]
) -> None:
    typo = run(*command, "--index", "s4://bucket/docs")
    assert typo.code == 2
    assert "an index cannot be at s4://" in typo.err
    assert "s3" in typo.err
    assert run(*command, "--index", "s3:///docs").code == 2


def test_what_the_storage_refuses_is_said(run: Run, url: str) -> None:
    absent = run("search", "q", "--index", url)
    assert (absent.code, "there is no index" in absent.err) == (1, True), absent.err
    no_bucket = run("search", "q", "--index", "s3://nobody/docs")
    assert (no_bucket.code, "there is no bucket" in no_bucket.err) == (1, True), no_bucket.err
    assert "hidden" not in absent.err + no_bucket.err


def test_doctor_tells_what_is_stored(run: Run, url: str, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("The river meets the sea.")
    assert run("index", tmp_path / "note.txt", "--index", url, "--no-keep-states").code == 0
    found = run("doctor", "--index", url, "--json").json["indexes"][0]
    stored = found["storage"]
    assert (found["path"], found["documents"]) == (url, 1)
    assert stored["version"] == stored["current"] > 0
    assert (stored["writer"], stored["unindexed_rows"]) == (None, 0)
    assert 0 < stored["bytes"] <= stored["local_bytes"]
    with Index.open(url, create=False, local_folder=tmp_path / "writer") as writer:
        assert writer.remote is not None
        with writer.remote.remote.lease.use():
            said = run("doctor", "--index", url).out
    assert f"process {os.getpid()} on " in said
    assert "has the lease; 0 rows outside the text index" in said
    local = run("index", tmp_path / "note.txt", "--index", tmp_path / "local")
    assert local.code == 0
    assert (
        run("doctor", "--index", tmp_path / "local", "--json").json["indexes"][0]["storage"]
        is None
    )


def test_places_of_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    for text, place in (
        ("s3://bucket/docs", "s3://bucket/docs"),
        ("docs", str(tmp_path / "docs")),
    ):
        file.write_text(f'[source]\nindex = "{text}"\n')
        assert Configuration.read(file).source == {"index": place}


def test_names_of_served_indexes(tmp_path: Path) -> None:
    places = parse_index_options(["a=s3://bucket/x", "gs://bucket/deep/docs/", f"b={tmp_path}"])
    assert places == {
        "a": "s3://bucket/x", "docs": "gs://bucket/deep/docs/", "b": tmp_path
    }  # fmt: skip
    for refused in (["s3://bucket"], ["s3://bucket/a.b"], ["s3://b/x", "gs://b/x"]):
        with pytest.raises(InputError):
            parse_index_options(refused)
