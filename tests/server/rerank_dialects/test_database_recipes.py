"""Requests of databases that rerank by themselves, with the settings of the how-to page.

Each is built as the database's own code builds it, from what the page says to paste, and each
reply is read as that code reads it. The page says which versions were read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from secondpass.server.access.api_keys import KeyFile
from secondpass.server.settings import ServerSettings
from tests.server.conftest import TEXTS, keyed, running

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "rerank-inside-your-database.md"
QUESTION = 'What does "the sea" mean to a\triver? {}$'
FENCE = re.compile(r"```(?:json|text|python)\n(.*?)```", re.DOTALL)


def pasted(start: str) -> Any:
    """Return the JSON that the page says to send with a request that starts so."""
    blocks = [block for block in FENCE.findall(PAGE.read_text("utf-8")) if start in block]
    assert len(blocks) == 1, start
    return json.loads(blocks[0][blocks[0].index("{") :])


@pytest.fixture(scope="module")
def served(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a server with keys, and the key of a database."""
    folder = tmp_path_factory.mktemp("keys")
    key = KeyFile(folder / "keys.json").create("database", ["rerank"])
    with running(keyed(folder, model, weaviate_open=True)) as found:
        yield found.url, key


@pytest.fixture(scope="module")
def scores(served: tuple[str, str]) -> list[float]:
    """The scores of the native interface, in the order of the texts."""
    found = post(served, "/api/v1/rerank", {"query": QUESTION, "documents": TEXTS})
    by_index = {row["index"]: row["probability"] for row in found["results"]}
    return [by_index[index] for index in range(len(TEXTS))]


def post(
    served: tuple[str, str],
    address: str,
    body: Any,
    headers: dict[str, str] | None = None,
    *,
    keyless: bool = False,
) -> Any:
    """Send to a path, or to the path of an address, and return the JSON of a success.

    `body` is JSON, or its text as a template made it.
    """
    url, key = served
    path = urlsplit(address).path or "/"
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"}
    sent |= {} if keyless else {"Authorization": f"Bearer {key}"}
    sent |= headers or {}
    response = httpx2.post(url + path, content=content, headers=sent, timeout=60)
    assert response.status_code == 200, response.text
    return response.json()


def test_milvus_with_tei(served: tuple[str, str], scores: list[float]) -> None:
    endpoint = "http://secondpass:8080"
    assert f'"endpoint": "{endpoint}"' in PAGE.read_text("utf-8")
    # The path of the endpoint is replaced.
    for more in ({}, {"truncate": True}, {"truncate": True, "truncation_direction": "Left"}):
        body = {"query": QUESTION, "texts": TEXTS, **more}
        found = post(served, f"{endpoint}/rerank", body)
        rows = sorted(found, key=lambda row: row["index"])
        assert [row["index"] for row in rows] == list(range(len(TEXTS)))
        assert [row["score"] for row in rows] == pytest.approx(scores, abs=1e-6)


def test_milvus_with_vllm(served: tuple[str, str], scores: list[float]) -> None:
    for more in ({}, {"truncate_prompt_tokens": -1}, {"truncate_prompt_tokens": 512}):
        body = {"query": QUESTION, "documents": TEXTS, **more}
        found = post(served, "/rerank", body)["results"]
        rows = sorted(found, key=lambda row: row["index"])
        assert len(rows) == len(TEXTS)
        assert [row["relevance_score"] for row in rows] == pytest.approx(scores, abs=1e-6)


def test_opensearch(served: tuple[str, str], scores: list[float]) -> None:
    connector = pasted("POST /_plugins/_ml/connectors/_create")
    (action,) = connector["actions"]
    trusted = pasted("PUT /_cluster/settings")["persistent"]
    (pattern,) = trusted["plugins.ml_commons.trusted_connector_endpoints_regex"]
    assert re.match(pattern, action["url"])
    assert action["pre_process_function"] == "connector.pre_process.cohere.rerank"
    # What the pre-processing function makes of the hits; texts are escaped as in JSON.
    parameters = {
        **connector["parameters"],
        "query": json.dumps(QUESTION)[1:-1],
        "documents": json.dumps(TEXTS),
        "top_n": str(len(TEXTS)),
    }
    body = re.sub(
        r"\$\{parameters\.(\w+)\}", lambda m: parameters[m[1]], action["request_body"]
    )
    assert json.loads(body)["query"] == QUESTION
    headers = {
        name: value.replace("${credential.key}", served[1])
        for name, value in action["headers"].items()
    }
    rows = post(served, action["url"], body, headers)["results"]
    # What the post-processing function casts to Integer and Double, without a check.
    assert all(type(row["index"]) is int for row in rows)
    assert all(type(row["relevance_score"]) is float for row in rows)
    made: list[float | None] = [None] * len(rows)
    for row in rows:
        made[row["index"]] = row["relevance_score"]
    assert made == pytest.approx(scores, abs=1e-6)


