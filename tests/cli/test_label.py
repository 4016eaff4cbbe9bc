"""The commands that make judgements and use them, as people run them."""

from __future__ import annotations

import errno
import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from secondpass.evaluate.qrels import read_qrels
from tests.cli.conftest import SAMPLE, Run


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    file = tmp_path / "queries.tsv"
    file.write_text("a\tWhen did the oil crisis begin?\nb\tWho proclaimed an embargo?\n")
    return file


def command(index: Path, queries: Path, out: Path) -> list[str]:
    options = ["--index", index, "--queries", queries, "--out", out, "--depth", 3]
    systems = ["--systems", "bm25,vector"]
    return [sys.executable, "-m", "secondpass", "label", *map(str, options), *systems]


def rows_of(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (SAMPLE / name).read_text("utf-8").splitlines()]


def read_until(terminal: int, wanted: str, seconds: float = 120) -> str:
    shown = b""
    while wanted.encode() not in shown:
        ready, _, _ = select.select([terminal], [], [], seconds)
        assert ready, f"never shown: {wanted!r} in {shown[-500:]!r}"
        shown += os.read(terminal, 4096)
    return shown.decode("utf-8", "replace")


def test_keys_in_a_real_terminal_and_ctrl_c(
    sample_index: Path, queries: Path, tmp_path: Path
) -> None:
    out = tmp_path / "qrels.tsv"
    here, there = pty.openpty()
    process = subprocess.Popen(
        command(sample_index, queries, out),
        stdin=there,
        stdout=there,
        stderr=there,
        # Started in the background, the tests ignore it, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(there)
    try:
        shown = read_until(here, "q quit")
        assert "query 1 of 2, passage 1 of" in shown
        assert "score" not in shown
        os.write(here, b"3")
        read_until(here, "1 judged")
        assert len(read_qrels(out).grades["a"]) == 1
        os.write(here, b"0")
        read_until(here, "2 judged")
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(120) != 0
    finally:
        process.kill()
        process.wait()
        os.close(here)
    assert sorted(read_qrels(out).grades["a"].values()) == [0, 3]


def test_keys_from_a_pipe_go_on_with_the_file(
    run: Run, sample_index: Path, queries: Path, tmp_path: Path
) -> None:
    out = tmp_path / "qrels.tsv"
    arguments = command(sample_index, queries, out)[3:]
    first = run(*arguments, "--json", stdin=b"3q")
    assert first.json == {
        "path": str(out),
        "judged": 1,
        "skipped": 0,
        "total": 1,
        "agreement": None,
    }
    other = tmp_path / "other.tsv"
    other.write_text(out.read_text())
    second = run(*arguments, "--json", "--compare", other, stdin=b"0" * 40)
    assert second.json["total"] == sum(map(len, read_qrels(out).grades.values())) > 1
    assert second.json["agreement"]["pairs"] == 1
    assert "passage" in second.err
    third = run(*arguments, stdin=b"3")
    assert "0 judged now" in third.out


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--systems", "bm26"], 2, "Did you mean 'bm25'"),
        (["--systems", ","], 2, "no systems"),
        (["--judge", "http://127.0.0.1:9"], 2, "needs both"),
        (["--compare", "nowhere.tsv"], 1, "cannot be read"),
    ],
)
def test_bad_options(
    run: Run,
    sample_index: Path,
    queries: Path,
    tmp_path: Path,
    options: list[str],
    code: int,
    message: str,
) -> None:
    arguments = command(sample_index, queries, tmp_path / "qrels.tsv")[3:]
    ran = run(*arguments, *options)
    assert ran.code == code
    assert message in ran.err
    assert not (tmp_path / "qrels.tsv").exists()


