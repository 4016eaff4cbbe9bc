"""What the server says of itself, files that are uploaded, and explanations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from secondpass.option_types import offered
from secondpass.options import RerankOptions, SearchOptions
from secondpass.server.access.api_keys import KeyFile
from secondpass.server.settings import ServerSettings
from tests.server.api_v1.test_api_v1 import OPTION_EXAMPLES, call, filled
from tests.server.conftest import Running, keyed, running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, model: str) -> Any:
    settings = ServerSettings(models=[model], data=tmp_path_factory.mktemp("data"))
    with running(settings) as found:
        filled(found)
        yield found


def test_every_option_has_what_a_control_needs(shared: Running, model: str) -> None:
    found = call(shared, "GET", "/capabilities")
    for key, options in (("search_options", SearchOptions), ("rerank_options", RerankOptions)):
        declared = offered(options, "http")
        assert [o["name"] for o in found[key]] == list(declared)
        for option in found[key]:
            assert option["help"] == declared[option["name"]].help
            assert option["schema"]
            assert declared[option["name"]].problem(option["default"]) is None
    groups = {o["name"]: o["group"] for o in found["search_options"]}
    expected = {
        "mode": "first_stage",
        "group_by": "grouping",
        "blend": "reranking",
        "top_k": "reranking",
        "spans": "reading",
        "boost": "boosts",
        "cascade": "policies",
        "feedback": "expansion",
    }
    assert {name: groups[name] for name in expected} == expected
    assert groups.keys() == OPTION_EXAMPLES.keys() | {"version"}


def test_what_a_server_without_keys_has(shared: Running, model: str) -> None:
    found = call(shared, "GET", "/capabilities")
    assert found["key_required"] is False
    assert found["scopes"] == ["rerank", "search", "write", "admin"]
    assert [(m["name"], m["default"]) for m in found["models"]] == [(model, True)]
    assert found["models"][0]["gives_spans"] is True
    assert found["can_create_indexes"] is True
    assert found["llm"] is None
    assert found["default_index"] == "docs"
    assert {"english", "german", "none"} <= set(found["languages"])
    assert {".md", ".txt", ".pdf"} <= set(found["file_types"])
    assert found["limits"]["max_documents"] == 10_000


def test_what_a_key_may_do(tmp_path: Path, model: str) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    reads = keys.create("reads", ["search"], max_documents=7, max_body=1000)
    with running(keyed(tmp_path, model)) as found:
        about = call(found, "GET", "/capabilities", key=reads)
        call(found, "GET", "/capabilities", code=401)
    assert about["key_required"] is True
    assert about["scopes"] == ["search"]
    assert about["can_create_indexes"] is False
    assert about["default_index"] is None
    assert about["limits"]["max_documents"] == 7
    assert about["limits"]["max_body"] == 1000


def upload(
    found: Running, name: str, content: bytes, code: int = 200, index: str = "docs"
) -> Any:
    response = httpx2.post(
        f"{found.url}/api/v1/indexes/{index}/files",
        params={"filename": name},
        content=content,
        headers={"content-type": "application/octet-stream"},
        timeout=60,
    )
    assert response.status_code == code, response.text
    return response.json()


def test_a_file_is_indexed_under_its_name(searchable: Running) -> None:
    filled(searchable)
    stored = upload(searchable, "harbor notes.md", "# Harbor\n\nThe füll harbor.".encode())
    assert (stored["documents"], stored["added"], stored["skipped_rows"]) == (1, 1, 0)
    again = upload(
        searchable, "some/folder/harbor notes.md", "# Harbor\n\nThe füll harbor.".encode()
    )
    assert (again["added"], again["unchanged"]) == (0, 1)
    body = {"query": "harbor", "mode": "bm25", "rerank": False}
    (result,) = call(searchable, "POST", "/indexes/docs/search", body)["results"]
    assert (result["id"], result["document"]["title"]) == ("harbor notes.md", "Harbor")


def test_rows_have_their_own_ids_and_bad_ones_are_named(searchable: Running) -> None:
    filled(searchable)
    rows = b'{"id": "one", "text": "a lighthouse"}\n{"text": "a lighthouse too"}\nno json\n'
    stored = upload(searchable, "rows.jsonl", rows)
    assert (stored["added"], stored["skipped_rows"]) == (2, 1)
    assert "rows.jsonl, line 3" in stored["skipped"][0]
    assert "/" not in stored["skipped"][0]
    body = {"query": "lighthouse", "mode": "bm25", "rerank": False}
    found = call(searchable, "POST", "/indexes/docs/search", body)["results"]
    assert {r["id"] for r in found} == {"one", "rows.jsonl:2"}


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("setup.exe", b"MZ", "'.exe' are not read"),
        ("README", b"text", "without a suffix"),
        ("..", b"text", "not the name of a file"),
        ("a\n.md", b"text", "not the name of a file"),
        ("scan.pdf", b"no pdf", "scan.pdf"),
        ("bad.txt", b"\xff\xfe\x00\xd8", "bad.txt"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(
    shared: Running, name: str, content: bytes, told: str
) -> None:
    found = upload(shared, name, content, code=400)
    assert told in found["message"]
    assert "secondpass-file-" not in found["message"]
    assert call(shared, "GET", "/indexes/docs")["documents"] == 3


def test_a_file_needs_the_scope_its_index_and_room(tmp_path: Path, model: str) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    reads, writes = keys.create("reads", ["search"]), keys.create("writes", ["write", "search"])
    settings = keyed(tmp_path, model, data=tmp_path / "data", max_body=2000)
    with running(settings) as found:
        filled(found, key=writes)
        for key, index, size, code in (
            (reads, "docs", 1, 403),
            (writes, "none", 1, 404),
            (writes, "docs", 3000, 413),
            (writes, "docs", 100, 200),
        ):
            response = httpx2.post(
                f"{found.url}/api/v1/indexes/{index}/files?filename=a.txt",
                content=b"a" * size,
                headers={"authorization": f"Bearer {key}"},
                timeout=30,
            )
            assert response.status_code == code, response.text


def test_a_result_is_explained_with_what_would_change_it(shared: Running) -> None:
    body: dict[str, Any] = {"query": "the sea", "document": "sea", "depths": [1, 3]}
    found = call(shared, "POST", "/indexes/docs/explain", body)
    searched = call(shared, "POST", "/indexes/docs/search", {"query": "the sea"})
    rank = next(r["rank"] for r in searched["results"] if r["id"] == "sea")
    assert found["places"]["final"] == rank
    assert found["document"]["text"] == "The river meets the sea."
    assert found["found"] is True
    assert sum(t["score"] for t in found["terms"]) == pytest.approx(found["bm25"])
    assert sum(found["parts"].values()) == pytest.approx(found["final_score"])
    assert {m["text"] for m in found["matches"]} == {"sea"}
    titled = {"query": "bread and water", "document": "bread"}
    changes = call(shared, "POST", "/indexes/docs/explain", titled)["counterfactuals"]
    assert any("title" in change["change"] for change in changes)
    at_depth = {d["candidates"]: d["rank"] for d in found["depths"]}
    assert at_depth.keys() == {1, 3}
    assert at_depth[3] == rank
    search = {"query": "the sea", "candidates": 1}
    (only,) = call(shared, "POST", "/indexes/docs/search", search)["results"]
    assert at_depth[1] == (1 if only["id"] == "sea" else None)


def test_a_second_reading_is_explained_as_the_search_adds_it(
    shared: Running, model: str
) -> None:
    again = {"query": "the sea", "rescore": model, "rescore_window": 2}
    body = {**again, "document": "sea", "depths": [3]}
    found = call(shared, "POST", "/indexes/docs/explain", body)
    results = call(shared, "POST", "/indexes/docs/search", again)["results"]
    (searched,) = (r for r in results if r["id"] == "sea")
    assert found["parts"] == pytest.approx(searched["parts"], abs=1e-3)
    assert found["parts"]["rescore"] >= 0
    assert found["rescorer"]
    assert found["depths"] == [{"candidates": 3, "rank": searched["rank"]}]


def test_a_depth_at_which_a_search_is_an_error_is_noted(shared: Running) -> None:
    body = {"query": "bread", "document": "bread", "fields": ["title", "text"]}
    for document in ("bread", "sea"):
        # Of the two documents that come first, one has a title and one has none.
        search = {"query": f"the {document}", "candidates": 1, "fields": ["title", "text"]}
        failed = httpx2.post(
            f"{shared.url}/api/v1/indexes/docs/search", json=search, timeout=120
        ).is_error
        asked = {**body, "query": f"the {document}", "depths": [1]}
        found = call(shared, "POST", "/indexes/docs/explain", asked)
        noted = any("At depth 1" in note for note in found["notes"])
        assert noted is failed
        assert found["depths"][0]["rank"] is None or not failed


def test_the_score_of_a_text_is_explained_without_an_index(shared: Running) -> None:
    text = "A slow ship. The river meets the sea."
    for document in (text, {"text": text, "id": "own", "title": "Ships"}):
        found = call(shared, "POST", "/explain", {"query": "the sea", "document": document})
        assert found["document"]["text"] == text
        assert (found["places"], found["found"], found["depths"]) == (None, None, [])
        assert {span["where"] for span in found["spans"]} >= {"query", "text"}


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/indexes/docs/explain", {"query": "sea", "document": "none"}, 400),
        ("/indexes/none/explain", {"query": "sea", "document": "sea"}, 404),
        ("/indexes/docs/explain", {"query": " ", "document": "sea"}, 400),
        ("/indexes/docs/explain", {"query": "sea"}, 400),
        ("/indexes/docs/explain", {"query": "q", "document": "sea", "rescore": "other"}, 400),
        ("/indexes/docs/explain", {"query": "sea", "document": "sea", "mode": "magic"}, 400),
        (
            "/indexes/docs/explain",
            {"query": "sea", "document": "sea", "candidates": 10**6},
            400,
        ),
        ("/indexes/docs/explain", {"query": "sea", "document": "sea", "depths": [10**6]}, 400),
        ("/indexes/docs/explain", {"query": "sea", "document": "sea", "depths": [1] * 6}, 400),
        ("/indexes/docs/explain", {"query": "sea", "document": "sea", "top_k": 3}, 400),
        ("/explain", {"query": "sea", "document": ""}, 400),
        ("/explain", {"query": "sea", "document": {"title": "no text"}}, 400),
        ("/explain", {"query": "sea", "document": "a", "fields": ["text", "none"]}, 400),
    ],
)
def test_what_cannot_be_explained_says_why(
    shared: Running, path: str, body: Any, code: int
) -> None:
    found = call(shared, "POST", path, body, code=code)
    assert found["message"]
    assert found["error"] != "failed"
