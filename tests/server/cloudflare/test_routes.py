"""Every path with valid and invalid requests: an error of this API, never a 500."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secondpass.server.settings import ServerSettings
from tests.server.cloudflare.conftest import ACCOUNT, FRANCE, put
from tests.server.conftest import Running, running

ONE = "/ai-search/namespaces/default/instances/http"
BODIES = [
    ("POST", "/ai-search/namespaces"),
    ("PUT", "/ai-search/namespaces/default"),
    ("POST", "/ai-search/namespaces/default/search"),
    ("POST", "/ai-search/namespaces/default/chat/completions"),
    ("POST", "/ai-search/namespaces/default/instances"),
    ("PUT", ONE),
    ("POST", f"{ONE}/search"),
    ("POST", f"{ONE}/chat/completions"),
    ("PUT", f"{ONE}/items"),
    ("PATCH", f"{ONE}/items/x"),
    ("POST", f"{ONE}/jobs"),
    ("PATCH", f"{ONE}/jobs/x"),
    ("POST", "/autorag/rags/http/search"),
    ("POST", "/autorag/rags/http/ai-search"),
]


@pytest.fixture(scope="module", autouse=True)
def instance(server: Running) -> None:
    with httpx2.Client(base_url=server.url + ACCOUNT, timeout=60) as http:
        assert http.post("/ai-search/instances", json={"id": "http"}).status_code == 200
        put(http, ONE, "a.md", FRANCE)


def refused(response: httpx2.Response, status: int) -> None:
    assert response.status_code == status, response.text
    found = response.json()
    assert (found["success"], found["result"]) == (False, None)
    assert isinstance(found["errors"][0]["code"], int)
    assert found["errors"][0]["message"]


@pytest.mark.parametrize(("method", "path"), BODIES)
def test_invalid_bodies(http: httpx2.Client, method: str, path: str) -> None:
    for content in (b"", b"{", b"[]", b"null", b"\xff", b"[" * 99, b'"x"'):
        refused(http.request(method, path, content=content), 400)


@pytest.mark.parametrize("path", [
    "/ai-search/namespaces/none", "/ai-search/namespaces/none/instances",
    "/ai-search/instances/none", f"{ONE}/items/none", f"{ONE}/items/none/chunks",
    f"{ONE}/items/none/logs", f"{ONE}/items/none/download", f"{ONE}/jobs/none",
    f"{ONE}/jobs/none/logs", "/ai-search/nothing", f"{ONE}/nothing", "/ai-search/tokens/t",
    "/ai-search/instances/..%2F..%2Fdefault", "/ai-search/namespaces/%F0%9F%98%80",
])  # fmt: skip
def test_unknown_resources(http: httpx2.Client, path: str) -> None:
    refused(http.get(path), 404)


def test_unknown_paths(server: Running) -> None:
    for path in ("/client/v4/user", "/cloudflare/x", "/cloudflare/x/search", "/client/v4/x/y"):
        for method in ("GET", "PUT", "DELETE"):
            status = 405 if path.endswith("/search") else 404
            refused(httpx2.request(method, server.url + path), status)


@pytest.mark.parametrize("query", ["page=0", "page=-1", "page=x", "per_page=0", "page=1e3",
                                   "page=%D9%A3", "per_page=99999999999"])  # fmt: skip
def test_invalid_pages(http: httpx2.Client, query: str) -> None:
    lists = ("/ai-search/namespaces", "/ai-search/instances", f"{ONE}/items", f"{ONE}/jobs")
    for path in lists:
        refused(http.get(f"{path}?{query}"), 400)


def test_pages_beyond_the_last_are_empty(http: httpx2.Client) -> None:
    for path in ("/ai-search/namespaces", "/ai-search/instances", f"{ONE}/items"):
        found = http.get(path, params={"page": 10**6, "per_page": 10**6}).json()
        assert found["result"] == []
        assert found["result_info"]["count"] == 0
        assert found["result_info"]["total_count"] >= 1
        assert http.get(path).json()["result"]
    many = http.get(f"{ONE}/items", params={"per_page": 1000}).json()["result_info"]
    assert many["per_page"] == 50


def test_lists_are_searched_and_ordered(http: httpx2.Client) -> None:
    for name in ("order-a", "order-b"):
        http.post("/ai-search/instances", json={"id": name})

    def names(**query: str) -> list[str]:
        found = http.get("/ai-search/instances", params=query).json()["result"]
        return [one["id"] for one in found]

    assert names(search="ORDER-") == ["order-b", "order-a"]
    assert names(search="order-", order_by_direction="asc") == ["order-a", "order-b"]
    refused(http.get("/ai-search/instances", params={"order_by": "id"}), 400)
    refused(http.get("/ai-search/instances", params={"order_by_direction": "up"}), 400)
    refused(http.get("/ai-search/instances", params={"namespace": "none"}), 404)
    for query in ({"status": "x"}, {"sort_by": "x"}, {"metadata_filter": "{"},
                  {"metadata_filter": "[]"}, {"metadata_filter": '{"no": 1}'}):  # fmt: skip
        refused(http.get(f"{ONE}/items", params=query), 400)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)
_known = st.dictionaries(
    st.sampled_from(
        ["id", "name", "query", "messages", "ai_search_options", "chunk_size",
         "custom_metadata", "retrieval_options", "index_method",
         "public_endpoint_params", "key", "next_action",
         "action", "description", "stream", "model", "filters", "reranking", "cache_ttl"]
    ),
    _json
    | st.dictionaries(
        st.sampled_from(["retrieval", "reranking", "cache", "query_rewrite", "instance_ids"]),
        st.dictionaries(
            st.sampled_from(["filters", "boost_by", "enabled", "match_threshold"]), _json
        )
        | _json,
    ),
)  # fmt: skip


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(where=st.sampled_from(BODIES), body=_known)
def test_any_body_is_answered_or_refused(
    http: httpx2.Client, where: tuple[str, str], body: dict[str, Any]
) -> None:
    content = json.dumps(body).encode()
    response = http.request(*where, content=content)
    assert response.status_code in (200, 400, 404, 409), (where, body, response.text)
    if response.status_code != 200:
        refused(response, response.status_code)
    # Whatever was changed is taken back.
    nulls = dict.fromkeys(["custom_metadata", "retrieval_options", "index_method"])
    assert http.put(ONE, json=nulls).status_code == 200


def multipart(*parts: tuple[str, bytes]) -> bytes:
    body = b"".join(
        b"--b\r\ncontent-disposition: form-data; "
        + head.encode()
        + b"\r\n\r\n"
        + data
        + b"\r\n"
        for head, data in parts
    )
    return body + b"--b--\r\n"


TEXT = {"field_name": "a", "data_type": "text"}
KIND = "multipart/form-data; boundary=b"
FILE = ('name="file"; filename="a.md"', b"text")


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (multipart(FILE), KIND, 200),
        (multipart(FILE, ('name="x"', b"y")), "Multipart/Form-Data; boundary=b", 200),
        (multipart(FILE), "application/json", 400),
        (multipart(FILE), "", 400),
        (multipart(FILE), "multipart/form-data", 400),
        (multipart(FILE)[:-9], KIND, 400),
        (b"", KIND, 400),
        (b"nonsense", KIND, 400),
        (multipart(), KIND, 400),
        (multipart(FILE, FILE), KIND, 400),
        (multipart(('name="file"', b"x")), KIND, 400),
        (multipart(('name="file"; filename=""', b"x")), KIND, 400),
        (multipart(('name="file"; filename="%s"' % ("x" * 129), b"x")),
         KIND, 400),
        (multipart(('name="file"; filename="a\x01b"', b"x")), KIND, 400),
        (multipart(FILE, ('name="metadata"', b"[1]")), KIND, 400),
        (multipart(FILE, ('name="metadata"', b'{"a": [1]}')), KIND, 400),
        (multipart(FILE, ('name="metadata"', b'{"a": NaN}')), KIND, 400),
        (multipart(FILE, ('name="metadata"', b"\xff")), KIND, 400),
        (multipart(FILE, ('name="metadata"', b'{"\\ud800": [1]}')), KIND, 400),
        (multipart(FILE, ('name="metadata"', b'{"\\ud800": "\\udfff"}')), KIND, 200),
        (multipart(FILE, ('name="metadata"', b"x" * 70_000)), KIND, 400),
        (multipart(FILE, ('name="wait_for_completion"', b"maybe")),
         KIND, 400),
        (multipart(('name="file"; filename="a.md"', b"x" * 5_000_000)),
         KIND, 413),
    ],
)  # fmt: skip
def test_uploads(http: httpx2.Client, content: bytes, kind: str, status: int) -> None:
    headers = {"content-type": kind}
    response = http.post(f"{ONE}/items", content=content, headers=headers)
    if status == 200:
        assert response.status_code == 200, response.text
    else:
        refused(response, status)


@settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.binary(max_size=200) | st.binary(max_size=40).map(lambda b: multipart(FILE)[:60] + b))
def test_random_uploads_are_refused(http: httpx2.Client, content: bytes) -> None:
    headers = {"content-type": KIND}
    refused(http.post(f"{ONE}/items", content=content, headers=headers), 400)


def test_an_upload_without_a_content_length(http: httpx2.Client) -> None:
    def parts() -> Any:
        yield multipart(FILE)[:80]
        for _ in range(100):
            yield b"x" * 100_000

    headers = {"content-type": KIND}
    large = http.post(f"{ONE}/items", content=parts(), headers=headers)
    refused(large, 413)
    assert "a file may have 4,194,304 bytes" in large.text


def test_odd_keys(http: httpx2.Client, make: Callable[..., str]) -> None:
    path = make()
    for key in ("a b/c'd;--.md", "../../x.md", "日本/ü.md", ".hidden", "a#1.md", "x" * 128):
        up = put(http, path, key, FRANCE)
        assert (up["key"], up["status"]) == (key, "completed")
        found = http.get(f"{path}/items", params={"key": key}).json()["result"]
        assert [one["id"] for one in found] == [up["id"]]
        raw = http.get(f"{path}/items/{up['id']}/download")
        assert raw.text == FRANCE
        assert raw.headers["x-content-type-options"] == "nosniff"
        assert raw.headers["content-disposition"].startswith("attachment")
        assert len(http.get(f"{path}/items/{up['id']}/chunks").json()["result"]) == 1


def test_logs_are_paged_by_a_cursor(http: httpx2.Client, make: Callable[..., str]) -> None:
    path = make()
    up = put(http, path, "a.md", FRANCE)
    put(http, path, "a.md", FRANCE)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": 1, "cursor": cursor}
        found = http.get(f"{path}/items/{up['id']}/logs", params=query).json()
        seen += [entry["action"] for entry in found["result"]]
        cursor = found["result_info"]["cursor"]
    assert seen == ["completed", "queued", "completed", "queued"]


def test_settings(http: httpx2.Client, make: Callable[..., str]) -> None:
    path = make(reranking_model="@cf/baai/bge-reranker-base", metadata={"a": 1})
    before = http.get(path).json()["result"]
    assert (before["chunk_size"], before["score_threshold"]) == (256, 0.4)
    assert before["index_method"] == {"vector": True, "keyword": True}
    assert (before["status"], before["enable"], before["namespace"]) == (
        "ready",
        True,
        "default",
    )
    change = {"score_threshold": 0, "retrieval_options": {"keyword_match_mode": "or"}}
    http.put(path, json=change)
    boosts = {"retrieval_options": {"boost_by": [{"field": "timestamp"}]}}
    after = http.put(path, json={**boosts, "id": "other", "what": 1}).json()["result"]
    assert after["id"] == before["id"]
    assert after["score_threshold"] == 0
    assert after["retrieval_options"] == {
        **change["retrieval_options"],
        **boosts["retrieval_options"],
    }  # type: ignore[dict-item]
    assert after["modified_at"] > before["modified_at"]
    assert after["created_at"] == before["created_at"]
    back = http.put(path, json={"score_threshold": None, "reranking_model": None})
    assert back.json()["result"]["score_threshold"] == 0.4
    assert "reranking_model" not in back.json()["result"]
    for wrong in (
        {"embedding_model": "other"}, {"score_threshold": 2}, {"cache_ttl": 5}, {"chunk": 1},
        {"chunk_overlap": 31}, {"custom_metadata": [TEXT, TEXT]},
        {"custom_metadata": [{"field_name": "a"}]}, {"summarization": True}, {"source": "x"},
        {"indexing_options": {"keyword_tokenizer": "trigram"}}, {"cache_threshold": "x"},
        {"indexing_options": {"use_ocr": True}}, {"index_method": {"vector": False}},
        {"retrieval_options": {"boost_by": [{"field": "none"}]}}, {"fusion_method": "sum"},
        {"public_endpoint_params": {"rate_limit": {"requests": 0}}}, {"sync_interval": 1},
    ):  # fmt: skip
        refused(http.put(path, json=wrong), 400)
    old = make("vectors", hybrid_search_enabled=False)
    method = http.get(old).json()["result"]["index_method"]
    assert method == {"vector": True, "keyword": False}


def test_a_server_without_a_folder_makes_nothing(model: str, tmp_path: Path) -> None:
    with running(ServerSettings(models=[model])) as found:
        base = found.url + ACCOUNT
        refused(httpx2.get(f"{base}/ai-search/instances"), 404)
        refused(httpx2.post(f"{base}/ai-search/instances", json={"id": "x"}), 404)
        refused(httpx2.post(f"{base}/ai-search/namespaces", json={"name": "x"}), 403)
        assert (
            httpx2.get(f"{base}/ai-search/namespaces").json()["result"][0]["name"] == "default"
        )
        refused(httpx2.post(f"{found.url}/cloudflare/x/search", json={"query": "q"}), 404)
