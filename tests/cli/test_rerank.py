from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

QUERY = "How do I change my password?"
LINES = "The sea is blue.\nTo change the password, open the settings.\n\nBread needs flour.\n"


def test_lines_from_standard_input(run: Run) -> None:
    ran = run("rerank", QUERY, "--top-k", "1", stdin=LINES.encode())
    assert ran.code == 0
    assert "open the settings" in ran.out
    assert "sea" not in ran.out
    assert "rerank" in ran.err
    assert "ms" in ran.err


def test_json_has_the_promised_shape(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_text(LINES)
    ran = run("rerank", QUERY, file, "--json")
    assert ran.code == 0
    found = ran.json
    assert found["query"] == QUERY
    assert found["model"] == "bundled"
    assert found["status"] == "reranked"
    assert [r["rank"] for r in found["results"]] == [1, 2, 3]
    best = found["results"][0]
    assert best["index"] == 1
    assert best["first_stage"] == {"rank": 2, "score": None, "bm25": None, "vector": None}
    assert 0 <= best["probability"] <= 1
    assert best["truncated"] is False
    assert best["text"].startswith("To change")
    assert best["metadata"] == {}
    assert found["timings"]["total"] > 0
    assert found["usage"]["documents"] == 3


def test_jsonl_keeps_ids_and_reads_fields(run: Run, tmp_path: Path) -> None:
    rows = [
        {"id": 7, "body": "Open the settings to change the password.", "lang": "en"},
        {"id": 8, "body": "The sea is blue.", "lang": "en"},
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(r) for r in rows))
    ran = run("rerank", QUERY, file, "--fields", "lang, body", "--json")
    assert [r["id"] for r in ran.json["results"]] == ["7", "8"]
    assert ran.json["results"][0]["metadata"]["lang"] == "en"
    assert run("rerank", QUERY, file).code == 2


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "message"),
    [
        (["rerank", QUERY, "absent.txt"], b"", 1, "absent.txt"),
        (["rerank", QUERY, "--top-k", "0"], b"a\n", 2, "top_k must be at least 1"),
        (["rerank", QUERY, "--top-k", "many"], b"a\n", 2, "many"),
        (["rerank", "", "-"], b"a\n", 2, "empty"),
        (["rerank", QUERY], b"\xff\xfe\x00", 1, "not valid UTF-16"),
        (["rerank", QUERY], b'{"text": "a"}\n{"text"\n', 2, "-:2"),
        (["rerank", QUERY], b'{"text": "a"}\n[1]\n', 2, "not a JSON object"),
        (["rerank", QUERY], b'{"body": "a"}\n', 2, "has no 'text'"),
        (["rerank", QUERY, "--model", "bundeld"], b"a\n", 1, "Did you mean 'bundled'"),
        (["rerank", QUERY, "--model", "./absent"], b"a\n", 1, "no model folder"),
        (["rerank", QUERY, "--model", "a/b@"], b"a\n", 2, "no revision after"),
        (["rerank", QUERY, "--passages", "best"], b"a\n", 2, "passage aggregation"),
        (["rerank"], b"", 2, "Missing argument"),
        (["rerunk"], b"", 2, "No such command"),
    ],
)
def test_errors(run: Run, arguments: list[str], stdin: bytes, code: int, message: str) -> None:
    ran = run(*arguments, stdin=stdin)
    assert ran.code == code
    assert message in ran.err
    assert ran.out == ""


def test_errors_as_json(run: Run) -> None:
    ran = run("rerank", QUERY, "--top-k", "0", "--json", stdin=b"a\n")
    assert ran.code == 2
    assert json.loads(ran.err)["error"]["type"] == "InputError"


def test_no_documents_is_no_failure(run: Run) -> None:
    ran = run("rerank", QUERY, "--json", stdin=b"\n")
    assert ran.code == 0
    assert ran.json["status"] == "skipped"
    assert ran.json["results"] == []


def test_rows_of_a_table(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(
        "sep=;\nid;text;note\nx;Soup is hot.;a key\ny;The key is here.;soup\n", "utf-16"
    )
    found = run("rerank", "where is the key", file, "--json").json["results"]
    assert [r["id"] for r in found] == ["y", "x"]
    found = run("rerank", "where is the key", file, "--fields", "note", "--json").json[
        "results"
    ]
    assert [r["id"] for r in found] == ["x", "y"]


@pytest.mark.parametrize("name", ["page.html", "file.PDF", "letter.docx"])
def test_a_file_that_is_no_list_of_documents(run: Run, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"<p>one</p>\n<p>two</p>\n")
    ran = run("rerank", "x", file)
    assert ran.code == 2
    assert "one document" in ran.err
    assert "secondpass index" in ran.err
