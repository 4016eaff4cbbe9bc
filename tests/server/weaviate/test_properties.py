"""Small parts: tokens, times, cutting at jumps, growing declarations, language."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.server.http_errors import HttpError
from secondpass.server.weaviate.class_definition import declared_class, language_of, read_class
from secondpass.server.weaviate.names import class_name, object_id, property_name
from secondpass.server.weaviate.properties import BETWEEN, TOKENIZATIONS, moment, stored, tokens
from secondpass.server.weaviate.search import autocut
from secondpass.server.weaviate.writes import grown

zones = st.builds(
    lambda minutes: timezone(timedelta(minutes=minutes)), st.integers(-14 * 60, 14 * 60)
)


@given(st.text(), st.sampled_from(sorted(TOKENIZATIONS)))
def test_tokens_never_hold_what_stands_between_them(text: str, tokenization: str) -> None:
    found = tokens(text, tokenization)
    assert all(token and BETWEEN not in token for token in found)
    assert [part for part in stored(found).split(BETWEEN) if part] == found
    again = tokens(" ".join(found), tokenization)
    assert again == found or tokenization == "field"


def test_tokenizations() -> None:
    text = " Hello, the_World-1  é "
    assert tokens(text, "word") == ["hello", "the", "world", "1", "é"]
    assert tokens(text, "lowercase") == ["hello,", "the_world-1", "é"]
    assert tokens(text, "whitespace") == ["Hello,", "the_World-1", "é"]
    assert tokens(text, "field") == ["Hello, the_World-1  é"]
    assert tokens(" ", "field") == []


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=zones))
def test_times_are_read_to_the_microsecond(when: datetime) -> None:
    assert moment(when.isoformat()) == when.astimezone(UTC).replace(tzinfo=None)
    if when.utcoffset() == timedelta(0):
        assert moment(when.isoformat().replace("+00:00", "z").replace("T", "t")) == moment(
            when.isoformat()
        )


@given(st.text(max_size=30) | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", fullmatch=True))
def test_other_texts_are_no_times(text: str) -> None:
    try:
        expected = datetime.fromisoformat(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"\w"):
            moment(text)
    else:
        if len(text) > 10 and expected.tzinfo is not None and text[10] in "Tt":
            assert moment(text) == expected.astimezone(UTC).replace(tzinfo=None)


@pytest.mark.parametrize(
    ("scores", "jumps", "expected"),
    [
        ([], 1, 0),
        ([1.0], 1, 1),
        ([1.0, 0.0], 1, 2),
        ([1.0, 1.0, 1.0], 1, 3),
        ([0.1, 0.11, 0.5, 0.51], 1, 2),
        ([0.1, 0.1, 0.9, 0.9, 0.9], 1, 2),
        ([9, 8.9, 4, 3.9, 0.1, 0], 1, 2),
        ([9, 8.9, 4, 3.9, 0.1, 0], 2, 4),
        ([9, 8.9, 4, 3.9, 0.1, 0], 9, 6),
        ([9, 8.9, 4], 0, 3),
        ([9, 8.9, 4], -1, 3),
    ],
)
def test_where_a_ranking_is_cut(scores: list[float], jumps: int, expected: int) -> None:
    assert autocut(scores, jumps) == expected


@given(
    st.lists(st.floats(-1e6, 1e6), max_size=20).map(sorted), st.integers(-1, 5), st.booleans()
)
def test_a_cut_keeps_something_of_everything(
    scores: list[float], jumps: int, falling: bool
) -> None:
    ranking = scores[::-1] if falling else scores
    kept = autocut(ranking, jumps)
    assert min(1, len(scores)) <= kept <= len(scores)
    assert kept <= autocut(ranking, jumps + 1) or jumps < 1


def kinds(values: dict[str, Any], *known: Any) -> dict[str, str]:
    return {one["name"]: one["dataType"][0] for one in grown(known, values)}


def test_declarations_grow_with_what_objects_bring() -> None:
    first = grown([], {"Inner": {"a": 1}, "list": [{"x": "y"}, {"z": True}], "no": None})
    assert [one["name"] for one in first] == ["inner", "list"]
    assert [one["name"] for one in first[1]["nestedProperties"]] == ["x", "z"]
    second = grown(first, {"inner": {"b": {"c": "d"}}, "list": [{"w": 1}, 5]})
    assert len(second) == 2
    assert [one["name"] for one in second[0]["nestedProperties"]] == ["a", "b"]
    assert [one["name"] for one in second[1]["nestedProperties"]] == ["x", "z", "w"]
    assert len(first[0]["nestedProperties"]) == 1
    assert kinds({"a": "text", "b": [1, 2.5], "c": [True]}) == {
        "a": "text",
        "b": "number[]",
        "c": "boolean[]",
    }
    # Thirty-two digits are a hash rather than an id.
    assert kinds({"a": "0" * 32}) == {"a": "text"}
    assert kinds({"FOO": 1}, {"name": "fOO", "dataType": ["int"]}) == {"fOO": "int"}


@pytest.mark.parametrize(
    "values", [{"a": [1, "x"]}, {"a": [None]}, {"a": [[1]]}, {"a": {}}, {"a": [{}]}, {"a b": 1}]
)
def test_what_no_declaration_can_be_made_of(values: dict[str, Any]) -> None:
    with pytest.raises(HttpError):
        grown([], values)


def test_names() -> None:
    assert (class_name("doc"), property_name("Text")) == ("Doc", "text")
    assert object_id("{5E58AD90-95F0-411E-8373-50FB644A14B6}").startswith("5e58ad90-95f0-")
    for wrong in (None, 5, "", " ", "é", "a-b", "a" * 300, "a\n"):
        for check in (class_name, property_name, object_id):
            with pytest.raises(HttpError):
                check(wrong)


def test_stop_words_decide_the_language() -> None:
    for preset, language in (("en", "english"), ("none", "none")):
        config = {"stopwords": {"preset": preset}}
        declared = declared_class({"class": "A", "invertedIndexConfig": config})
        assert language_of(declared) == language


def test_a_class_is_read_as_it_was_declared() -> None:
    module = {"text2vec-openai": {"model": "any", "properties": ["b"]}}
    declared = declared_class(
        {
            "class": "A",
            "properties": [
                {"name": "a", "dataType": ["text"]},
                {"name": "b", "dataType": ["text[]"]},
                {"name": "c", "dataType": ["int"]},
            ],
            "vectorConfig": {"v": {"vectorizer": module}},
            "moduleConfig": {"generative-x": {"model": "m"}, "reranker-y": {"model": "r"}},
        }
    )
    found = read_class(declared)
    assert (found.vectorizer, found.vector_name, found.reranker) == (
        "text2vec-openai",
        "v",
        "r",
    )
    values = {"a": "x", "b": ["y", "z"], "c": 5}
    assert found.searchable_text(values) == "x\ny\nz"
    assert found.vector_text(values) == "y\nz"
    assert found.vector_text({"a": "x"}) == "A"
    assert declared_class(declared) == declared
