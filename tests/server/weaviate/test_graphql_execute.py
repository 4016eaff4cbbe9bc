"""Queries that are made to hurt: each is answered, soon, with an error that says why."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secondpass.server.weaviate.graphql_execute import MAX_FIELDS, MAX_SEARCHES
from tests.server.weaviate.conftest import Database, text_property


@pytest.fixture(scope="module")
def plain(database: Database) -> str:
    name = database.create_class(
        properties=[text_property("text"), {"name": "n", "dataType": ["int"]}]
    )
    rows: list[dict[str, Any]] = [
        {"properties": {"text": "river", "n": 1}, "vector": [1, 2]},
        {"properties": {"text": "sea", "n": 2}},
    ]
    database.store(name, *rows)
    return name


def fragments(name: str, depth: int) -> str:
    """Return fragments that would unfold to 2 ** depth fields."""
    parts = [f"fragment F{i} on {name} {{...F{i + 1} ...F{i + 1}}}" for i in range(depth)]
    return " ".join([*parts, f"fragment F{depth} on {name} {{text}}"])


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{" * 5000, "Syntax Error"),
        ("{a" * 5000 + "}" * 5000, "nested too deeply"),
        ("{Get{NAME(limit: " + "[" * 5000 + "]" * 5000 + "){text}}}", "nested too deeply"),
        ("{Get{NAME{" + "text " * (MAX_FIELDS + 1) + "}}}", f"more than {MAX_FIELDS} fields"),
        ("{Get{" + " ".join(f"a{i}: NAME{{text}}" for i in range(MAX_SEARCHES + 1)) + "}}",
         f"{MAX_SEARCHES} searches"),
        ("{Get{NAME(nearVector: {vector: [" + "1 " * 100_001 + "]}){text}}}", "tokens"),
        ("{Get{NAME{...A}}} fragment A on NAME {...B} fragment B on NAME {...A}", "itself"),
        ("{Get{NAME{...A}}}", "Unknown fragment"),
        ("mutation {x}", "mutation"),
        ("subscription {x}", "subscription"),
        ("query A{Get{NAME{text}}} query B{Get{NAME{text}}}", "Must provide operation name"),
        ("query($v: Int!){Get{NAME(limit: $v){text}}}", "Variable '$v'"),
        ("query($v: Missing){Get{NAME{text}}}", "Unknown type"),
        ("type A {a: Int}", "not executable"),
        ("{Get{NAME{\ud800}}}", "Syntax Error"),
        ("{Get{NAME(where: {path: [\"n) OR (true\"], operator: Equal, valueInt: 1}){text}}}",
         "valid property name"),
        ("{Get{NAME(where: {path: [\"n`=1 OR `p_n\"], operator: Equal, valueInt: 1}){text}}}",
         "valid property name"),
    ],
)  # fmt: skip
def test_what_is_made_to_hurt_is_refused(
    database: Database, plain: str, query: str, message: str
) -> None:
    answer = database.query(query.replace("NAME", plain))
    assert any(message in error["message"] for error in answer["errors"]), answer
    assert not (answer["data"] or {}).get("Get", {}).get(plain)


def test_fragments_that_unfold_are_read_once(database: Database, plain: str) -> None:
    answer = database.query(f"{{Get{{{plain}{{...F0}}}}}} {fragments(plain, 60)}")
    assert sorted(row["text"] for row in answer["data"]["Get"][plain]) == ["river", "sea"]


@pytest.mark.parametrize(
    "value",
    [
        "' OR 1=1 --",
        "'); DROP TABLE passages; --",
        "\\' OR true OR \\'",
        "river' OR 'a'='a",
        "\x1friver\x1f",
        "%",
        "_____",
        "river\\",
    ],
)
def test_values_cannot_break_out_of_a_filter(
    database: Database, plain: str, value: str
) -> None:
    for operator in ("Equal", "Like"):
        where = {"path": ["text"], "operator": operator, "valueText": value}
        query = f"query($w: WhereInpObj){{Get{{{plain}(where: $w){{text}}}}}}"
        answer = database.query(query, variables={"w": where})
        rows = answer["data"]["Get"][plain]
        assert [row["text"] for row in rows] == (["river"] if value in PLAIN else [])
    assert len(database.get(f"{plain}{{text}}")) == 2


# Only marks stand around the word: by the words of the property, they are the same.
PLAIN = ("\x1friver\x1f", "river\\")


def test_classes_may_be_called_what_types_are_called(database: Database) -> None:
    names = ["String", "Int", "GetObjectsObj", "WhereInpObj", "MetaCountObj", "JSON", "Query"]
    nested = {"name": "a", "dataType": ["object"], "nestedProperties": [text_property("b")]}
    for name in names:
        database.send("POST", "/schema", {"class": name, "properties": [nested]})
    try:
        for name in names:
            database.store(name, {"properties": {"a": {"b": "c"}}})
            assert database.get(f"{name}{{a{{b}} _additional{{id}}}}")[0]["a"] == {"b": "c"}
        schema = database.query("{__schema{types{name}}}")["data"]["__schema"]["types"]
        assert len({one["name"] for one in schema}) == len(schema)
    finally:
        for name in names:
            database.send("DELETE", f"/schema/{name}")


def test_objects_inside_objects_of_classes_with_similar_names(database: Database) -> None:
    inner = {"name": "b", "dataType": ["object"], "nestedProperties": [text_property("c")]}
    outer = {"name": "a", "dataType": ["object"], "nestedProperties": [inner]}
    names = ["Nest", "Nest_0", "Nest_0x0", "Nest_0_0"]
    for name in names:
        database.send("POST", "/schema", {"class": name, "properties": [outer]})
    try:
        for name in names:
            database.store(name, {"properties": {"a": {"b": {"c": name}}}})
        for name in names:
            rows = database.get(f"{name}{{a{{b{{c}}}}}}")
            assert rows == [{"a": {"b": {"c": name}}}]
        schema = database.query("{__schema{types{name}}}")["data"]["__schema"]["types"]
        assert len({one["name"] for one in schema}) == len(schema)
    finally:
        for name in names:
            database.send("DELETE", f"/schema/{name}")


WORDS = [
    *("{", "}", "(", ")", "[", "]", ":", "...", "@", "$", "!", '"', "'", "#", "\n", " "),
    *("Get", "Aggregate", "CLASS", "text", "_additional", "id", "where", "limit", "on", "1.5"),
    *("path", "operator", "Equal", "1", '"n"', "true", "null", "query", "rerank", "\ud800"),
]


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.sampled_from(WORDS) | st.text(max_size=3),
        max_size=20,
    )
)
def test_any_text_is_answered(database: Database, plain: str, parts: list[str]) -> None:
    query = " ".join(parts).replace("CLASS", plain)
    answer = database.query(f"{{Get{{{query}")
    assert answer.get("errors") or answer["data"]


def test_an_object_or_a_class_that_goes_meanwhile_is_told(database: Database) -> None:
    name = database.create_class(properties=[text_property("text")])
    database.store(name, {"properties": {"text": "a"}})
    database.send("DELETE", f"/schema/{name}")
    assert "Cannot query field" in database.query_error(f"{name}{{text}}")
    assert "not found in schema" in database.error(
        "GET", f"/objects/{name}/{uuid.uuid4()}", status=404
    )
