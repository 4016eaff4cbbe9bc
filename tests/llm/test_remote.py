"""Both clients against a server that keeps their contracts."""

from __future__ import annotations

import json
import pickle
import traceback

import pytest

from secondpass.errors import InputError, LLMError, ModelNotFoundError
from secondpass.llm import LLM, Completion, Prompt, Stop, load_llm
from tests.llm.conftest import model
from tests.llm.server import KEY, Fault, Loopback

ASK = Prompt("Be brief.", "Say hello. \ud800", max_tokens=64, stop=("END",))
SAID = "Hello, wörld 👩‍👩‍👧!"
SCHEMA = {
    "type": "object",
    "properties": {"order": {"type": "array", "items": {"type": "string"}}},
    "required": ["order"],
    "additionalProperties": False,
}


async def test_every_way_of_asking_gives_the_same_answer(llm: LLM) -> None:
    whole = llm.complete(ASK)
    assert whole == Completion(SAID, Stop.END, 11, 3)
    assert whole.tokens == 14
    assert await llm.acomplete(ASK) == whole
    stream = llm.stream(ASK)
    pieces = list(stream)
    assert "".join(pieces) == SAID
    assert len(pieces) > 2
    assert stream.completion == whole
    astream = llm.astream(ASK)
    assert "".join([piece async for piece in astream]) == SAID
    assert astream.completion == whole


def test_what_openai_gets(server: Loopback) -> None:
    with model("openai", server) as llm:
        llm.complete(ASK)
    (got,) = server.got
    assert got.path == "/v1/chat/completions"
    assert got.headers["authorization"] == f"Bearer {KEY}"
    assert got.body == {
        "model": "m-1",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Say hello. \ufffd"},
        ],
        "max_tokens": 64,
        "temperature": 0.0,
        "stop": ["END"],
    }


def test_what_anthropic_gets(server: Loopback) -> None:
    with model("anthropic", server) as llm:
        llm.complete(Prompt("Be brief.", "Hello", schema=SCHEMA, stop=("END",)))
    (got,) = server.got
    assert got.path == "/v1/messages"
    assert got.headers["authorization"] == f"Bearer {KEY}"
    assert got.headers["anthropic-version"] == "2026-10-21"
    assert got.body == {
        "model": "m-1",
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": "Hello"}],
        "system": "Be brief.",
        "stop_sequences": ["END"],
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    }


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 503, 529])
def test_what_may_pass_is_tried_again(llm: LLM, server: Loopback, status: int) -> None:
    server.faults = [Fault("status", status), Fault("status", status)]
    assert llm.complete(ASK).text == SAID
    assert len(server.got) == 3
    server.faults = [Fault("status", status)]
    assert "".join(llm.stream(ASK)) == SAID


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_what_will_not_pass_is_not(llm: LLM, server: Loopback, status: int) -> None:
    server.faults = [Fault("status", status, "no such thing")]
    with pytest.raises(LLMError, match="no such thing") as caught:
        llm.complete(ASK)
    assert (caught.value.status, caught.value.retryable) == (status, False)
    assert len(server.got) == 1


def test_the_server_may_say_whether_to_try_again(llm: LLM, server: Loopback) -> None:
    server.faults = [Fault("status", 500, headers=(("x-should-retry", "false"),))]
    with pytest.raises(LLMError):
        llm.complete(ASK)
    assert len(server.got) == 1
    server.faults = [
        Fault("status", 400, headers=(("x-should-retry", "true"), ("retry-after-ms", "1")))
    ]
    assert llm.complete(ASK).text == SAID


def test_tries_end(llm: LLM, server: Loopback) -> None:
    server.faults = [Fault("status", 429, "slow down")] * 9
    with pytest.raises(LLMError, match="slow down") as caught:
        llm.complete(ASK)
    assert caught.value.retryable
    assert len(server.got) == 3


def test_a_pause_that_is_too_long_is_not_waited_for(llm: LLM, server: Loopback) -> None:
    server.faults = [Fault("status", 429, headers=(("retry-after", "60"),))]
    with pytest.raises(LLMError, match="429"):
        llm.complete(ASK)


@pytest.mark.parametrize("kind", ["reset", "half"])
async def test_a_broken_connection_is_tried_again(
    llm: LLM, server: Loopback, kind: str
) -> None:
    server.faults = [Fault(kind)]
    assert llm.complete(ASK).text == SAID
    server.faults = [Fault(kind)]
    assert (await llm.acomplete(ASK)).text == SAID
    assert len(server.got) == 4


def test_an_answer_that_is_no_json_is_an_error(llm: LLM, server: Loopback) -> None:
    server.faults = [Fault("malformed")]
    with pytest.raises(LLMError, match="cannot be read"):
        llm.complete(ASK)


@pytest.mark.parametrize("kind", ["cut", "broken", "error"])
async def test_a_stream_that_fails_midway_gives_what_came_and_an_error(
    llm: LLM, server: Loopback, kind: str
) -> None:
    server.faults = [Fault(kind), Fault(kind)]
    stream, pieces = llm.stream(ASK), list[str]()
    with pytest.raises(LLMError) as caught:
        pieces.extend(stream)
    assert SAID.startswith("".join(pieces))
    assert stream.completion is None
    assert KEY not in str(caught.value)
    with pytest.raises(LLMError):
        [piece async for piece in llm.astream(ASK)]


async def test_a_stream_that_breaks_after_its_end_is_whole(llm: LLM, server: Loopback) -> None:
    server.faults = [Fault("half"), Fault("half")]
    assert "".join(llm.stream(ASK)) == SAID
    assert "".join([piece async for piece in llm.astream(ASK)]) == SAID


