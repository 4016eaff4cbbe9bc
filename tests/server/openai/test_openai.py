"""OpenAI's dialect, by OpenAI's own client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import pytest

from secondpass import Embedder
from tests.server.library import ADDRESS, QUESTION, SECRET, Library, library
from tests.server.load import busy

openai: Any = pytest.importorskip("openai", reason="the group sdk is not installed")
NAMED = {"type": "function", "function": {"name": "look"}}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
ASKED = [{"role": "user", "content": QUESTION}]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with library(tmp_path_factory.mktemp("openai"), max_documents=3) as found:
        yield found


_OPEN: list[Any] = []


@pytest.fixture(autouse=True)
def _closing() -> Iterator[None]:
    yield
    while _OPEN:
        _OPEN.pop().close()


def client(served: Library, key: str = "all") -> Any:
    chosen = served.keys.get(key, key)
    one = openai.OpenAI(base_url=f"{served.url}/v1", api_key=chosen, max_retries=0)
    _OPEN.append(one)
    return one


def chat(served: Library, key: str = "all", **more: Any) -> Any:
    asked = {"model": "docs", "messages": ASKED, **more}
    return client(served, key).chat.completions.create(**asked)


def searching(options: Any) -> dict[str, Any]:
    return {"extra_body": {"ai_search_options": options}}


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_read_is_told(served: Library, path: str, stream: bool) -> None:
    def ask(question: str) -> httpx2.Response:
        turns = [{"role": "user", "content": question}]
        name = "input" if path == "responses" else "messages"
        body = {"model": "docs", "stream": stream, name: turns}
        headers = {"authorization": f"Bearer {served.keys['all']}"}
        return httpx2.post(f"{served.url}/v1/{path}", json=body, headers=headers, timeout=30)

    assert "The query is too long" in ask(f"{QUESTION} " * 100).headers["x-warnings"]
    assert "x-warnings" not in ask(QUESTION).headers


def test_an_answer_has_its_sources(served: Library) -> None:
    found = chat(served)
    (choice,) = found.choices
    assert choice.message.content.startswith("Paris is the capital of France. [1]")
    assert (choice.message.role, choice.finish_reason) == ("assistant", "stop")
    first = found.chunks[0]
    assert (first["id"], first["number"], first["url"]) == ("paris", 1, ADDRESS)
    assert first["metadata"]["year"] == 2020
    assert 0 <= first["score"] <= 1
    (cited,) = choice.message.annotations
    place = cited.url_citation
    assert (place.url, place.title) == (ADDRESS, "Paris")
    assert choice.message.content[place.start_index : place.end_index] == "[1]"
    usage = found.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0
    assert found.model == "docs"


def test_a_stream_says_the_same_in_the_usual_order(served: Library) -> None:
    whole = chat(served)
    got = list(chat(served, stream=True, stream_options={"include_usage": True}))
    *chunks, finish, usage = got
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[0].chunks == whole.chunks
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert finish.choices[0].finish_reason == "stop"
    assert finish.choices[0].delta.content is None
    assert finish.choices[0].delta.annotations[0]["url_citation"]["url"] == ADDRESS
    assert usage.choices == []
    assert usage.usage == whole.usage
    assert len({chunk.id for chunk in got}) == 1
    without = list(chat(served, stream=True))
    assert [chunk.usage for chunk in without] == [None] * len(without)
    assert all(chunk.choices for chunk in without)


def test_async(served: Library) -> None:
    async def ask() -> Any:
        url, key = f"{served.url}/v1", served.keys["search"]
        async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as one:
            return await one.chat.completions.create(model="docs", messages=ASKED)

    assert "Paris" in asyncio.run(ask()).choices[0].message.content


def test_limits_hold_without_a_language_model(served: Library) -> None:
    short = chat(served, max_tokens=4).choices[0]
    assert (short.message.content, short.finish_reason) == ("Paris is the capital", "length")
    assert not short.message.annotations
    both = chat(served, max_tokens=4, max_completion_tokens=2).choices[0]
    assert both.message.content == "Paris is"
    stopped = chat(served, stop=[" of", "zzz"]).choices[0]
    assert (stopped.message.content, stopped.finish_reason) == ("Paris is the capital", "stop")


@pytest.mark.parametrize(
    "more",
    [
        {"tools": TOOLS},
        {"tools": TOOLS, "tool_choice": "auto"},
        {"tools": TOOLS, "tool_choice": "none", "parallel_tool_calls": False},
        {"logprobs": False, "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}},
        {"response_format": {"type": "text"}, "modalities": ["text"], "n": 1, "store": True},
        {"extra_body": {"tool_choice": None, "logprobs": None, "audio": None}},
    ],
)
def test_what_changes_no_answer_is_accepted(served: Library, more: dict[str, Any]) -> None:
    (choice,) = chat(served, **more).choices
    assert choice.message.content.startswith("Paris is the capital of France. [1]")
    assert not choice.message.tool_calls


def test_what_is_not_there_is_not_answered(served: Library) -> None:
    found = chat(served, messages=[{"role": "user", "content": "Who won at chess in 2031?"}])
    assert found.choices[0].message.content == "The documents do not hold an answer to this."
    assert not found.choices[0].message.annotations


def test_how_it_searches_can_be_told(served: Library) -> None:
    def sources(**options: Any) -> list[str]:
        found = chat(served, **searching(options))
        return [chunk["id"] for chunk in found.chunks]

    assert sources(retrieval={"max_num_results": 1}) == ["paris"]
    keyword = sources(retrieval={"retrieval_type": "keyword"}, reranking={"enabled": False})
    assert keyword[0] == "paris"
    for name in ("docs", "default/docs", "gpt-5", ""):
        assert chat(served, model=name).chunks[0]["id"] == "paris"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"n": 2}, "n is not supported here: there is one answer"),
        ({"n": 0}, "n is not supported"),
        ({"messages": []}, "no text of a user"),
        ({"messages": [{"role": "system", "content": "Hi"}]}, "no text of a user"),
        ({"messages": [{"role": "user", "content": " "}]}, "no text of a user"),
        ({"messages": [{"role": "pirate", "content": "x"}]}, r"messages\[0\].role"),
        ({"messages": ["x"]}, r"messages\[0\] must be an object"),
        ({"messages": [{"role": "user", "content": 7}]}, r"messages\[0\].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            r"content\[0\] is not text",
        ),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"seed": 1.5}, "seed"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ""}, "stop"),
        ({"max_tokens": 0}, "max_tokens"),
        (searching({"retrieval": {"filters": {"a": 1}}}), "filters"),
        (searching({"retrieval": {"max_num_results": 51}}), "50 at most"),
        (
            {"tool_choice": "required", "tools": TOOLS},
            "tool_choice is not supported here: no tools",
        ),
        ({"tool_choice": NAMED, "tools": TOOLS}, "tool_choice is not supported here: no tools"),
        ({"extra_body": {"function_call": {"name": "look"}}}, "function_call is not supported"),
        ({"logprobs": True}, "logprobs is not supported"),
        ({"top_logprobs": 3}, "top_logprobs is not supported"),
        ({"logit_bias": {"1": 5}}, "logit_bias is not supported"),
        ({"presence_penalty": 0.5}, "presence_penalty is not supported"),
        ({"frequency_penalty": -1}, "frequency_penalty is not supported"),
        ({"modalities": ["text", "audio"]}, "modalities is not supported"),
        ({"verbosity": "high"}, "verbosity is not supported"),
        ({"web_search_options": {}}, "web_search_options is not supported"),
        (searching({"retrieval": {"retrieval_type": "psychic"}}), "retrieval_type"),
        (searching({"query_rewrite": {"enabled": True}}), "has none"),
        (searching({"reranking": []}), "must be an object"),
        (searching(5), "must be an object"),
    ],
)
def test_bad_input(served: Library, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(openai.BadRequestError, match=said) as caught:
        chat(served, **wrong)
    assert caught.value.type == "invalid_request_error"
    assert caught.value.code == "invalid"


def test_keys(served: Library) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        chat(served, "sk-wrong")
    assert caught.value.code == "invalid_api_key"
    with pytest.raises(openai.PermissionDeniedError, match="not for search"):
        chat(served, "rerank")
    with pytest.raises(openai.PermissionDeniedError, match="not for rerank"):
        client(served, "search").embeddings.create(model="m", input="a")
    chat(served, "seldom")
    with pytest.raises(openai.RateLimitError, match="1 times a minute") as limited:
        chat(served, "seldom")
    assert int(limited.value.response.headers["retry-after"]) >= 1
    with pytest.raises(openai.APIStatusError) as large:
        chat(served, "few", messages=[{"role": "user", "content": "x" * 3000}])
    assert large.value.status_code == 413


def test_nobody_reaches_another_tenants_index(served: Library) -> None:
    for name in ("secret", "default/secret", "other/secret", "../other/default/secret"):
        assert SECRET not in chat(served, model=name).model_dump_json()
    theirs = chat(served, "other", model="docs")
    assert [chunk["id"] for chunk in theirs.chunks] == ["oz"]
    assert names(client(served, "other")) == {"bundled", "bundled-embedder", "secret"}


def names(one: Any) -> set[str]:
    return {model.id for model in one.models.list()}


def test_models(served: Library) -> None:
    assert names(client(served)) == {"bundled", "bundled-embedder", "docs"}
    assert names(client(served, "search")) == {"docs"}
    assert names(client(served, "rerank")) == {"bundled", "bundled-embedder"}
    assert client(served).models.retrieve("docs").object == "model"
    for name in ("secret", "zzz"):
        with pytest.raises(openai.NotFoundError):
            client(served).models.retrieve(name)
    with pytest.raises(openai.AuthenticationError):
        client(served, "x").models.list()


@pytest.mark.filterwarnings("default")
def test_models_as_cohere_has_them(served: Library) -> None:
    cohere = pytest.importorskip("cohere", reason="the group sdk is not installed")
    with cohere.Client(api_key=served.keys["all"], base_url=served.url) as one:
        listed = {model.name: model.endpoints for model in one.models.list().models}
        assert listed["docs"] == ["chat"]
        reranking = one.models.list(endpoint="rerank").models
        assert [model.name for model in reranking] == ["bundled"]
        assert one.models.get("bundled").endpoints == ["rerank"]


@pytest.mark.parametrize("form", [None, "float", "base64"])
def test_embeddings(served: Library, form: str | None) -> None:
    texts = ["Paris is the capital of France.", "日本 👩‍👩‍👧", " "]
    more = {} if form is None else {"encoding_format": form}
    found = client(served).embeddings.create(model="any", input=texts, **more)
    made = [row.embedding for row in found.data]
    if form == "base64":
        made = [np.frombuffer(__import__("base64").b64decode(one), "<f4") for one in made]
    embedder = Embedder()
    expected = embedder.encode(texts)
    assert np.allclose(made, expected, atol=1e-6)
    assert [row.index for row in found.data] == [0, 1, 2]
    assert found.usage.total_tokens == sum(len(ids) for ids, _ in embedder.sequences(texts))
    (one,) = client(served).embeddings.create(model="", input=texts[0], dimensions=384).data
    assert np.allclose(one.embedding, expected[0], atol=1e-6)


def ask(served: Library, path: str, body: Any = None) -> Any:
    headers = {"authorization": f"Bearer {served.keys['all']}"}
    method = "GET" if body is None else "POST"
    got = httpx2.request(method, served.url + path, json=body, headers=headers, timeout=30)
    assert got.status_code == 200, got.text
    return got.json()


def test_infinity_embeds_texts_only(served: Library) -> None:
    headers = {"authorization": f"Bearer {served.keys['all']}"}
    body = {"input": ["a"], "modality": "image"}
    got = httpx2.post(f"{served.url}/infinity/embeddings", json=body, headers=headers)
    assert (got.status_code, "modality" in got.json()["error"]["message"]) == (400, True)


@pytest.mark.parametrize("prefix", ["/infinity", ""])
def test_infinity(served: Library, prefix: str) -> None:
    body = {"input": ["Paris"], "model": "default/not-specified", "modality": "text"}
    found = ask(served, f"{prefix}/embeddings", {**body, "dimensions": 0, "user": None})
    assert np.allclose(
        found["data"][0]["embedding"], Embedder().encode(["Paris"])[0], atol=1e-6
    )
    assert found["id"].startswith("infinity-")
    assert found["created"] > 0
    assert found["usage"]["total_tokens"] == 3
    rows = {row["id"]: row for row in ask(served, f"{prefix}/models")["data"]}
    capabilities = {name: row["capabilities"] for name, row in rows.items()}
    assert capabilities == {"bundled": ["rerank"], "bundled-embedder": ["embed"]}
    row = rows["bundled"]
    assert (row["object"], row["owned_by"]) == ("model", "infinity")
    assert row["stats"]["queue_absolute"] == row["stats"]["queue_fraction"] == 0
    assert row["backend"]


def test_the_prefixes_of_other_servers_embed_too(served: Library) -> None:
    for prefix in ("/tei", "/vllm"):
        found = ask(served, f"{prefix}/v1/embeddings", {"input": "Paris", "model": "m"})
        assert len(found["data"][0]["embedding"]) == 384


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"dimensions": 0}, "dimensions must be a whole number from 1"),
        ({"input": [1, 2]}, "token ids"),
        ({"input": [[1, 2], [3]]}, "token ids"),
        ({"input": []}, "at least one"),
        ({"input": ""}, "not empty"),
        ({"input": ["a", ""]}, r"input\[1\]"),
        ({"input": {"a": 1}}, "must be a text"),
        ({"input": ["a"] * 4}, "4 documents, at most 3"),
        ({"dimensions": 256}, "can only be 384"),
        ({"encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_embeddings_of_bad_input(served: Library, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        client(served).embeddings.create(**{"model": "m", "input": "a", **wrong})


def test_what_is_no_json_and_half_characters(served: Library) -> None:
    headers = {"authorization": f"Bearer {served.keys['all']}"}
    url = f"{served.url}/v1/chat/completions"
    for content in (b"{", b"[]", b""):
        got = httpx2.post(url, content=content, headers=headers)
        assert (got.status_code, got.json()["error"]["code"]) == (400, "invalid")
    half = rb'{"model": "a\ud800", "messages": [{"role": "user", "content": "Paris\ud800?"}]}'
    for stream in (b"false", b"true"):
        content = half[:-1] + b', "stream": ' + stream + b"}"
        got = httpx2.post(url, content=content, headers=headers)
        assert got.status_code == 200
        assert "Paris" in got.text
    embedded = httpx2.post(
        f"{served.url}/v1/embeddings",
        content=rb'{"model": "\ud800", "input": "\ud800"}',
        headers=headers,
    )
    assert embedded.status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_busy_server_is_a_rate_limit_error(
    tmp_path_factory: pytest.TempPathFactory, stream: bool
) -> None:
    with (
        library(tmp_path_factory.mktemp("busy"), most_waiting=1) as found,
        busy(found.running) as let_go,
    ):
        with pytest.raises(openai.RateLimitError, match="busy") as caught:
            chat(found, stream=stream)
        assert int(caught.value.response.headers["retry-after"]) >= 1
        with pytest.raises(openai.RateLimitError, match="busy"):
            client(found).embeddings.create(model="m", input="a")
        let_go()


def test_a_strict_server_knows_its_names_only(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with library(tmp_path_factory.mktemp("strict"), strict=True) as found:
        with pytest.raises(openai.NotFoundError) as caught:
            chat(found, model="gpt-5")
        assert caught.value.code == "model_not_found"
        assert chat(found, model="docs").chunks
        with pytest.raises(openai.NotFoundError, match="bundled-embedder"):
            client(found).embeddings.create(model="ada", input="a")
