"""OpenAI's responses over an index, by OpenAI's own client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.llm.server import KEY, Fault, Loopback, serving
from tests.server.library import ADDRESS, QUESTION, Library, library

openai: Any = pytest.importorskip("openai", reason="the group sdk is not installed")
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": True}
BEGINNING = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
]
END = [
    "response.output_text.annotation.added",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with library(tmp_path_factory.mktemp("responses"), max_documents=3) as found:
        yield found


@pytest.fixture(scope="module")
def client(served: Library) -> Iterator[Any]:
    url, key = f"{served.url}/v1", served.keys["search"]
    with openai.OpenAI(base_url=url, api_key=key, max_retries=0) as one:
        yield one


def test_a_response_has_its_sources(client: Any) -> None:
    found = client.responses.create(
        model="docs", input=QUESTION, instructions="Be short.", metadata={"a": "b"}
    )
    assert found.output_text.startswith("Paris is the capital of France. [1]")
    (message,) = found.output
    (part,) = message.content
    (cited,) = part.annotations
    assert (cited.type, cited.url, cited.title) == ("url_citation", ADDRESS, "Paris")
    assert part.text[cited.start_index : cited.end_index] == "[1]"
    assert (found.status, message.status, found.error) == ("completed", "completed", None)
    assert (found.store, found.instructions, found.metadata) == (False, "Be short.", {"a": "b"})
    usage = found.usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens > 0
    assert found.chunks[0]["id"] == "paris"
    assert (found.model, found.object) == ("docs", "response")


def test_the_conversation_may_be_a_list(client: Any) -> None:
    parts = [{"type": "input_text", "text": QUESTION}]
    conversation = [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": "Hello"},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
        },
        {"type": "function_call", "name": "look", "arguments": "{}", "call_id": "c"},
        {"type": "function_call_output", "call_id": "c", "output": "nothing"},
        {"type": "message", "role": "user", "content": parts},
    ]
    found = client.responses.create(model="docs", input=conversation)
    assert found.output_text.startswith("Paris is the capital of France. [1]")


def test_a_stream_has_the_events_in_their_order(client: Any) -> None:
    asked = {"model": "docs", "input": QUESTION}
    whole = client.responses.create(**asked)
    got = list(client.responses.create(**asked, stream=True))
    kinds = [event.type for event in got]
    deltas = len(kinds) - len(BEGINNING) - len(END)
    assert deltas > 0
    assert kinds == [*BEGINNING, *["response.output_text.delta"] * deltas, *END]
    assert [event.sequence_number for event in got] == list(range(len(got)))
    text = "".join(event.delta for event in got[len(BEGINNING) : -len(END)])
    last = got[-1].response
    assert text == last.output_text == whole.output_text
    assert last.usage == whole.usage
    assert last.output[0].content == whole.output[0].content
    assert len({event.item_id for event in got if hasattr(event, "item_id")}) == 1
    with client.responses.stream(**asked) as stream:
        assert stream.get_final_response().output_text == whole.output_text


def test_limits_make_it_incomplete(client: Any) -> None:
    found = client.responses.create(model="docs", input=QUESTION, max_output_tokens=4)
    assert found.output_text == "Paris is the capital"
    assert (found.status, found.output[0].status) == ("incomplete", "incomplete")
    assert found.incomplete_details.reason == "max_output_tokens"
    *_, last = client.responses.create(
        model="docs", input=QUESTION, max_output_tokens=4, stream=True
    )
    assert last.type == "response.incomplete"


def test_what_changes_no_answer_is_accepted(client: Any) -> None:
    found = client.responses.create(
        model="docs",
        input=QUESTION,
        tools=[TOOL],
        tool_choice="auto",
        store=True,
        include=["reasoning.encrypted_content"],
        text={"format": {"type": "text"}},
        truncation="auto",
        reasoning={"effort": "low"},
        parallel_tool_calls=False,
    )
    assert found.output_text.startswith("Paris")
    assert (found.store, found.tools) == (False, [])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"input": ""}, "no text of a user"),
        ({"input": []}, "no text of a user"),
        ({"input": 7}, "input must be a text"),
        ({"input": ["x"]}, r"input\[0\] must be an object"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "is not text"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "none are stored"),
        ({"previous_response_id": "resp_1"}, "nothing is stored: send the conversation"),
        ({"conversation": "conv_1"}, "nothing is stored: send the conversation"),
        ({"background": True}, "background is not supported"),
        ({"prompt": {"id": "p"}}, "prompt is not supported here"),
        (
            {"tools": [TOOL], "tool_choice": "required"},
            "tool_choice is not supported here: no tools",
        ),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "name": "look"}},
            "tool_choice is not",
        ),
        ({"text": {"format": {"type": "json_object"}}}, "text.format is not supported here"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"top_logprobs": 2}, "top_logprobs is not supported"),
        ({"include": ["message.output_text.logprobs"]}, "include cannot have"),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
    ],
)
def test_what_changes_an_answer_is_refused(client: Any, wrong: Any, said: str) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        client.responses.create(**{"model": "docs", "input": QUESTION, **wrong})


@pytest.mark.parametrize("stream", ["false", "true"])
def test_half_characters_and_numbers_out_of_range(served: Library, stream: str) -> None:
    body = (
        r'{"input": "capital of France\ud800?", "metadata": {"a": NaN, "b\udfff": "\ud800"}, '
        f'"model": "a\\ud800", "stream": {stream}}}'
    )
    headers = {"authorization": f"Bearer {served.keys['search']}"}
    got = httpx2.post(f"{served.url}/v1/responses", content=body, headers=headers, timeout=30)
    assert got.status_code == 200
    assert "NaN" not in got.text
    assert "Paris is the capital" in got.text


def test_none_is_stored(client: Any) -> None:
    for call in (
        client.responses.retrieve,
        client.responses.delete,
        client.responses.cancel,
        client.responses.input_items.list,
    ):
        with pytest.raises(openai.NotFoundError, match="responses are not stored"):
            call("resp_1")


def test_keys(served: Library) -> None:
    url = f"{served.url}/v1/responses"
    headers = {"authorization": f"Bearer {served.keys['rerank']}"}
    body = {"model": "docs", "input": QUESTION}
    assert httpx2.post(url, json=body).status_code == 401
    assert httpx2.post(url, json=body, headers=headers).status_code == 403


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Loopback]]:
    """A client of a server with a language model, and that model."""
    folder: Path = tmp_path_factory.mktemp("llm")
    with serving() as writer, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", writer.openai)
        patch.setenv("OPENAI_API_KEY", KEY)
        with library(folder, llm="openai/m-1") as served:
            url, key = f"{served.url}/v1", served.keys["search"]
            with openai.OpenAI(base_url=url, api_key=key, max_retries=0) as one:
                yield one, writer


def test_a_language_model_gets_the_instructions(written: tuple[Any, Loopback]) -> None:
    client, writer = written
    writer.got.clear()
    writer.answer = lambda system, user: "Paris is the capital of France [1]."
    found = client.responses.create(model="docs", input=QUESTION, instructions="Rhyme!")
    assert found.output_text.startswith("Paris is the capital of France")
    assert "Rhyme!" in str(writer.got[-1])


def test_a_model_that_fails_while_it_streams(written: tuple[Any, Loopback]) -> None:
    client, writer = written
    writer.faults.append(Fault("error"))
    with pytest.raises(openai.APIError, match="overloaded") as caught:
        list(client.responses.create(model="docs", input=QUESTION, stream=True))
    assert KEY not in str(caught.value)
