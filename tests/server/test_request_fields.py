"""Declared request fields: what is accepted, converted, refused, and whose body it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.option_types import Choice, Count, Flag, Number
from secondpass.server.http_errors import HttpError
from secondpass.server.http_json import Body
from secondpass.server.request_fields import (
    Honored,
    NoEffect,
    Refused,
    RequestFields,
    choose_by_fields,
    convert,
)

FIELDS = RequestFields(
    "Example",
    "/example",
    {
        "query": Honored("the query", required=True),
        "top_n": Honored("how many", Count()),
        "side": Honored("the side", Choice(("Left", "Right"))),
        "spans": Refused("there are none", unless=(False, {"mode": "off"})),
        "user": NoEffect("the key says who asks"),
        "options.stream": Honored("whether to stream", Flag()),
        "options.cache": Refused("nothing is cached"),
        "messages[].role": Honored("who speaks"),
        "messages[].name": NoEffect("names are not read"),
    },
)
STRICT = RequestFields(
    "Own", "/own", {"flag": Honored("it acts", Flag())}, lenient=False, unknown="refused"
)


def refused(fields: RequestFields, body: dict[str, Any]) -> str:
    with pytest.raises(HttpError) as raised:
        fields.accept(Body(body))
    assert raised.value.status == 400
    return raised.value.message


def test_only_honored_fields_are_left_and_the_others_are_named() -> None:
    accepted = FIELDS.accept(
        Body(
            {
                "query": "q",
                "top_n": "3",
                "side": "left",
                "spans": {"mode": "off"},
                "user": "me",
                "strange\r\nfield": 1,
                "": 1,
                "options": {"stream": 1.0, "odd": 2},
                "messages": [{"role": "user", "name": "me"}, 7],
                "absent": None,
            }
        )
    )
    assert accepted.body.fields == {
        "query": "q",
        "top_n": 3,
        "side": "Left",
        "options": {"stream": True},
        "messages": [{"role": "user"}, 7],
    }
    assert accepted.ignored == ("user", "strange??field", "?", "options.odd", "messages[].name")
    assert len(accepted.warnings) == 5
    assert accepted.warnings[0] == "user has no effect here: the key says who asks"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "query is missing"),
        ({"query": None}, "query is missing"),
        ({"query": "q", "spans": True}, "spans is not supported here: there are none"),
        ({"query": "q", "spans": 0}, "spans is not supported here"),
        ({"query": "q", "options": {"cache": 1}}, "options.cache is not supported here"),
        ({"query": "q", "options": []}, "options must be an object, not a list"),
        ({"query": "q", "top_n": 0}, "top_n must be a whole number from 1 up, not 0"),
        ({"query": "q", "top_n": "two"}, "top_n must be a whole number from 1 up, not 'two'"),
        ({"query": "q", "options": {"stream": "yes"}}, "options.stream must be true or false"),
        ({"query": "q", "side": "up"}, "side: "),
    ],
)
def test_errors_name_the_field(body: dict[str, Any], message: str) -> None:
    assert refused(FIELDS, body).startswith(message)


def test_a_strict_interface_converts_nothing_and_knows_its_fields() -> None:
    assert STRICT.accept(Body({"flag": True})).body.fields == {"flag": True}
    assert "flag must be true or false" in refused(STRICT, {"flag": "true"})
    assert refused(STRICT, {"fla": True}) == "fla is not a field of Own"


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Flag(), "TRUE", True),
        (Flag(), "0", False),
        (Flag(), 1, True),
        (Flag(), 2, 2),
        (Count(), "1", 1),
        (Count(), "1.0", 1),
        (Count(), 1.5, 1.5),
        (Count(), True, True),
        (Count(), "٣", "٣"),
        (Number(), "0.5", 0.5),
        (Number(), "-2", -2),
        (Number(), "nan", "nan"),
    ],
)
def test_types_as_clients_send_them(kind: Any, value: Any, expected: Any) -> None:
    converted = convert(value, kind)
    assert converted == expected
    assert type(converted) is type(expected)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["stream", "cache", "role", "x"]), inner)
    ),
    max_leaves=6,
)
NAMES = st.sampled_from([*FIELDS.names, "strange", ""]) | st.text(max_size=4)


@given(st.dictionaries(NAMES, JSON, max_size=6))
def test_any_body_is_accepted_or_refused_with_400(body: dict[str, Any]) -> None:
    problem = accepted = None
    try:
        accepted = FIELDS.accept(Body(body))
    except HttpError as error:
        problem = error
    if accepted is None:
        assert problem is not None
        assert problem.status == 400
        assert problem.message
        return
    assert set(accepted.body.fields) <= FIELDS.names
    header = ", ".join(accepted.ignored)
    assert header.isascii()
    assert header.isprintable()
    assert header == header.strip()
    json.dumps(accepted.warnings)


def make(api: str, *names: str, required: str = "query") -> RequestFields:
    fields = {name: Honored("it acts", required=name == required) for name in names}
    return RequestFields(api, f"/{api}", fields)


SHARED = [
    make("c", "query", "top_n", "top_k", "truncation"),
    make("a", "query", "top_n", "rank"),
    make("b", "query", "top_k", "model", required="model"),
]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"query": "q"}, "c"),
        ({"query": "q", "top_n": 1}, "c"),
        ({"query": "q", "rank": 1}, "a"),
        ({"query": "q", "model": "m"}, "b"),
        ({"query": "q", "truncation": True, "unknown": 1}, "c"),
        ({"query": "q", "rank": 1, "top_k": None}, "a"),
        ({}, "c"),
    ],
)
def test_the_fields_tell_whose_body_it_is(body: dict[str, Any], expected: str) -> None:
    assert choose_by_fields(Body(body), SHARED).api == expected


def test_fields_of_different_apis_are_an_error_that_names_their_paths() -> None:
    with pytest.raises(HttpError) as raised:
        choose_by_fields(Body({"query": "q", "rank": 1, "model": "m"}), SHARED)
    assert raised.value.status == 400
    assert "rank of /a, model of /b" in raised.value.message


def test_a_long_list_of_ignored_fields_is_counted() -> None:
    accepted = FIELDS.accept(Body({"query": "q", **{f"n{i}": 1 for i in range(10_000)}}))
    assert accepted.ignored[-2:] == ("n19", "and 9980 more")
    assert accepted.warnings[-1] == "and 9980 more fields are ignored"


def test_a_field_without_a_name_can_be_named_in_a_header() -> None:
    accepted = FIELDS.accept(Body({"query": "q", "": 1}))
    assert accepted.ignored == ("?",)
