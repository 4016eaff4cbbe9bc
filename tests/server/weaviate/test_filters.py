"""Filters: SQL against plain Python, hostile values, and what is refused."""

from __future__ import annotations

import random
import uuid
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secondpass.retrieve.lance.open import open_index
from secondpass.retrieve.lance.store import LanceStore
from secondpass.server.http_errors import HttpError
from secondpass.server.weaviate.class_definition import (
    ClassDefinition,
    complete_class,
)
from secondpass.server.weaviate.filters import MAX_DEPTH, parse_where, to_sql
from secondpass.server.weaviate.objects import StoredObject
from secondpass.server.weaviate.properties import validate_values
from tests.server.weaviate.filter_oracle import KINDS, TOKENIZATION, matches

DAYS = ["0001-01-01T00:00:00Z", "2024-12-31T23:59:59.5+02:00", "9999-12-31T23:59:59Z"]
CODES = [str(uuid.UUID(int=n)) for n in (1, 2**127)]
TEXTS = [
    *("", " ", "river", "River SEA", "the river, the sea", "sea-river", "a'b", "'", "''"),
    *("' OR 1=1 --", "x'); DROP TABLE passages; --", "100%", "_", "a_b", "back\\slash", "\\"),
    *("*", "?", "ri*", "r?ver", "*ea", "[a]", "(.*)", "$", "^a", "a\nb", "a\x00b", "\x1fsea"),
    *("sea\x1friver", "`p_title`", '"', ";", "É", "é", "ß", "İstanbul", "日本 語", "🌊 sea"),
    *("true", "NULL", "1", "{}", "a.b+c|d", "p_title"),
]
NUMBERS = [-(2**63), 2**63 - 1, -1, 0, 1, 7]
FLOATS = [0.0, -0.0, 0.1, -1.5, 1e308, -1e308, 5e-324, 1e-7, 3.0, -2, 7]

DEFINITION: ClassDefinition = ClassDefinition.from_declaration(
    complete_class(
        {
            "class": "Thing",
            "properties": [
                {"name": name, "dataType": [kind], "tokenization": TOKENIZATION.get(name)}
                for name, kind in KINDS.items()
            ],
        }
    )
)
_POOLS: dict[str, list[Any]] = {
    "text": TEXTS,
    "int": NUMBERS,
    "number": FLOATS,
    "boolean": [True, False],
    "date": DAYS,
    "uuid": CODES,
}
_KEYS = {"text": "valueText", "uuid": "valueText", "int": "valueInt", "number": "valueNumber"}
_KEYS |= {"boolean": "valueBoolean", "date": "valueDate"}


def a_value(kind: str, choose: random.Random) -> Any:
    pool = _POOLS[kind.removesuffix("[]")]
    return choose.sample(pool, choose.randint(0, 3)) if "[]" in kind else choose.choice(pool)


class Shelf(NamedTuple):
    store: LanceStore
    things: dict[str, Any]

    def __repr__(self) -> str:
        return "the shelf"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    choose = random.Random(11)
    things: dict[str, Any] = {}
    for number in range(120):
        values = {n: a_value(k, choose) for n, k in KINDS.items() if choose.random() < 0.7}
        name = str(uuid.UUID(int=number + 5))
        things[name] = validate_values(DEFINITION.properties, values, "Thing")
    store = open_index(tmp_path_factory.mktemp("things"), chunk_tokens=None)
    objects = [StoredObject(name, values, 5, 6) for name, values in things.items()]
    store.upsert([one.to_passage(DEFINITION) for one in objects])
    return Shelf(store, things)


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from(sorted(KINDS)))
    kind = KINDS[name].removesuffix("[]")
    plain = "[]" not in KINDS[name]
    operators = ["Equal", "NotEqual", "IsNull", "ContainsAny", "ContainsAll", "ContainsNone"]
    if plain and kind in ("int", "number", "date"):
        operators += ["GreaterThan", "GreaterThanEqual", "LessThan", "LessThanEqual"]
    if kind == "text":
        operators.append("Like")
    operator = draw(st.sampled_from(operators))
    if operator == "IsNull":
        return {"path": [name], "operator": operator, "valueBoolean": draw(st.booleans())}
    one = st.sampled_from(_POOLS[kind])
    if kind == "text":
        one |= st.text(max_size=6)
    value = st.lists(one, min_size=1, max_size=4) if "Contains" in operator else one
    return {"path": [name], "operator": operator, _KEYS[kind]: draw(value)}


