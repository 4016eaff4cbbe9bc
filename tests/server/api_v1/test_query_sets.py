"""Query sets, judgments and comparisons over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from secondpass.server.access.api_keys import KeyFile
from secondpass.server.settings import ServerSettings
from tests.server.api_v1.test_api_v1 import call, filled
from tests.server.conftest import Running, keyed, running

SETS = "/indexes/docs/query-sets"
QUERIES = {
    "queries": [{"id": "a", "text": "the sea"}, {"text": "bread"}],
    "grades": {"a": {"sea": 3, "ship": 1}, "q2": {"bread": 2}},
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, model: str) -> Any:
    settings = ServerSettings(models=[model], data=tmp_path_factory.mktemp("data"))
    with running(settings) as found:
        filled(found)
        call(found, "PUT", f"{SETS}/mine", QUERIES)
        yield found


def events(found: Running, name: str, body: Any) -> list[tuple[str, Any]]:
    path = f"{found.url}/api/v1{SETS}/{name}/comparison"
    response = httpx2.post(path, json=body, timeout=60)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    frames = [frame.split("\n", 1) for frame in response.text.split("\n\n")[:-1]]
    return [
        (name.removeprefix("event: "), json.loads(text.removeprefix("data: ")))
        for name, text in frames
    ]


def test_a_set_is_stored_read_and_deleted(searchable: Running) -> None:
    filled(searchable)
    listed = call(searchable, "GET", SETS)["query_sets"]
    assert listed == [{"name": "judged", "queries": 0, "judgments": 0, "writable": True}]
    about = {"name": "mine", "queries": 2, "judgments": 3, "writable": True}
    assert call(searchable, "PUT", f"{SETS}/mine", QUERIES) == about
    assert call(searchable, "GET", SETS)["query_sets"] == [*listed, about]
    assert call(searchable, "GET", f"{SETS}/mine") == {
        "name": "mine",
        "queries": [{"id": "a", "text": "the sea"}, {"id": "q2", "text": "bread"}],
        "grades": QUERIES["grades"],
        "writable": True,
    }
    assert call(searchable, "DELETE", f"{SETS}/mine") == about
    call(searchable, "GET", f"{SETS}/mine", code=404)
    call(searchable, "DELETE", f"{SETS}/mine", code=404)


def test_judgments_survive_the_server(tmp_path: Path, model: str) -> None:
    settings = ServerSettings(models=[model], data=tmp_path / "data")
    judged = {"query": "the sea", "grades": {"sea": 3, "ship": 0, "bread": 1}}
    with running(settings) as found:
        filled(found)
        assert call(found, "POST", f"{SETS}/judged/judgments", judged) == {
            "id": "q1",
            "text": "the sea",
            "grades": judged["grades"],
        }
    with running(settings) as found:
        again = {"query": "the sea", "grades": {"bread": None, "ship": 2}}
        changed = call(found, "POST", f"{SETS}/judged/judgments", again)
        assert changed["grades"] == {"sea": 3, "ship": 2}
        qrels = httpx2.get(f"{found.url}/api/v1{SETS}/judged/qrels", timeout=30)
        assert qrels.text == "q1 0 sea 3\nq1 0 ship 2\n"
        assert qrels.headers["content-type"] == "text/plain; charset=utf-8"
        assert qrels.headers["content-disposition"] == 'attachment; filename="judged.qrels"'
        queries = httpx2.get(f"{found.url}/api/v1{SETS}/judged/queries", timeout=30)
        assert json.loads(queries.text) == {"_id": "q1", "text": "the sea"}


def test_ids_with_spaces_are_judged_too_and_saved_as_json_lines(searchable: Running) -> None:
    filled(searchable)
    body = {"query": "the sea", "grades": {"my file.md": 1}}
    call(searchable, "POST", f"{SETS}/judged/judgments", body)
    refused = call(searchable, "GET", f"{SETS}/judged/qrels", code=400)
    assert "jsonl" in refused["message"]
    url = f"{searchable.url}/api/v1{SETS}/judged/qrels?format=jsonl"
    row = {"query_id": "q1", "doc_id": "my file.md", "grade": 1}
    assert json.loads(httpx2.get(url, timeout=30).text) == row


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", "/indexes/none/query-sets", None, 404),
        ("GET", f"{SETS}/none", None, 404),
        ("GET", f"{SETS}/none/qrels", None, 404),
        ("GET", f"{SETS}/mine/qrels?format=csv", None, 400),
        ("PUT", f"{SETS}/a.b", QUERIES, 400),
        ("PUT", f"{SETS}/b", {"queries": [{"text": ""}]}, 400),
        ("PUT", f"{SETS}/b", {"queries": [{"text": "x", "id": "q2"}, {"text": "y"}]}, 400),
        ("PUT", f"{SETS}/b", {"queries": [], "grades": {"q1": {"a": 1}}}, 400),
        ("POST", f"{SETS}/none/judgments", {"query": "x", "grades": {"a": 1}}, 404),
        ("POST", f"{SETS}/judged/judgments", {"query": "x", "grades": {}}, 400),
        ("POST", f"{SETS}/judged/judgments", {"query": "x", "grades": {"a": 4}}, 400),
        ("POST", f"{SETS}/judged/judgments", {"query": "x", "grades": {"a": 1.5}}, 400),
        ("POST", f"{SETS}/judged/judgments", {"query": " ", "grades": {"a": 1}}, 400),
        ("POST", f"{SETS}/none/comparison", {"before": {}, "after": {}}, 404),
        ("POST", f"{SETS}/judged/comparison", {"before": {}, "after": {}}, 400),
        ("POST", f"{SETS}/mine/comparison", {"before": {}}, 400),
        ("POST", f"{SETS}/mine/comparison", {"before": {"top_k": 3}, "after": {}}, 400),
        ("POST", f"{SETS}/mine/comparison", {"before": {}, "after": {"mode": "x"}}, 400),
        ("POST", f"{SETS}/mine/comparison", {"before": {}, "after": {}, "limit": 0}, 400),
        ("POST", f"{SETS}/mine/comparison",
         {"before": {}, "after": {}, "measure": "nDCGG"}, 400),
        ("POST", f"{SETS}/mine/comparison",
         {"before": {"rerank": False, "min_probability": 0.5}, "after": {}}, 400),
        ("POST", f"{SETS}/mine/comparison",
         {"before": {}, "after": {"candidates": 10**6}}, 400),
    ],
)  # fmt: skip
def test_what_cannot_be_done_says_why(
    shared: Running, method: str, path: str, body: Any, code: int
) -> None:
    if "min_probability" in json.dumps(body):
        # Found by the first search: the stream has begun by then.
        _, error = events(shared, "mine", body)[-1]
        assert "second pass" in error["message"]
        return
    found = call(shared, method, path, body, code=code)
    assert found["message"]
    assert found["error"] != "failed"
    assert call(shared, "GET", f"{SETS}/mine")["grades"] == QUERIES["grades"]


def test_two_configurations_are_compared_query_by_query(shared: Running) -> None:
    before = {"rerank": False, "mode": "bm25"}
    found = events(shared, "mine", {"before": before, "after": {}, "measure": "RR@10"})
    assert [name for name, _ in found] == ["start", "query", "query", "result"]
    start, first, second, result = (content for _, content in found)
    assert (start["queries"], start["measure"], start["notes"]) == (2, "RR@10", [])
    assert [q["id"] for q in (first, second)] == ["a", "q2"]
    assert [q["done"] for q in (first, second)] == [1, 2]
    for query in (first, second):
        assert query["change"] == pytest.approx(query["after"] - query["before"])
        searched = call(shared, "POST", "/indexes/docs/search", {"query": query["text"]})
        grades = QUERIES["grades"][query["id"]]  # type: ignore[index]
        ranks = [r["rank"] for r in searched["results"] if grades.get(r["document_id"])]
        assert query["after"] == pytest.approx(1 / min(ranks))
    assert result["before"] == pytest.approx((first["before"] + second["before"]) / 2)
    assert result["effect"]["won"] + result["effect"]["tied"] + result["effect"]["lost"] == 2
    assert result["verdict"] == "undecided"
    assert "too few" in result["sentence"]


def test_a_limit_takes_the_first_queries(shared: Running) -> None:
    found = events(shared, "mine", {"before": {"rerank": False}, "after": {}, "limit": 1})
    assert [content["queries"] for name, content in found if name != "query"] == [1, 1]


def test_who_closes_the_connection_ends_the_comparison(shared: Running) -> None:
    many = [{"text": f"the sea {n}"} for n in range(200)]
    grades = {f"q{n + 1}": {"sea": 1} for n in range(200)}
    call(shared, "PUT", f"{SETS}/many", {"queries": many, "grades": grades})
    path = f"{shared.url}/api/v1{SETS}/many/comparison"
    with httpx2.stream("POST", path, json={"before": {}, "after": {}}, timeout=60) as response:
        next(response.iter_lines())
    # The thread is free again long before 400 searches could have ended.
    for _ in range(200):
        if shared.state.active_requests == 0:
            break
        call(shared, "GET", "/indexes")
    assert shared.state.active_requests == 0


def test_reading_judging_and_tenants(tmp_path: Path, model: str) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    reads = keys.create("reads", ["search"])
    writes = keys.create("writes", ["search", "write"])
    other = keys.create("other", ["admin"], tenant="umbrella")
    judged = {"query": "the sea", "grades": {"sea": 1}}
    with running(keyed(tmp_path, model, data=tmp_path / "data")) as found:
        filled(found, key=writes)
        call(found, "POST", f"{SETS}/judged/judgments", judged, key=reads, code=403)
        call(found, "PUT", f"{SETS}/mine", QUERIES, key=reads, code=403)
        call(found, "POST", f"{SETS}/judged/judgments", judged, key=other, code=404)
        call(found, "POST", f"{SETS}/judged/judgments", judged, key=writes)
        read = call(found, "GET", f"{SETS}/judged", key=reads)
        assert (read["grades"], read["writable"]) == ({"q1": {"sea": 1}}, False)
        call(found, "GET", f"{SETS}/judged", key=other, code=404)
        call(found, "GET", f"{SETS}/judged", code=401)
