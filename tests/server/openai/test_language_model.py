"""Chat completions that a language model writes: what it is told, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.llm.server import KEY, Fault, Loopback, serving
from tests.server import counting_llm
from tests.server.library import QUESTION, Library, library

openai: Any = pytest.importorskip("openai", reason="the group sdk is not installed")
AS_IT_IS: Any = {"extra_body": {"ai_search_options": {"query_rewrite": {"enabled": False}}}}


@pytest.fixture(scope="module")
def writer() -> Iterator[Loopback]:
    with serving() as state:
        yield state


@pytest.fixture(scope="module")
def served(writer: Loopback, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", writer.openai)
        patch.setenv("OPENAI_API_KEY", KEY)
        with library(tmp_path_factory.mktemp("llm"), llm="openai/m-1") as found:
            yield found


@pytest.fixture(autouse=True)
def _fresh(writer: Loopback) -> None:
    writer.got.clear()
    writer.faults.clear()
    writer.finish, writer.usage = "end", True
    writer.answer = lambda system, user: "Paris is the capital of France [1]. Oz is not [9]."


@pytest.fixture
def chat(served: Library) -> Iterator[Any]:
    url, key = f"{served.url}/v1", served.keys["search"]
    with openai.OpenAI(base_url=url, api_key=key, max_retries=0) as one:

        def ask(*said: str, system: str | None = None, **more: Any) -> Any:
            roles = ["user", "assistant"] * len(said)
            messages = [{"role": r, "content": t} for r, t in zip(roles, said, strict=False)]
            if system is not None:
                messages.insert(0, {"role": "system", "content": system})
            return one.chat.completions.create(model="docs", messages=messages, **more)

        yield ask


def test_the_model_writes_and_is_checked(chat: Any) -> None:
    found = chat(QUESTION)
    message = found.choices[0].message
    assert message.content == "Paris is the capital of France [1]. Oz is not."
    assert message.annotations[0].url_citation.title == "Paris"
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (11, 3)


def test_a_stream_comes_in_pieces(chat: Any) -> None:
    got = list(chat(QUESTION, stream=True, stream_options={"include_usage": True}))
    texts = [c.choices[0].delta.content for c in got[:-1] if c.choices[0].delta.content]
    assert len(texts) > 3
    assert "".join(texts) == "Paris is the capital of France [1]. Oz is not."
    assert got[0].chunks[0]["id"] == "paris"
    assert got[-1].usage.total_tokens == 14


def test_sampling_is_the_clients(chat: Any, writer: Loopback) -> None:
    chat(QUESTION, temperature=0.5, top_p=0.9, seed=7, stop=["END"], max_tokens=50)
    body = writer.got[-1].body
    kept = {name: body[name] for name in ("temperature", "top_p", "seed", "stop")}
    assert kept == {"temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["END"]}
    assert body["max_tokens"] == 50
    chat(QUESTION, max_completion_tokens=60, temperature=0)
    body = writer.got[-1].body
    assert (body["max_tokens"], body["temperature"]) == (60, 0)
    assert {"top_p", "seed", "stop"}.isdisjoint(body)


def test_a_follow_up_is_searched_for_and_answered_in_its_conversation(
    chat: Any, writer: Loopback
) -> None:
    def answer(system: str, user: str) -> str:
        return "capital of France" if "search engine" in system else "Paris it is [1]."

    writer.answer = answer
    found = chat("Tell me of France.", "A country.", "And its capital?", system="Be brief {x}.")
    assert found.choices[0].message.content == "Paris it is [1]."
    assert found.chunks[0]["id"] == "paris"
    rewrite, written = (got.body for got in writer.got)
    for body in (rewrite, written):
        user = body["messages"][-1]["content"]
        assert "user: Tell me of France.\nassistant: A country." in user
        assert "And its capital?" in user
    assert written["messages"][0]["content"].endswith("Be brief {x}.")
    assert "Be brief" not in rewrite["messages"][0]["content"]
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (22, 6)
    writer.got.clear()
    chat("Hi.", "Hello.", QUESTION, **AS_IT_IS)
    assert len(writer.got) == 1


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "length"), ("refusal", "content_filter"), ("end", "stop")]
)
def test_why_it_ended(chat: Any, writer: Loopback, finish: str, reason: str) -> None:
    writer.finish = finish
    assert chat(QUESTION).choices[0].finish_reason == reason
    assert list(chat(QUESTION, stream=True))[-1].choices[0].finish_reason == reason


def test_usage_is_counted_where_the_model_does_not_tell(chat: Any, writer: Loopback) -> None:
    writer.usage = False
    usage = chat(QUESTION).usage
    assert usage.prompt_tokens > 50
    assert 5 < usage.completion_tokens < 30


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_fails_is_a_server_error(
    chat: Any, writer: Loopback, stream: bool
) -> None:
    writer.faults += [Fault("status", 500)] * 3
    with pytest.raises(openai.InternalServerError) as caught:
        chat(QUESTION, stream=stream)
    assert caught.value.status_code == 502
    assert caught.value.type == "server_error"
    assert KEY not in str(caught.value)


def test_a_model_that_fails_midway_ends_the_stream_with_an_error(
    chat: Any, writer: Loopback
) -> None:
    writer.faults.append(Fault("error"))
    got = []
    with pytest.raises(openai.APIError, match="overloaded") as caught:
        got.extend(chat(QUESTION, stream=True))
    assert KEY not in str(caught.value)


def test_a_model_without_a_key_is_one_clear_error(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    from secondpass import InputError
    from secondpass.server.settings import ServerSettings
    from secondpass.server.state import ServerState

    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    state = ServerState(ServerSettings(llm="openai/m-1"))
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        state.load()
    state.close()


def test_all_dialects_of_a_server_share_one_language_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting_llm.install(tmp_path, monkeypatch)
    counting_llm.built.clear()
    with library(tmp_path, llm="counting/m") as served:
        headers = {"x-api-key": served.keys["search"]}
        with httpx2.Client(base_url=served.url, headers=headers, timeout=30) as http:
            for _ in range(3):
                body = {"query": QUESTION}
                answer = http.post("/api/v1/indexes/docs/answer", json=body).json()
                assert (answer["status"], answer["model"]) == ("generated", "counting/m")
                messages = [{"role": "user", "content": QUESTION}]
                chat = http.post("/v1/chat/completions", json={"messages": messages}).json()
                assert chat["choices"][0]["message"]["content"] == counting_llm.ANSWER
        (llm,) = counting_llm.built
        assert (llm.prompts, llm.closed) == (6, False)
    assert llm.closed
