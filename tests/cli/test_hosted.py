from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.loopback import faults
from tests.loopback.dialects import KEY
from tests.loopback.server import Loopback, running

LINES = b"The sea is blue.\nChange the password in the settings.\n"
QUERY = "change the password"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    with running() as server:
        monkeypatch.setenv("CO_API_KEY", KEY)
        monkeypatch.setenv("CO_API_URL", f"{server.url}/cohere")
        yield server


def test_a_provider_by_name(run: Run, server: Loopback) -> None:
    ran = run("rerank", QUERY, "--model", "cohere/rerank-v3.5", "--json", stdin=LINES)
    assert ran.code == 0
    assert ran.json["status"] == "reranked"
    assert ran.json["results"][0]["index"] == 1
    assert ran.json["usage"]["cost"] == 0.002
    shown = run("rerank", QUERY, "--model", "cohere/rerank-v3.5", stdin=LINES)
    assert "1 requests, 0.002000 USD" in shown.err


def test_a_failure_is_an_error_unless_a_fallback_is_asked_for(
    run: Run, server: Loopback
) -> None:
    server.always = faults.status(401)
    options = ("rerank", QUERY, "--model", "cohere/rerank-v3.5")
    failed = run(*options, "--json", stdin=LINES)
    assert failed.code == 1
    assert json.loads(failed.err)["error"]["type"] == "ProviderError"
    fallen = run(*options, "--fallback", "--min-score", "0.9", stdin=LINES)
    assert fallen.code == 0
    assert "fallback: 2 candidates" in fallen.err
    assert "status 401" in fallen.err
    assert fallen.out.index("sea") < fallen.out.index("password")
    chained = run(*options, "--chain", "bundled-tiny", "--json", stdin=LINES).json
    assert (chained["status"], chained["model"]) == ("reranked", "bundled-tiny")
    assert "status 401" in chained["reason"]


def test_a_search_answers(run: Run, server: Loopback, sample_index: Path) -> None:
    options = ("search", "oil crisis", "--index", sample_index, "--candidates", 5, "--json")
    model = ("--model", "cohere/rerank-v3.5")
    assert run(*options, *model).json["status"] == "reranked"
    server.always = faults.UNSOUND["nan"]
    fallen = run(*options, *model, "--fallback").json
    assert fallen["status"] == "fallback"
    first = run(*options, "--no-rerank").json
    assert [r["id"] for r in fallen["results"]] == [r["id"] for r in first["results"]]
    elsewhere = run(*options, *model, "--base-url", "http://127.0.0.1:9", "--fallback").json
    assert elsewhere["status"] == "fallback"