def group(operator: str, operands: list[Any]) -> dict[str, Any]:
    return {"operator": operator, "operands": operands}


filters = st.recursive(
    conditions(),
    lambda inner: (
        st.builds(
            group, st.sampled_from(["And", "Or"]), st.lists(inner, min_size=1, max_size=3)
        )
        | inner.map(lambda one: group("Not", [one]))
    ),
    max_leaves=6,
)


@settings(max_examples=400, suppress_health_check=list(HealthCheck))
@given(where=filters)
def test_sql_agrees_with_plain_python(stored: Any, where: dict[str, Any]) -> None:
    store, things = stored
    condition = to_sql(parse_where(where), DEFINITION, store.fields)
    found = {hit.id for hit in store.listed(condition, limit=None)}
    assert found == {name for name, values in things.items() if matches(where, values)}


def test_a_property_that_nothing_has_yet_is_null(stored: Any) -> None:
    def found(where: dict[str, Any]) -> str:
        return to_sql(parse_where(where), DEFINITION, [])

    store, things = stored
    for name, kind in KINDS.items():
        key, pool = _KEYS[kind.removesuffix("[]")], _POOLS[kind.removesuffix("[]")]
        equal = {"path": [name], "operator": "Equal", key: pool[0]}
        for where, count in (
            (equal, 0),
            ({**equal, "operator": "NotEqual"}, len(things)),
            ({"path": [name], "operator": "IsNull", "valueBoolean": True}, len(things)),
            ({"path": [name], "operator": "IsNull", "valueBoolean": False}, 0),
        ):
            assert store.documents(found(where)) == count


def test_ids_and_times(stored: Any) -> None:
    store, things = stored
    first = min(things)
    for where, count in (
        ({"path": ["id"], "operator": "Equal", "valueText": first.upper()}, 1),
        ({"path": ["_id"], "operator": "ContainsAny", "valueText": [first, CODES[0]]}, 1),
        ({"path": "_id", "operator": "NotEqual", "valueString": first}, len(things) - 1),
        ({"path": ["_creationTimeUnix"], "operator": "Equal", "valueText": "5"}, len(things)),
        ({"path": ["_lastUpdateTimeUnix"], "operator": "LessThan", "valueText": "6"}, 0),
        (
            {
                "path": ["_creationTimeUnix"],
                "operator": "GreaterThan",
                "valueDate": "1970-01-01T00:00:00.004Z",
            },
            len(things),
        ),
    ):
        condition = to_sql(parse_where(where), DEFINITION, store.fields)
        assert store.documents(condition) == count, where


def equal(path: Any, **value: Any) -> dict[str, Any]:
    return {"path": path, "operator": "Equal", **value}


