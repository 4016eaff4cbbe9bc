"""What reads the first results of a served search again, without being asked for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from secondpass.server.scheduler.queue import OverloadedError
from secondpass.server.scheduler.scheduled_models import ScheduledReranker
from secondpass.server.settings import ServerSettings
from tests.server.conftest import Running, running

QUESTION = "Where does the river meet the sea?"
TEXTS = {"sea": "The river meets the sea.", "ship": "A ship at sea.", "tea": "Tea and a bun."}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("data")
    with running(ServerSettings(data=data)) as found:
        fill(found)
        yield found


def call(found: Running, method: str, path: str, body: Any = None) -> Any:
    response = httpx2.request(method, f"{found.url}/api/v1{path}", json=body, timeout=60)
    assert response.status_code < 300, response.text
    return response.json()


def fill(found: Running) -> None:
    call(found, "POST", "/indexes", {"name": "docs"})
    rows = [{"id": name, "text": text} for name, text in TEXTS.items()]
    call(found, "POST", "/indexes/docs/documents", {"documents": rows})


def rescored(found: Running, query: str = QUESTION, **options: Any) -> bool:
    body = {"query": query, **options}
    results = call(found, "POST", "/indexes/docs/search", body)["results"]
    return any(r["parts"].get("rescore", 0) > 0 for r in results)


def test_a_question_is_read_again_through_the_queue(served: Running) -> None:
    assert rescored(served)
    assert not rescored(served, "river sea")
    assert not rescored(served, rescore="none")
    assert not rescored(served, rescore=None)
    reader = served.state.default_rescorers["bundled-full"]
    assert isinstance(reader, ScheduledReranker)
    body = {"query": QUESTION, "document": "sea"}
    assert call(served, "POST", "/indexes/docs/explain", body)["rescorer"] == "bundled-full"


def test_the_model_can_be_named_and_is_not_served_otherwise(served: Running) -> None:
    assert rescored(served, "river sea", rescore="bundled-full")
    assert call(served, "GET", "/models")["models"] == ["bundled"]
    assert served.state.model("bundled-full").model == "bundled"
    ranked = {"query": "q", "documents": ["a", "b"], "model": "bundled-full"}
    assert call(served, "POST", "/rerank", ranked)["model"] == "bundled"


def test_a_search_is_answered_where_it_has_no_time_for_it(
    served: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OverloadedError(7.0)

    monkeypatch.setattr(served.state.default_rescorers["bundled-full"], "score", refuse)
    body = {"query": QUESTION}
    found = call(served, "POST", "/indexes/docs/search", body)
    assert found["status"] == "reranked"
    assert (
        "bundled-full did not rescore: OverloadedError: The server is busy" in found["reason"]
    )
    assert {r["id"] for r in found["results"]} == set(TEXTS)
    asked = {"query": QUESTION, "rescore": "bundled-full"}
    url = f"{served.url}/api/v1/indexes/docs/search"
    refused = httpx2.post(url, json=asked, timeout=60)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")


@pytest.mark.parametrize("changed", [{"rescore": False}, {"exits": True}])
def test_a_server_can_do_without(tmp_path: Path, changed: dict[str, bool]) -> None:
    with running(ServerSettings(data=tmp_path, **changed)) as found:
        fill(found)
        assert not rescored(found)
        assert dict(found.state.default_rescorers) == {}
        assert list(found.state.rescorers) == ["bundled"]


def test_a_server_without_indexes_loads_nothing_for_searches(model: str) -> None:
    assert ServerSettings().loaded_models == ["bundled"]
    with_data = ServerSettings(data=Path("data"))
    assert with_data.loaded_models == ["bundled", "bundled-full"]
    assert ServerSettings(models=[model], data=Path("data")).rescorer is None
    both = ServerSettings(models=["bundled", "bundled-full"], data=Path("data"))
    assert both.loaded_models == ["bundled", "bundled-full"]
