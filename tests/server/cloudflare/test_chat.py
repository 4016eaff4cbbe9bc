"""Chat completions: with and without a language model, whole, streamed and cached."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from secondpass.server.settings import ServerSettings
from tests.llm.server import KEY, Fault, Loopback, serving
from tests.server.cloudflare.conftest import ACCOUNT, BREAD, FRANCE, WHALES, keys, put
from tests.server.conftest import running

PATH = "/ai-search/instances/docs"
ALL = {"retrieval": {"match_threshold": 0}}


@pytest.fixture(scope="module")
def served(
    model: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Loopback, httpx2.Client]]:
    """A server with a language model on this machine, and an instance."""
    pytest.importorskip("python_multipart", reason="the extra server is not installed")
    data: Path = tmp_path_factory.mktemp("data")
    with serving() as llm, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", llm.openai)
        patch.setenv("OPENAI_API_KEY", KEY)
        settings = ServerSettings(models=[model], data=data, llm="openai/gpt-test")
        with (
            running(settings) as found,
            httpx2.Client(base_url=found.url + ACCOUNT, timeout=60) as http,
        ):
            http.post("/ai-search/instances", json={"id": "docs"})
            for key, text in (("a.md", FRANCE), ("b.md", WHALES), ("c.md", BREAD)):
                put(http, PATH, key, text)
            yield llm, http


@pytest.fixture
def llm(served: tuple[Loopback, httpx2.Client]) -> Loopback:
    served[0].got.clear()
    served[0].answer = lambda system, user: "It is Paris [1]."
    return served[0]


@pytest.fixture
def http(served: tuple[Loopback, httpx2.Client]) -> httpx2.Client:
    return served[1]


def chat(http: httpx2.Client, *said: tuple[str, str], **more: Any) -> httpx2.Response:
    messages = [{"role": role, "content": text} for role, text in said]
    body = {"messages": messages, "ai_search_options": ALL, **more}
    return http.post(f"{PATH}/chat/completions", json=body)


def frames(response: httpx2.Response) -> list[tuple[str | None, str]]:
    """Return the (event, data) of a stream."""
    assert response.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in response.text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((lines.get("event"), lines["data"]))
    return found


def test_the_model_reads_the_chunks_and_the_conversation(
    llm: Loopback, http: httpx2.Client
) -> None:
    said = [
        ("system", "Answer in {query} rhymes."),
        ("user", "Tell me of France."),
        ("assistant", "A country."),
        ("user", "What is its capital?"),
    ]
    found = chat(http, *said, model="@cf/meta/llama").json()
    assert found["choices"][0]["message"] == {
        "role": "assistant",
        "content": "It is Paris [1].",
    }
    assert found["choices"][0]["finish_reason"] == "stop"
    assert found["model"] == "@cf/meta/llama"
    assert sum(found["usage"].values()) == 2 * found["usage"]["total_tokens"]
    (got,) = llm.got
    system, user = (m["content"] for m in got.body["messages"])
    assert system.startswith("Answer in { query } rhymes.")
    assert "user: Tell me of France." in user
    assert "What is its capital?" in user
    assert FRANCE in user
    assert got.body["model"] == "gpt-test"
    assert keys(found["chunks"])[0] == "a.md"


def test_citations_are_positions_among_the_chunks(llm: Loopback, http: httpx2.Client) -> None:
    llm.answer = lambda system, user: "See [1] and [2]. [9]"
    found = chat(http, ("user", "Whales in the sea, or bread?")).json()
    assert found["choices"][0]["message"]["content"] == "See [1] and [2]."
    shown = llm.got[0].body["messages"][1]["content"]
    for number, chunk in enumerate(found["chunks"], 1):
        assert f"{number}. \n{chunk['text']}" in shown


def test_a_stream_begins_with_the_chunks(llm: Loopback, http: httpx2.Client) -> None:
    response = chat(http, ("user", "capital of France, streamed"), stream=True)
    (event, first), *rest, last = frames(response)
    assert event == "chunks"
    assert keys(json.loads(first))[0] == "a.md"
    assert last == (None, "[DONE]")
    parsed = [json.loads(text) for _, text in rest]
    told = "".join(f["choices"][0]["delta"].get("content", "") for f in parsed)
    assert told == "It is Paris [1]."
    assert len({f["id"] for f in parsed}) == 1
    assert parsed[-1]["choices"][0]["finish_reason"] == "stop"


def test_a_similar_query_is_answered_from_the_cache(llm: Loopback, http: httpx2.Client) -> None:
    first = chat(http, ("user", "Where do the whales breathe?"))
    again = chat(http, ("user", "where do whales breathe"))
    streamed = chat(http, ("user", "Where do the whales breathe"), stream=True)
    status = [r.headers["cf-aig-cache-status"] for r in (first, again, streamed)]
    assert status == ["MISS", "HIT", "HIT"]
    assert len(llm.got) == 1
    assert again.json()["choices"] == first.json()["choices"]
    assert json.loads(frames(streamed)[0][1]) == first.json()["chunks"]
    history = [("user", "Hi"), ("assistant", "Hi"), ("user", "Where do the whales breathe?")]
    assert chat(http, *history).headers["cf-aig-cache-status"] == "MISS"
    off = {**ALL, "cache": {"enabled": False}}
    unkept = chat(http, ("user", "Where do the whales breathe?"), ai_search_options=off)
    assert "cf-aig-cache-status" not in unkept.headers


def test_a_change_of_the_content_invalidates_the_cache(
    llm: Loopback, http: httpx2.Client
) -> None:
    def ask() -> httpx2.Response:
        body = {"query": "the lighthouse at the sea", "ai_search_options": ALL}
        return http.post(f"{PATH}/search", json=body)

    assert ask().headers["cf-aig-cache-status"] == "MISS"
    assert ask().headers["cf-aig-cache-status"] == "HIT"
    up = put(http, PATH, "light.md", "The lighthouse stands at the sea.")
    changed = ask()
    assert changed.headers["cf-aig-cache-status"] == "MISS"
    assert keys(changed.json()["result"]["chunks"])[0] == "light.md"
    assert ask().headers["cf-aig-cache-status"] == "HIT"
    http.delete(f"{PATH}/items/{up['id']}")
    assert "light.md" not in keys(ask().json()["result"]["chunks"])
    assert ask().headers["cf-aig-cache-status"] in ("HIT", "MISS")
    http.put(PATH, json={"max_num_results": 2})
    fewer = ask()
    assert fewer.headers["cf-aig-cache-status"] == "MISS"
    assert len(fewer.json()["result"]["chunks"]) == 2
    http.put(PATH, json={"max_num_results": None})


def test_a_follow_up_is_rewritten(llm: Loopback, http: httpx2.Client) -> None:
    llm.answer = lambda system, user: '\n"whales breathe air"\n'
    options = {**ALL, "query_rewrite": {"enabled": True, "rewrite_prompt": "REWRITE IT"}}
    said = [
        {"role": "user", "content": "What lives in the sea?"},
        {"role": "assistant", "content": "Whales."},
        {"role": "user", "content": "How do they breathe?"},
    ]
    body = {"messages": said, "ai_search_options": options}
    found = http.post(f"{PATH}/search", json=body).json()["result"]
    assert found["search_query"] == "whales breathe air"
    system, user = (m["content"] for m in llm.got[0].body["messages"])
    assert system == "REWRITE IT"
    assert "assistant: Whales." in user
    assert user.endswith("How do they breathe?")
    llm.got.clear()
    first = {"messages": said[:1], "ai_search_options": options}
    found = http.post(f"{PATH}/search", json=first).json()["result"]
    assert found["search_query"] == "What lives in the sea?"
    llm.faults[:] = [Fault("status", 400)]
    body["messages"] = [*said[:2], {"role": "user", "content": "And how do they sleep?"}]
    found = http.post(f"{PATH}/search", json=body).json()["result"]
    assert found["search_query"] == "And how do they sleep?"


def test_a_model_that_fails_is_502_before_the_first_piece_and_an_event_after_it(
    llm: Loopback, http: httpx2.Client
) -> None:
    llm.faults[:] = [Fault("status", 400, "no")]
    failed = chat(http, ("user", "does bread fail"))
    assert failed.status_code == 502
    assert failed.json()["success"] is False
    llm.faults[:] = [Fault("status", 400, "no")]
    assert chat(http, ("user", "does bread fail?"), stream=True).status_code == 502
    llm.faults[:] = [Fault("cut")]
    broken = chat(http, ("user", "does bread break"), stream=True)
    assert broken.status_code == 200
    last = json.loads(frames(broken)[-1][1])
    assert (last["success"], bool(last["errors"][0]["message"])) == (False, True)
    # What broke off was not kept.
    whole = chat(http, ("user", "does bread break"))
    assert whole.headers["cf-aig-cache-status"] == "MISS"


def test_without_chunks_there_is_no_answer(llm: Loopback, http: httpx2.Client) -> None:
    options = {"retrieval": {"match_threshold": 1}}
    found = chat(http, ("user", "quarks"), ai_search_options=options).json()
    assert found["chunks"] == []
    assert found["choices"][0]["message"]["content"]
    assert llm.got == []


def test_an_instance_has_its_own_prompt(llm: Loopback, http: httpx2.Client) -> None:
    http.put(PATH, json={"system_prompt_ai_search": "Speak like a sailor."})
    chat(http, ("user", "Which mammals swim?"))
    assert llm.got[0].body["messages"][0]["content"].startswith("Speak like a sailor.")
    http.put(PATH, json={"system_prompt_ai_search": None})


def test_messages_are_required(http: httpx2.Client) -> None:
    wrong = http.post(f"{PATH}/chat/completions", json={"query": "x"})
    assert wrong.status_code == 400
    assert "messages is missing" in wrong.json()["errors"][0]["message"]


def test_autorag(llm: Loopback, http: httpx2.Client) -> None:
    base = "/autorag/rags/docs"
    found = http.post(
        f"{base}/search",
        json={
            "query": "whales",
            "max_num_results": 2,
            "filters": {"type": "eq", "key": "filename", "value": "b.md"},
            "reranking": {"enabled": True},
        },
    ).json()["result"]
    assert found["object"] == "vector_store.search_results.page"
    assert (found["has_more"], found["next_page"]) == (False, None)
    (row,) = found["data"]
    assert row["filename"] == "b.md"
    assert row["content"] == [{"id": row["file_id"] + ".0", "type": "text", "text": WHALES}]
    assert row["attributes"]["modified_date"] > 1.7e12
    assert 0 <= row["score"] <= 1
    told = http.post(f"{base}/ai-search", json={"query": "capital of France"}).json()["result"]
    assert told["response"] == "It is Paris [1]."
    assert told["data"]
    streamed = http.post(f"{base}/ai-search", json={"query": "capital?", "stream": True})
    assert frames(streamed)[-1] == (None, "[DONE]")
    pieces = [json.loads(text)["response"] for _, text in frames(streamed)[:-1]]
    assert "".join(pieces) == "It is Paris [1]."
    llm.answer = lambda system, user: "rewritten words"
    again = http.post(f"{base}/search", json={"query": "capital", "rewrite_query": True})
    assert again.json()["result"]["search_query"] == "rewritten words"
    high = {"query": "whales", "ranking_options": {"score_threshold": 1}}
    assert http.post(f"{base}/search", json=high).json()["result"]["data"] == []
    job = http.patch(f"{base}/sync").json()["result"]["job_id"]
    assert http.get(f"{PATH}/jobs/{job}").json()["result"]["id"] == job
    for wrong in ({}, {"query": " "}, {"query": "q", "filters": {"folder": "x"}}):
        assert http.post(f"{base}/search", json=wrong).status_code == 400
    assert http.post("/autorag/rags/none/search", json={"query": "q"}).status_code == 404