def nested(levels: int) -> dict[str, Any]:
    found = equal(["year"], valueInt=1)
    for level in range(levels):
        found = group("And" if level % 2 else "Or", [equal(["year"], valueInt=level), found])
    return found


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (5, "must be an object"),
        ({}, "operator None"),
        ({"operator": ["Equal"]}, "operator"),
        (
            {"operator": "Equal; DROP TABLE passages", "path": ["year"], "valueInt": 1},
            "none of",
        ),
        ({"operator": "And"}, "needs operands"),
        ({"operator": "And", "operands": []}, "needs operands"),
        ({"operator": "And", "operands": [None]}, "must be an object"),
        (group("Not", [equal(["year"], valueInt=1)] * 2), "one operand"),
        (equal([], valueInt=1), "needs a path"),
        (equal([5], valueInt=1), "needs a path"),
        (equal(["inClass", "Other", "name"], valueInt=1), "follows a reference"),
        (equal(["year"]), "needs one value, not 0"),
        (equal(["year"], valueInt=1, valueText="a"), "needs one value, not 2"),
        (equal(["year"], valueInt=True), "another type"),
        (equal(["year"], valueInt=1.5), "another type"),
        (equal(["year"], valueInt=[1, 2]), "takes one value"),
        (equal(["year"], valueInt=2**63), "64 bits"),
        (equal(["year"], valueNumber=1.0), "cannot use 'valueNumber' on 'year'"),
        (equal(["price"], valueNumber=10**400), "finite"),
        (equal(["price"], valueNumber=float("nan")), "finite"),
        (equal(["sold"], valueBoolean="true"), "another type"),
        (equal(["day"], valueDate="yesterday"), "RFC 3339"),
        (equal(["day"], valueDate="2024-13-01T00:00:00Z"), "month must be"),
        (equal(["code"], valueText="' OR 1=1"), "valid UUID"),
        (equal(["id"], valueText="' OR 1=1"), "valid UUID"),
        (equal(["year` = 1 OR `year"], valueInt=1), "valid property name"),
        (equal(["p_year) OR true --"], valueInt=1), "valid property name"),
        (equal(["_sp_id"], valueText="a"), "no such prop"),
        (equal(["missing"], valueText="a"), "no such prop"),
        (equal(["year"], valueGeoRange={}), "not supported"),
        (equal(["_creationTimeUnix"], valueText="5 OR true"), "milliseconds"),
        ({"path": ["title"], "operator": "GreaterThan", "valueText": "a"}, "not possible"),
        ({"path": ["sizes"], "operator": "LessThan", "valueInt": 1}, "not possible"),
        ({"path": ["sold"], "operator": "LessThan", "valueBoolean": True}, "not possible"),
        ({"path": ["code"], "operator": "Like", "valueText": CODES[0]}, "not possible"),
        ({"path": ["id"], "operator": "GreaterThan", "valueText": CODES[0]}, "not possible"),
        ({"path": ["year"], "operator": "IsNull", "valueInt": 1}, "valueBoolean"),
        ({"path": ["tags"], "operator": "ContainsAny", "valueText": []}, "takes 1 to"),
        ({"path": ["year"], "operator": "ContainsAny", "valueInt": [1] * 10_001}, "takes 1 to"),
        (equal(["title"], valueText="a b " * 600), "more than 1000 words"),
        (group("Or", [equal(["year"], valueInt=1)] * 1001), "more than 1000 conditions"),
        (nested(MAX_DEPTH), "nested deeper"),
        (nested(5000), "nested deeper"),
    ],
)
def test_what_is_refused(where: Any, message: str) -> None:
    with pytest.raises(HttpError) as caught:
        to_sql(parse_where(where), DEFINITION, [f"p_{name}" for name in KINDS])
    assert caught.value.status == 422
    assert message in caught.value.message


@pytest.mark.parametrize(
    "where",
    [
        nested(MAX_DEPTH - 1),
        group("Or", [equal(["year"], valueInt=1)] * 1000),
        equal(["title"], valueText="a" * 100_000),
        {"path": ["title"], "operator": "Like", "valueText": "*a?" * 200},
        {"path": ["year"], "operator": "ContainsAny", "valueInt": list(range(10_000))},
        {"path": ["tags"], "operator": "ContainsAny", "valueText": ["a b"] * 500},
    ],
)
def test_what_is_large_but_allowed_is_answered(stored: Any, where: Any) -> None:
    store, _ = stored
    assert store.documents(to_sql(parse_where(where), DEFINITION, store.fields)) >= 0
