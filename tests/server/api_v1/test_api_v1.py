"""The own interface: indexes, documents, search and answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from secondpass.option_types import declared, offered
from secondpass.options import RerankOptions, SearchOptions
from secondpass.server.access.api_keys import KeyFile
from secondpass.server.settings import ServerSettings
from tests.server.conftest import Running, running

DOCUMENTS = [
    {"id": "sea", "text": "The river meets the sea.", "metadata": {"year": 2001}},
    {"id": "bread", "text": "Bread needs flour and water.", "title": "Bread"},
    {
        "id": "ship",
        "text": "A slow ship on the sea.",
        "metadata": {"year": 2020, "tags": ["x"]},
    },
]

# `version` needs an index that was written to several times.
OPTION_EXAMPLES: dict[str, Any] = {
    "group_by": "document",
    "group_size": 1,
    "hide": ["bread"],
    "boost": ["year >= 2000: +0.3", {"function": "log", "field": "year", "weight": 0.5}],
    "diversity": 0.3,
    "pin": ["ship"],
    "mode": "bm25",
    "candidates": 2,
    "filter": "year >= 2000",
    "fusion": "dbsf",
    "weights": [0.25, 0.75],
    "query_variants": ["ships"],
    "variant_scores": "max",
    "like": ["sea"],
    "unlike": ["bread"],
    "feedback": 1,
    "adaptive": True,
    "top_k": 1,
    "rerank": False,
    "blend": {"rerank": 0.5, "bm25": 1},
    "min_score": -99.5,
    "min_probability": 0.0,
    "fields": ["text"],
    "template": "{title}: {text}",
    "max_length": 24,
    "passages": "mean",
    "max_tokens_per_doc": 64,
    "max_query_tokens": 32,
    "budget_tokens": 5000,
    "truncate": False,
    "spans": {"threshold": 0.25, "max_results": 4},
    "instructions": "prefer recent documents",
    "on_unsupported": "ignore",
    "return_documents": False,
    "early_exit_at": 2,
    "cascade": False,
    "rescore": "bundled-tiny",
    "rescore_window": 2,
    "rescore_weight": 0.25,
    "budget_ms": 60_000,
    "on_failure": "fallback",
    "timeout": 30,
}


# The tiny model of these tests has no early scores, and is the only one that is served.
REFUSED = {"early_exit_at": 400, "rescore": 400}


def call(
    found: Running, method: str, path: str, body: Any = None, *, key: str = "", code: int = 200
) -> Any:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    response = httpx2.request(
        method, f"{found.url}/api/v1{path}", json=body, headers=headers, timeout=120
    )
    assert response.status_code == code, response.text
    assert response.headers["x-request-id"]
    return response.json()


def filled(found: Running, name: str = "docs", key: str = "") -> None:
    made = call(found, "POST", "/indexes", {"name": name}, key=key, code=201)
    assert made == {
        "name": name,
        "documents": 0,
        "passages": 0,
        "language": "english",
        "modes": ["hybrid", "bm25", "vector"],
        "fields": {},
        "writable": True,
    }
    stored = call(
        found, "POST", f"/indexes/{name}/documents", {"documents": DOCUMENTS}, key=key
    )
    assert stored == {"added": 3, "updated": 0, "unchanged": 0, "empty": 0, "passages": 3}


def test_an_index_from_making_to_removing(searchable: Running) -> None:
    filled(searchable)
    again = call(searchable, "POST", "/indexes/docs/documents", {"documents": DOCUMENTS})
    assert again["unchanged"] == 3
    (listed,) = call(searchable, "GET", "/indexes")["indexes"]
    assert (listed["name"], listed["documents"], listed["passages"]) == ("docs", 3, 3)
    assert "year" in listed["fields"]
    versions = call(searchable, "GET", "/indexes/docs/versions")["versions"]
    assert [v["number"] for v in versions] == sorted(v["number"] for v in versions)
    assert all(v["created"].endswith("Z") for v in versions)
    first = {"query": "the sea", "version": versions[0]["number"]}
    assert call(searchable, "POST", "/indexes/docs/search", first)["results"] == []
    body = {"query": "the sea", "mode": "bm25", "filter": "year > 2000"}
    found = call(searchable, "POST", "/indexes/docs/search", body)
    assert {r["id"] for r in found["results"]} == {"sea", "ship"}
    assert found["status"] == "reranked"
    assert found["results"][0]["first_stage"]["bm25"] > 0
    plain = call(searchable, "POST", "/indexes/docs/search", {**body, "rerank": False})
    assert plain["status"] == "skipped"
    ship = next(r for r in plain["results"] if r["id"] == "ship")
    assert ship["document"]["metadata"] == {"year": 2020, "tags": ["x"]}
    gone = call(searchable, "DELETE", "/indexes/docs/documents?id=sea&id=none")
    assert gone == {"deleted": 1}
    assert call(searchable, "GET", "/indexes/docs")["documents"] == 2
    assert call(searchable, "DELETE", "/indexes/docs")["documents"] == 2
    assert call(searchable, "GET", "/indexes/docs", code=404)["error"] == "not found"


def test_a_served_model_rescores(searchable: Running, model: str) -> None:
    filled(searchable)
    body = {"query": "the sea", "mode": "bm25", "rescore": model, "rescore_window": 2}
    found = call(searchable, "POST", "/indexes/docs/search", body)
    assert all("rescore" in r["parts"] for r in found["results"][:2])
    assert found["usage"]["pairs"] == 4


def test_an_answer_cites_what_was_found(searchable: Running) -> None:
    filled(searchable)
    body = {"query": "What does bread need?", "min_probability": None}
    found = call(searchable, "POST", "/indexes/docs/answer", body)
    assert found["status"] == "extractive"
    assert "[1]" in found["text"]
    assert {i for p in found["passages"] for i in p["ids"]} <= {"sea", "bread", "ship"}
    placed = {**body, "hide": ["bread"], "pin": ["ship"], "group_by": "document"}
    found = call(searchable, "POST", "/indexes/docs/answer", placed)
    assert found["passages"][0]["ids"] == ["ship"]
    assert "bread" not in {i for p in found["passages"] for i in p["ids"]}


def test_a_streamed_answer_is_the_whole_one_in_pieces(searchable: Running) -> None:
    filled(searchable)
    body = {"query": "What does bread need?", "min_probability": None}
    whole = call(searchable, "POST", "/indexes/docs/answer", body)
    path = f"{searchable.url}/api/v1/indexes/docs/answer"
    response = httpx2.post(path, json={**body, "stream": True}, timeout=30)
    assert response.headers["content-type"].startswith("text/event-stream")
    frames = [frame.split("\n") for frame in response.text.split("\n\n")[:-1]]
    names = [name.removeprefix("event: ") for name, _ in frames]
    assert names == ["passages", *["text"] * (len(names) - 2), "answer"]
    passages, *pieces, answer = (json.loads(text.removeprefix("data: ")) for _, text in frames)
    for volatile in ("id", "timings"):
        assert whole.pop(volatile)
        assert answer.pop(volatile)
    assert answer == whole
    assert "".join(piece["text"] for piece in pieces) == whole["text"]
    # Which of their sentences answer is known at the end.
    assert passages == [{**passage, "spans": []} for passage in whole["passages"]]
    # What fails before the first event has a status of its own.
    call(searchable, "POST", "/indexes/none/answer", {**body, "stream": True}, code=404)


def test_an_error_says_in_parts_what_failed_and_what_to_do(searchable: Running) -> None:
    filled(searchable)
    body = {"query": "sea", "filter": "yaer > 2000"}
    found = call(searchable, "POST", "/indexes/docs/search", body, code=400)
    assert found["why"] or found["fix"]
    assert found["message"].startswith(found["what"])
    assert found["what"] != found["message"]
    plain = call(searchable, "GET", "/indexes/none", code=404)
    assert plain["what"] == plain["message"]
    assert [plain[part] for part in ("where", "why", "fix")] == [None, None, None]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/indexes", {"name": "docs"}, 409),
        ("/indexes", {"name": "../x"}, 400),
        ("/indexes", {"name": ""}, 400),
        ("/indexes", {"name": "x", "language": "klingon"}, 400),
        ("/indexes", {"name": "x", "overlap": 500}, 400),
        ("/indexes", {"name": "x", "chunk_tokens": 10**12}, 400),
        ("/indexes", {"name": "x", "chunk_tokens": None, "overlap": 10**12}, 400),
        ("/indexes", {}, 400),
        ("/indexes", [], 400),
        ("/indexes", None, 400),
        ("/indexes/none/documents", {"documents": DOCUMENTS}, 404),
        ("/indexes/docs/documents", {"documents": []}, 400),
        ("/indexes/docs/documents", {"documents": [{"id": "a"}]}, 400),
        ("/indexes/docs/documents", {"documents": ["text"]}, 400),
        ("/indexes/docs/documents",
         {"documents": [{"text": "a", "metadata": {"year": "text"}}]}, 400),
        ("/indexes/docs/documents", {"documents": [{"text": "a", "id": "a" * 2001}]}, 400),
        ("/indexes/docs/search", {"query": "word " * 200_000}, 400),
        ("/indexes/docs/search", {"query": " "}, 400),
        ("/indexes/docs/search", {"query": "q", "top_k": 0}, 400),
        ("/indexes/docs/search", {"query": "q", "top_k": True}, 400),
        ("/indexes/docs/search", {"query": "q", "mode": "magic"}, 400),
        ("/indexes/docs/search", {"query": "q", "fusion": "magic"}, 400),
        ("/indexes/docs/search", {"query": "q", "filter": "nothing = 1"}, 400),
        ("/indexes/docs/search", {"query": "q", "filter": "1=1; drop table x"}, 400),
        ("/indexes/docs/search", {"query": "q", "rerank": 1}, 400),
        ("/indexes/docs/search", {"query": "q", "rescore": "org/unserved"}, 400),
        ("/indexes/docs/search", {"query": "q", "rescore_window": 1}, 400),
        ("/indexes/docs/search", {"query": "q", "weights": [1]}, 400),
        ("/indexes/docs/search", {"query": "q", "strange": 1}, 400),
        ("/indexes/docs/search", {"query": "q", "candidates": 100_000}, 400),
        ("/indexes/docs/answer", {"query": "q", "passages": 0}, 400),
    ],
)  # fmt: skip
def test_what_cannot_be_used_says_why(shared: Running, path: str, body: Any, code: int) -> None:
    found = call(shared, "POST", path, body, code=code)
    assert found["message"]
    assert found["error"] != "failed"
    assert call(shared, "GET", "/indexes/docs")["documents"] == 3


def test_a_query_of_a_megabyte_is_refused_before_it_is_searched_for(shared: Running) -> None:
    body = {"query": "word " * 200_000, "rerank": False, "mode": "bm25"}
    found = call(shared, "POST", "/indexes/docs/search", body, code=400)
    assert "at most 100,000" in found["message"]
    call(shared, "POST", "/indexes/docs/search", {**body, "query": "word " * 20_000})


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, model: str) -> Any:
    settings = ServerSettings(models=[model], data=tmp_path_factory.mktemp("data"))
    with running(settings) as found:
        filled(found)
        yield found


def test_scopes_and_tenants(tmp_path: Path, model: str) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    acme = keys.create("acme", ["search", "write"], tenant="acme")
    other = keys.create("other", ["admin"], tenant="umbrella")
    reads = keys.create("reads", ["search"], tenant="acme")
    settings = ServerSettings(
        models=[model], keys=tmp_path / "keys.json", data=tmp_path / "data"
    )
    search = {"query": "sea", "rerank": False}
    with running(settings) as found:
        filled(found, key=acme)
        assert call(found, "POST", "/indexes/docs/search", search, key=reads)["results"]
        for method, path, body in (
            ("POST", "/indexes", {"name": "more"}),
            ("POST", "/indexes/docs/documents", {"documents": DOCUMENTS}),
            ("DELETE", "/indexes/docs", None),
            ("DELETE", "/indexes/docs/documents?id=sea", None),
        ):
            assert call(found, method, path, body, key=reads, code=403)["error"] == "scope"
            call(found, method, path, body, code=401)
        call(found, "POST", "/rerank", {"query": "q", "documents": ["a"]}, key=reads, code=403)
        assert call(found, "GET", "/indexes", key=other) == {"indexes": []}
        for path, body in (
            ("/indexes/docs/search", search),
            ("/indexes/default:docs/search", search),
            ("/indexes/..:docs/search", search),
            ("/indexes/docs/answer", {"query": "sea"}),
            ("/indexes/docs/documents", {"documents": DOCUMENTS}),
        ):
            call(found, "POST", path, body, key=other, code=404)
        call(found, "DELETE", "/indexes/docs", key=other, code=404)
        filled(found, key=other)
        call(found, "DELETE", "/indexes/docs", key=other)
        assert call(found, "GET", "/indexes/docs", key=acme)["documents"] == 3


def test_odd_bodies(shared: Running) -> None:
    url = f"{shared.url}/api/v1/indexes/docs/search"
    for content in (b"\x1f\x8b\x08", b"\xff\xfe{}", b"{", b"[" * 5000, b"NaN", b""):
        for kind in ("application/json", "text/plain", "x/y", ""):
            headers = {"content-type": kind} if kind else {}
            response = httpx2.post(url, content=content, headers=headers)
            assert response.status_code == 400
            assert response.json()["message"]
    plain = httpx2.post(
        url, content=b'{"query": "sea"}', headers={"content-type": "text/plain"}
    )
    assert plain.json()["results"]
    lone = b'{"query": "sea \\ud800", "rerank": false, "mode": "bm25"}'
    assert "unicode" in httpx2.post(url, content=lone).json()["message"]
    model = b'{"query": "q", "documents": ["a"], "model": "\\ud800"}'
    response = httpx2.post(f"{shared.url}/v1/rerank", content=model)
    assert response.json()["model"] == "\ud800"


def test_without_indexes_it_says_what_to_start_it_with(model: str) -> None:
    with running(ServerSettings(models=[model])) as found:
        missing = call(found, "POST", "/indexes/docs/search", {"query": "q"}, code=404)
        assert "--index" in missing["message"]


def test_a_search_takes_every_option_that_the_library_declares(searchable: Running) -> None:
    filled(searchable)
    taken = offered(SearchOptions, "http")
    assert set(OPTION_EXAMPLES) == {name for name in taken if name != "version"}
    for name, value in OPTION_EXAMPLES.items():
        # No model here follows instructions.
        body = {"query": "the sea", "top_k": 3, "on_unsupported": "ignore", name: value}
        code = REFUSED.get(name, 200)
        found = call(searchable, "POST", "/indexes/docs/search", body, code=code)
        refused = ("does not support", "is not served")
        assert found.get("results") or any(r in found["message"] for r in refused), name
    refused: dict[str, Any] = {**{key: [[]] for key in OPTION_EXAMPLES}, "version": -1}
    for name, value in refused.items():
        body = {"query": "the sea", name: value}
        error = call(searchable, "POST", "/indexes/docs/search", body, code=400)
        assert name in error["message"]
    for name in set(declared(SearchOptions)) - set(taken):
        body = {"query": "the sea", name: True}
        error = call(searchable, "POST", "/indexes/docs/search", body, code=400)
        assert name in error["message"]
    (found,) = call(
        searchable,
        "POST",
        "/indexes/docs/search",
        {"query": "the sea", "top_k": 1, "spans": True},
    )["results"]
    assert found["document"]["text"][slice(*found["best_window"])]
    (span, *_) = found["spans"]
    assert set(span) == {"start", "end", "score", "probability"}
    body = {"query": "the sea", "spans": {"max_results": 1, "threshold": 0}}
    first, *others = call(searchable, "POST", "/indexes/docs/search", body)["results"]
    assert first["spans"]
    assert others
    assert not any(other["spans"] for other in others)
    few = {"query": "the sea", "budget_ms": 1e-6, "candidates": 3}
    assert call(searchable, "POST", "/indexes/docs/search", few)["status"] != "skipped"


def test_reranking_takes_every_option_that_the_library_declares(searchable: Running) -> None:
    documents = [{"text": "The sea.", "title": "Water"}, "Bread."]
    body = {"query": "the sea", "documents": documents, "on_unsupported": "ignore"}
    examples = {k: v for k, v in OPTION_EXAMPLES.items() if k in declared(RerankOptions)}
    assert set(examples) == set(offered(RerankOptions, "http"))
    for name, value in examples.items():
        code = REFUSED.get(name, 200)
        found = call(searchable, "POST", "/rerank", {**body, name: value}, code=code)
        refused = ("does not support", "is not served")
        assert found.get("results") or any(r in found["message"] for r in refused), name
        error = call(searchable, "POST", "/rerank", {**body, name: [[]]}, code=400)
        assert name in error["message"]
    plain = call(searchable, "POST", "/rerank", {**body, "model": None})["results"]
    assert [r["document"] for r in plain] == [None, None]
    high = call(searchable, "POST", "/rerank", {**body, "min_score": 99.0})
    assert high["results"] == []


def test_early_exit_returns_all_and_says_what_was_not_read() -> None:
    texts = [*(f"On page {n} there is nothing of it." for n in range(30)), "The sea is blue."]
    body = {"query": "what color has the sea?", "documents": texts, "early_exit_at": 2}
    with running(ServerSettings()) as found:
        response = call(found, "POST", "/rerank", body)
    first, *others = response["results"]
    assert (first["index"], len(others)) == (30, 30)
    scored = [r["scored"] for r in response["results"]]
    assert 2 <= sum(scored) < len(texts)
    assert scored == sorted(scored, reverse=True)
    assert response["status"] == "partially_reranked"
    assert f"{sum(scored)} of {len(texts)} texts" in response["reason"]
