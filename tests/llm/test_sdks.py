"""The official SDKs and our clients send the same request for the same call."""

from __future__ import annotations

from typing import Any

import pytest

from secondpass.llm import Prompt
from tests.leftovers import swept  # noqa: F401
from tests.llm.conftest import model
from tests.llm.server import KEY, Got, Loopback

SCHEMA = {
    "type": "object",
    "properties": {"best": {"type": "string"}},
    "required": ["best"],
    "additionalProperties": False,
}


def same(ours: Got, theirs: Got, *names: str) -> None:
    assert ours.path == theirs.path
    assert ours.body == theirs.body
    for name in ("authorization", "content-type", *names):
        assert ours.headers.get(name) == theirs.headers.get(name), name


@pytest.mark.parametrize("stream", [False, True])
def test_openai(server: Loopback, stream: bool) -> None:
    openai: Any = pytest.importorskip("openai", reason="the group sdk is not installed")
    prompt = Prompt(
        "Be brief.", "Hello 日本", max_tokens=50, stop=("END",), schema=SCHEMA, seed=7,
        top_logprobs=5,
    )  # fmt: skip
    with model("openai", server) as llm:
        said = "".join(llm.stream(prompt)) if stream else llm.complete(prompt).text
    extra = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    with openai.OpenAI(base_url=server.openai, api_key=KEY, max_retries=0) as client:
        found = client.chat.completions.create(
            model="m-1",
            messages=[
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hello 日本"},
            ],
            max_tokens=50,
            temperature=0.0,
            seed=7,
            stop=["END"],
            logprobs=True,
            top_logprobs=5,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA},
            },
            **extra,
        )
        if stream:
            text = "".join(c.choices[0].delta.content or "" for c in found if c.choices)
        else:
            text = found.choices[0].message.content
    assert text == said
    same(*server.got)


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic(server: Loopback, stream: bool) -> None:
    anthropic: Any = pytest.importorskip("anthropic", reason="the group sdk is not installed")
    prompt = Prompt("Be brief.", "Hello 日本", max_tokens=50, stop=("END",), schema=SCHEMA)
    with model("anthropic", server) as llm:
        said = "".join(llm.stream(prompt)) if stream else llm.complete(prompt).text
    with anthropic.Anthropic(base_url=server.anthropic, api_key=KEY, max_retries=0) as client:
        found = client.messages.create(
            model="m-1",
            max_tokens=50,
            system="Be brief.",
            messages=[{"role": "user", "content": "Hello 日本"}],
            stop_sequences=["END"],
            output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
            **({"stream": True} if stream else {}),
        )
        if stream:
            text = "".join(
                event.delta.text
                for event in found
                if event.type == "content_block_delta" and event.delta.type == "text_delta"
            )
        else:
            text = "".join(block.text for block in found.content if block.type == "text")
    assert text == said
    same(*server.got, "anthropic-version")
