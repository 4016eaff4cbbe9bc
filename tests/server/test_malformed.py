"""Malformed requests on every path; benchmarks/server/malformed.py sends thousands."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import httpx2
import pytest

from tests.server.conftest import Running

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks" / "server"))
request_mutations = pytest.importorskip(
    "request_mutations", reason="a source distribution has no benchmarks"
)
GOOD = request_mutations.GOOD
_HEADERS = {"accept": "application/json, text/event-stream"}


@pytest.mark.parametrize("number", range(len(GOOD)), ids=lambda n: f"{n}{GOOD[n][1]}")
def test_no_mutation_of_a_request_is_a_failure_of_the_server(
    searchable: Running, number: int
) -> None:
    method, path, good = GOOD[number]
    rng = random.Random(number)
    with httpx2.Client(base_url=searchable.url, timeout=30, headers=_HEADERS) as http:
        http.post("/api/v1/indexes", json={"name": "docs"})
        http.post("/v1/schema", json={"class": "Doc"})
        http.post(request_mutations.CLOUDFLARE, json={"id": "docs"})
        for turn in range(40):
            content = (
                request_mutations.break_json if turn % 4 == 0 else request_mutations.mutate
            )(good, rng)
            response = http.request(method, path, content=content)
            assert 200 <= response.status_code < 500, (content, response.text)
            if response.status_code >= 400:
                assert response.json(), content
