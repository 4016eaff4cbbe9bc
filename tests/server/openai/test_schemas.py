"""What is read of requests holds for all of them, not only for well-formed ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import Document
from secondpass.answer import Citation, Passage
from secondpass.rerank.llm.prompts import count_tokens
from secondpass.server.http_errors import HttpError
from secondpass.server.http_json import Body
from secondpass.server.openai.chat import truncate
from secondpass.server.openai.responses import url_citations
from secondpass.server.openai.schemas import Sampling, parse_chat, parse_messages
from secondpass.server.result_fields import json_value, source_url
from secondpass.types import FirstStageScores, RankedDocument, ScoreKind

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "type", "text", "x"]), inner)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["messages", "n", "stop", "seed", "temperature", "model", "stream", "stream_options",
     "ai_search_options", "response_format", "max_tokens"]
)  # fmt: skip
ROLE = st.sampled_from(["system", "developer", "user", "assistant", "tool"])
TALK = st.lists(st.tuples(ROLE, st.text(max_size=5)), max_size=8)


@given(st.dictionaries(KEYS, JSON, max_size=5))
def test_whatever_a_body_holds_it_is_read_or_refused(found: dict[str, Any]) -> None:
    refused = None
    try:
        parse_chat(Body(found))
    except HttpError as problem:
        refused = problem
    assert refused is None or (refused.status == 400 and refused.message)


@given(TALK)
def test_the_last_user_asks_and_what_came_before_is_the_history(
    talk: list[tuple[str, str]],
) -> None:
    body = Body({"messages": [{"role": r, "content": t} for r, t in talk]})
    asked = [i for i, (role, text) in enumerate(talk) if role == "user" and text.strip()]
    if not asked:
        with pytest.raises(HttpError, match="no text of a user"):
            parse_messages(body)
        return
    found = parse_messages(body)
    assert found.question == talk[asked[-1]][1]
    said = [(r, t) for r, t in talk[: asked[-1]] if r in ("user", "assistant") and t.strip()]
    assert [(turn.role, turn.text) for turn in found.history] == said


def test_parts_are_joined_and_what_has_no_text_is_skipped() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    call = {"role": "assistant", "content": None, "tool_calls": []}
    body = Body({"messages": [call, {"role": "user", "content": parts}]})
    found = parse_messages(body)
    assert (found.question, found.history) == ("a\nb", ())


@given(
    st.text(alphabet="ab .\n", max_size=40),
    st.none() | st.integers(1, 6),
    st.lists(st.text(alphabet="ab .", min_size=1, max_size=3), max_size=2),
)
def test_a_shortened_text_is_a_beginning_within_its_limits(
    text: str, most: int | None, stop: list[str]
) -> None:
    kept, cut = truncate(text, Sampling(max_tokens=most, stop=tuple(stop)))
    assert text.startswith(kept)
    assert not any(one in kept for one in stop)
    if most is not None and cut:
        assert count_tokens(kept) <= most or " " not in kept
    if not cut and not stop:
        assert kept == text


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_metadata_becomes_json_that_can_be_sent(metadata: dict[str, Any]) -> None:
    json.dumps(json_value(metadata), allow_nan=False, ensure_ascii=False).encode()
    url = source_url(metadata)
    assert url is None or url.startswith(("http://", "https://"))


def test_only_documents_with_an_address_are_cited() -> None:
    first = FirstStageScores(1)
    found = {
        rank: RankedDocument(
            0, rank, 1.0, ScoreKind.LOGIT, first, "a#1", Document("x", metadata=m)
        )
        for rank, m in ((1, {"source": "https://a"}), (2, {"source": "file.txt"}))
    }
    passages = [Passage(n, "x", ("a#1",), n) for n in (1, 2, 3)]
    text = "One [1, 2]. Two [3]"
    citations = [
        Citation(p.number, text.index("["), p, True) for p in passages
    ]  # fmt: skip
    (one,) = url_citations(text, citations, found)
    place = {"url": "https://a", "title": "https://a", "start_index": 4, "end_index": 10}
    assert one == {"type": "url_citation", "url_citation": place}
    assert url_citations("cut [1", citations[:1], found) == []