def test_opensearch_needs_a_score_of_each_document(served: tuple[str, str]) -> None:
    texts = [f"{text} {number}" for number in range(30) for text in TEXTS]
    body = {"documents": texts, "query": "sea", "model": "bundled", "top_n": len(texts)}
    rows = post(served, "/v1/rerank", body)["results"]
    assert sorted(row["index"] for row in rows) == list(range(len(texts)))


def test_elasticsearch_with_hugging_face(served: tuple[str, str], scores: list[float]) -> None:
    settings = pasted("PUT _inference/rerank/secondpass\n")["service_settings"]
    for more in ({}, {"return_text": False}, {"return_text": True, "top_n": 2}):
        body = {"texts": TEXTS, "query": QUESTION, **more}
        rows = post(served, settings["url"], body)
        # Other fields of a row would be an error there.
        assert all(set(row) <= {"index", "score", "text"} for row in rows)
        assert all(("text" in row) == more.get("return_text", False) for row in rows)
        found = {row["index"]: row["score"] for row in rows}
        assert [found[i] for i in range(len(TEXTS))] == pytest.approx(scores, abs=1e-6)


def test_elasticsearch_with_custom(served: tuple[str, str], scores: list[float]) -> None:
    settings = pasted("PUT _inference/rerank/secondpass-custom")["service_settings"]
    values = {"query": json.dumps(QUESTION), "input": json.dumps(TEXTS)}
    body = re.sub(r"\$\{(\w+)\}", lambda m: values[m[1]], settings["request"])
    headers = {
        name: value.replace("${api_key}", served[1])
        for name, value in settings["headers"].items()
    }
    found = post(served, settings["url"], body, headers)
    paths = settings["response"]["json_parser"]
    indexes, values_found = (
        [row[paths[name].removeprefix("$.results[*].")] for row in found["results"]]
        for name in ("reranked_index", "relevance_score")
    )
    by_index = dict(zip(indexes, values_found, strict=True))
    assert [by_index[i] for i in range(len(TEXTS))] == pytest.approx(scores, abs=1e-6)


def test_weaviates_container(served: tuple[str, str], scores: list[float]) -> None:
    body = {"query": QUESTION, "documents": TEXTS, "property": ""}
    found = post(served, "/rerank", body, keyless=True)
    assert [row["document"] for row in found["scores"]] == TEXTS
    order = sorted(range(len(TEXTS)), key=lambda i: -found["scores"][i]["score"])
    assert order == sorted(range(len(TEXTS)), key=lambda i: -scores[i])


def test_weaviates_module_for_cohere(served: tuple[str, str], scores: list[float]) -> None:
    module = pasted('"class": "Doc"')["moduleConfig"]["reranker-cohere"]
    body = {
        "documents": TEXTS,
        "query": QUESTION,
        "model": module["model"],
        "return_documents": False,
    }
    headers = {"Request-Source": "unspecified:weaviate"}
    rows = post(served, f"{module['baseURL']}/v2/rerank", body, headers)["results"]
    found = {row["index"]: row["relevance_score"] for row in rows}
    assert [found[i] for i in range(len(TEXTS))] == pytest.approx(scores, abs=1e-6)


def test_an_error_is_told_as_each_reads_it(model: str) -> None:
    with running(ServerSettings(models=[model])) as found:
        refused = httpx2.post(f"{found.url}/tei/rerank", json={"texts": [], "query": "q"})
        assert set(refused.json()) == {"error", "error_type"}
        refused = httpx2.post(f"{found.url}/v1/rerank", json={"documents": [], "query": "q"})
        assert refused.status_code == 400
        assert isinstance(refused.json()["message"], str)
