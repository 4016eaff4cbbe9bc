"""Cohere's official client for Node against this server."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secondpass import Embedder
from secondpass.server.access.api_keys import KeyFile
from secondpass.server.settings import ServerSettings
from tests.server.conftest import QUERY, TEXTS, Running, running
from tests.server.load import busy

NODE = shutil.which("node") or ""
FOLDER = Path(sys.prefix) / "node"
SCRIPT = Path(__file__).parent / "node" / "rerank.cjs"
pytestmark = [
    pytest.mark.skipif(not NODE, reason="there is no node on this machine"),
    pytest.mark.skipif(
        not (FOLDER / "node_modules" / "cohere-ai").is_dir(),
        reason="cohere-ai is not installed: make .venv/.node",
    ),
]


@pytest.fixture(scope="module")
def served(
    model: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Running, dict[str, str]]]:
    file = KeyFile(tmp_path_factory.mktemp("node") / "keys.json")
    keys = {
        "key": file.create("node", ["rerank"]),
        "seldom": file.create("seldom", ["rerank"], per_minute=1),
    }
    settings = ServerSettings(
        models=[model], keys=file.file, max_documents=10, most_waiting=1000
    )
    with running(settings) as found:
        yield found, keys


def ask(url: str, key: str, version: int = 2, **more: Any) -> Any:
    return call(url, key, version, "rerank", {"query": QUERY, "documents": TEXTS, **more})


def call(url: str, key: str, version: int, method: str, body: dict[str, Any]) -> Any:
    request = {"model": "m", **body}
    asked = {"url": url, "key": key, "version": version, "method": method, "request": request}
    given = json.dumps(asked)
    done = subprocess.run(
        [NODE, str(SCRIPT), given],
        env={"NODE_PATH": str(FOLDER / "node_modules")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_both_versions(served: tuple[Running, dict[str, str]], expected: list[int]) -> None:
    found, keys = served
    documents = [{"text": text, "lang": "en"} for text in TEXTS]
    first = ask(found.url, keys["key"], 1, documents=documents, topN=1, returnDocuments=True)[
        "found"
    ]
    (only,) = first["results"]
    assert only["index"] == expected[0]
    assert only["document"] == documents[expected[0]]
    assert first["meta"]["billedUnits"]["searchUnits"] == 1
    second = ask(found.url, keys["key"])["found"]
    assert [row["index"] for row in second["results"]] == expected
    scores = [row["relevanceScore"] for row in second["results"]]
    assert scores == sorted(scores, reverse=True)
    assert second["meta"]["apiVersion"]["version"] == "2"


def test_embed(served: tuple[Running, dict[str, str]]) -> None:
    found, keys = served
    vectors = Embedder().encode(TEXTS)
    body = {"texts": TEXTS, "inputType": "search_query"}
    first = call(found.url, keys["key"], 1, "embed", body)["found"]
    assert first["responseType"] == "embeddings_floats"
    assert np.allclose(first["embeddings"], vectors, atol=1e-6)
    body["embeddingTypes"] = ["float", "ubinary"]
    second = call(found.url, keys["key"], 2, "embed", body)["found"]
    assert np.allclose(second["embeddings"]["float"], vectors, atol=1e-6)
    assert len(second["embeddings"]["ubinary"][0]) == 48


@pytest.mark.parametrize(
    ("more", "said"),
    [({"documents": []}, "is empty"), ({"documents": ["x"] * 11}, "at most 10")],
)
def test_bad_input(
    served: tuple[Running, dict[str, str]], more: dict[str, Any], said: str
) -> None:
    error = ask(served[0].url, served[1]["key"], **more)["error"]
    assert (error["name"], error["status"]) == ("BadRequestError", 400)
    assert said in error["body"]["message"]


def test_a_wrong_key_too_often_and_busy(served: tuple[Running, dict[str, str]]) -> None:
    found, keys = served
    error = ask(found.url, "sp-wrong")["error"]
    assert (error["name"], error["status"]) == ("UnauthorizedError", 401)
    assert "found" in ask(found.url, keys["seldom"])
    error = ask(found.url, keys["seldom"])["error"]
    assert (error["name"], error["status"]) == ("TooManyRequestsError", 429)
    with busy(found) as let_go:
        error = ask(found.url, keys["key"], documents=["the river " * 500] * 10)["error"]
        let_go()
    assert (error["name"], error["status"]) == ("TooManyRequestsError", 429)
    assert "busy" in error["body"]["message"]