def test_a_slow_drip_ends_at_the_deadline(server: Loopback) -> None:
    server.faults = [Fault("drip")]
    with (
        model("openai", server, deadline=0.3, retries=0) as llm,
        pytest.raises(LLMError, match=r"within 0\.3 s"),
    ):
        llm.complete(ASK)


def test_a_stream_can_be_left(llm: LLM) -> None:
    stream = llm.stream(ASK)
    assert next(iter(stream))
    stream.close()
    assert llm.complete(ASK).text == SAID


def test_no_server_is_an_error_that_says_where() -> None:
    with (
        load_llm("ollama/m", base_url="http://127.0.0.1:9/v1", retries=0) as llm,
        pytest.raises(
            LLMError, match=r"ollama/m at http://127\.0\.0\.1:9.*Check that the server runs"
        ),
    ):
        llm.complete(ASK)


@pytest.mark.parametrize(
    ("refused", "message", "changed"),
    [
        ("max_tokens", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'.",
         {"max_completion_tokens": 64}),
        ("temperature", "'temperature' does not support 0 with this model.", {}),
        ("stop", "Unsupported: stop", {}),
        ("response_format=json_schema", "response_format.type json_schema is not supported",
         {"response_format": {"type": "json_object"}}),
    ],
)  # fmt: skip
def test_what_a_server_refuses_is_left_out_from_then_on(
    server: Loopback, refused: str, message: str, changed: dict[str, object]
) -> None:
    server.refuses = {refused: message}
    ask = Prompt("", "Hello", max_tokens=64, schema=SCHEMA, stop=("END",))
    with model("openai", server) as llm:
        assert llm.complete(ask).text == SAID
        assert llm.complete(ask).text == SAID
    assert len(server.got) == 3
    body = server.got[-1].body
    if refused.partition("=")[0] not in changed:
        assert refused not in body
    assert changed.items() <= body.items()


def test_a_server_without_any_structured_output(server: Loopback) -> None:
    server.refuses = {"response_format": "response_format: extra fields not permitted"}
    with model("openai", server) as llm:
        llm.complete(Prompt("", "Hello", schema=SCHEMA))
    assert "response_format" not in server.got[-1].body
    server.refuses = {"output_config": "output_config: not supported by this model"}
    with model("anthropic", server) as llm:
        llm.complete(Prompt("", "Hello", schema=SCHEMA))
    assert "output_config" not in server.got[-1].body


def test_log_probabilities(server: Loopback) -> None:
    server.logprobs = [{"yes": -0.1, "no": -2.5}, {".": -0.5}]
    with model("openai", server) as llm:
        assert llm.offers_logprobs
        found = llm.complete(Prompt("", "Hello", top_logprobs=5))
        assert found.logprobs == ({"yes": -0.1, "no": -2.5}, {".": -0.5})
        assert server.got[-1].body["top_logprobs"] == 5
        server.refuses = {"logprobs": "logprobs are not supported"}
        assert llm.complete(Prompt("", "Hello", top_logprobs=5)).logprobs == ()
        assert not llm.offers_logprobs
    with model("anthropic", server) as llm:
        assert not llm.offers_logprobs


@pytest.mark.parametrize(
    ("finish", "stop"), [("length", Stop.LENGTH), ("refusal", Stop.REFUSAL)]
)
def test_why_a_model_stopped(llm: LLM, server: Loopback, finish: str, stop: Stop) -> None:
    server.finish = finish
    assert llm.complete(ASK).stop is stop
    stream = llm.stream(ASK)
    assert list(stream)
    assert stream.completion is not None
    assert stream.completion.stop is stop


def test_usage_that_is_missing_is_unknown(llm: LLM, server: Loopback) -> None:
    server.usage = False
    whole = llm.complete(ASK)
    assert (whole.input_tokens, whole.output_tokens, whole.tokens) == (None, None, 0)


def test_the_key_is_never_shown(server: Loopback) -> None:
    for provider in ("openai", "anthropic"):
        with (
            model(provider, server, api_key=KEY[:-1]) as llm,
            pytest.raises(LLMError) as caught,
        ):
            llm.complete(ASK)
        shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
        assert KEY[:-1] not in shown + repr(llm) + repr(vars(llm))
        assert "401" in str(caught.value)
        with pytest.raises(TypeError):
            pickle.dumps(llm)


def test_keys_come_from_the_environment(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", f" {KEY}\n")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.anthropic)
    with load_llm("anthropic/m-1") as llm:
        assert llm.complete(ASK).text == SAID
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.delenv("ANTHROPIC_BASE_URL")
    with pytest.raises(InputError, match="export ANTHROPIC_API_KEY"):
        load_llm("anthropic/m-1")
    with pytest.raises(InputError, match="not valid in an HTTP header") as caught:
        load_llm("openai/m", api_key="sk-ключ")
    assert "ключ" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["ftp://x", "localhost:8000", "http://k:s@h/v1", "http://h?x=1"]
)
def test_base_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(InputError, match="base URL"):
        load_llm("openai/m", base_url=url, api_key="k")


def test_unknown_names() -> None:
    with pytest.raises(ModelNotFoundError, match="Did you mean 'ollama'"):
        load_llm("olama/x")
    with pytest.raises(InputError, match="has no model after"):
        load_llm("ollama/")


def test_room_to_think(server: Loopback) -> None:
    with model("openai", server, extra_tokens=1000) as llm:
        llm.complete(ASK)
    assert server.got[-1].body["max_tokens"] == 1064
    assert json.dumps(server.got[-1].body)
