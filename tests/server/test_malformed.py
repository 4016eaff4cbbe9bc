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


def test_no_mutation_of_a_request_is_a_failure_of_the_server(searchable: Running) -> None:
    """All on one server and in one order: what a mutation leaves there, others meet again."""
    with httpx2.Client(base_url=searchable.url, timeout=30, headers=_HEADERS) as http:
        for number, (method, path, good) in enumerate(GOOD):
            rng = random.Random(number)
            http.post("/api/v1/indexes", json={"name": "docs"})
            http.post("/v1/schema", json={"class": "Doc"})
            http.post(request_mutations.CLOUDFLARE, json={"id": "docs"})
            for turn in range(40):
                breaks = request_mutations.break_json, request_mutations.mutate
                content = breaks[turn % 4 != 0](good, rng)
                response = http.request(method, path, content=content)
                told = (method, path, content, response.text)
                assert 200 <= response.status_code < 500, told
                if response.status_code >= 400:
                    assert response.json(), told