def test_queries_from_a_log_and_from_documents(
    run: Run, sample_index: Path, tmp_path: Path
) -> None:
    log, out = tmp_path / "log.txt", tmp_path / "queries.jsonl"
    log.write_text("oil crisis\t9\noil embargo\t2\nopec\n")
    ran = run("sample-queries", log, "--out", out, "--count", 2, "--json")
    assert ran.json["queries"][0] == {
        "_id": "q1",
        "text": "oil crisis",
        "count": 9,
        "stratum": "head",
    }
    assert run("sample-queries", log, "--out", out).code == 2
    assert "only 3" in run("sample-queries", log, "--out", out, "--force").err
    made = run("sample-queries", "--index", sample_index, "--out", out, "--force")
    assert "any system finds their sources" in made.err
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert len({row["text"] for row in rows}) == 50
    assert run("sample-queries").code == 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_queries_that_cannot_be_written(
    number: int, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, "in the words of the system")

    log, out = tmp_path / "log.txt", tmp_path / "queries.jsonl"
    log.write_text("oil crisis\t9\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        ran = run("sample-queries", log, "--out", out)
    assert ran.code == 1
    assert ran.err.startswith(f"Error: a file cannot be used ({out}): the ")
    assert len(ran.err.splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["log.txt"]


def test_calibrate_then_search_with_a_threshold(
    run: Run, sample_index: Path, tmp_path: Path
) -> None:
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "calibration.json"
    found = {row["_id"]: row for row in rows_of("corpus.jsonl")}
    asked = {row["_id"]: row["text"] for row in rows_of("queries.jsonl")}
    qrels = [
        r.split("\t") for r in (SAMPLE / "qrels" / "test.tsv").read_text().splitlines()[1:]
    ]
    rows = []
    for i, (query, name, _) in enumerate(qrels[:30]):
        for j, label in ((i, 1), (i + 7, 0), (i + 11, 0), (i + 13, 0)):
            text = found[qrels[j][1]]["text"][:300] if label == 0 else found[name]["text"][:300]
            rows.append({"query": asked[query], "text": text, "label": label})
    pairs.write_text("\n".join(map(json.dumps, rows)))
    made = run("calibrate", pairs, "--out", out, "--json").json["calibration"]
    assert made["method"] == "platt"
    assert made["about"]["queries"] == 30
    assert made["about"]["after"]["bins"]

    search = ("search", "--index", sample_index, "--candidates", 5, "--calibration", out)
    kept = run(
        *search, "When did the oil crisis begin?", "--min-probability", 0.3, "--json"
    ).json
    assert kept["results"][0]["id"] == "1973-oil-crisis-01"
    none = run(*search, "How to bake bread?", "--min-probability", 0.9)
    assert none.code == 0
    assert "no good answer" in none.err
    other = run("rerank", "x", "--model", "bundled-tiny", "--calibration", out, stdin=b"y")
    assert other.code == 2
    assert "of another model" in other.err

    few = tmp_path / "few.jsonl"
    few.write_text("\n".join(map(json.dumps, rows[:8])))
    ran = run("calibrate", few, "--out", out)
    assert ran.code == 2
    assert "are needed for platt" in ran.err
    assert run("calibrate").code == 2


def test_explanations_of_a_result(run: Run, sample_index: Path, tmp_path: Path) -> None:
    query, page = "When did the oil crisis begin?", tmp_path / "why.html"
    arguments = ("explain", query, "1973-oil-crisis-01", "--index", sample_index)
    ran = run(*arguments, "--candidates", 5, "--json", "--html", page)
    assert ran.json["places"]["final"] == 1
    assert query in page.read_text("utf-8")
    alone = run("explain", query, "The oil crisis began in October 1973. Prices rose. It hurt.")
    assert "What matters to the reranker" in alone.out
    assert run("explain", query, "nowhere", "--index", sample_index).code == 2
    assert run("explain", query, "-", stdin=b" ").code == 2
    by_field = run(*arguments, "--candidates", 5, "--fields", "title,text")
    assert " without its title" in by_field.out
    again = run(*arguments, "--candidates", 5, "--rescore", "bundled-tiny")
    assert "rescored by bundled-tiny" in again.out
    refused = run("explain", query, "The oil crisis.", "--rescore", "bundled-tiny")
    assert (refused.code, "Add --index or --over." in refused.err) == (2, True)
    assert " without its text" in by_field.out
    unknown = run(*arguments, "--candidates", 5, "--fields", "titel,text")
    assert unknown.code == 2
    assert "Did you mean 'title'" in unknown.err
    shown = run("search", query, "--index", sample_index, "--explain", "--candidates", 5)
    assert "bm25 is the sum of" in shown.out
    found = run(
        "search", query, "--index", sample_index, "--explain", "--candidates", 5, "--json"
    ).json["results"][0]
    total = sum(term["score"] for term in found["terms"])
    assert total == pytest.approx(found["first_stage"]["bm25"], rel=1e-4)
