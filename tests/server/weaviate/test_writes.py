"""Writes: batches with a result for each object, deletion by a filter, auto-schema."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from secondpass.server.http_errors import HttpError
from secondpass.server.weaviate.writes import extend_declarations
from tests.server.weaviate.conftest import Database, text_property


def test_each_object_has_its_own_result(database: Database) -> None:
    name = database.create_class(properties=[text_property("t")])
    twice = str(uuid.uuid4())
    objects: list[Any] = [
        {"class": name, "properties": {"t": "river"}, "vector": [1, 0]},
        {"class": name, "properties": {"t": 5}},
        {"class": name, "properties": {"t": "sea"}, "vector": [1, 0, 0]},
        {"class": name, "id": "no"},
        {"class": name, "id": twice, "properties": {"t": "first"}},
        {"class": name, "id": twice, "properties": {"t": "last"}, "vector": [0, 1]},
        {"class": "not a class"},
        {"properties": {}},
        "nothing",
        None,
    ]
    answer = database.send("POST", "/batch/objects", {"fields": ["ALL"], "objects": objects})
    statuses = [one["result"]["status"] for one in answer]
    ok, no = "SUCCESS", "FAILED"
    assert statuses == [ok, no, no, no, ok, ok, no, no, no, no]
    messages = [
        one["result"]["errors"]["error"][0]["message"]
        for one in answer
        if one["result"]["status"] == no
    ]
    parts = ["not a string", "3 is not 2", "UUID", *["class name"] * 2, *["JSON object"] * 2]
    assert all(part in message for part, message in zip(parts, messages, strict=True))
    assert answer[1]["properties"] == {"t": 5}
    assert database.send("GET", f"/objects/{name}/{twice}")["properties"] == {"t": "last"}
    rows = database.get(f"{name}{{t}}")
    assert sorted(row["t"] for row in rows) == ["last", "river"]


def test_a_batch_may_be_sent_again(database: Database) -> None:
    name = database.create_class(properties=[text_property("t")])
    one = {"id": str(uuid.uuid4()), "properties": {"t": "river"}}
    database.store(name, one)
    before = database.send("GET", f"/objects/{name}/{one['id']}")
    database.store(name, {**one, "properties": {"t": "sea"}})
    after = database.send("GET", f"/objects/{name}/{one['id']}")
    assert after["creationTimeUnix"] == before["creationTimeUnix"]
    assert after["properties"] == {"t": "sea"}
    assert len(database.get(f"{name}{{t}}")) == 1


def test_whole_numbers_do_not_decide_for_others(database: Database) -> None:
    name = database.create_class(properties=[{"name": "price", "dataType": ["number"]}])
    database.store(name, {"properties": {"price": 3}})
    where = '(where: {path: ["price"], operator: GreaterThan, valueNumber: 2.5})'
    assert database.get(f"{name}{where}{{price}}") == [{"price": 3}]
    database.store(name, {"properties": {"price": 2.75}}, {"properties": {"price": 10**20}})
    assert len(database.get(f"{name}{where}{{price}}")) == 3


def test_classes_and_properties_are_made_of_what_comes(database: Database) -> None:
    name = f"New{uuid.uuid4().hex[:8]}"
    values = {
        "text": "river",
        "number": 5,
        "boolean": False,
        "date": "2024-01-01T00:00:00Z",
        "uuid": str(uuid.uuid4()),
        "texts": ["a", "2024-01-01T00:00:00Z"],
        "empty": [],
        "dates": ["2024-01-01T00:00:00Z"],
        "place": {"latitude": 1, "longitude": 2},
        "inner": {"deep": {"er": 1}},
        "many": [{"a": 1}, {"b": "x"}],
        "refs": [{"beacon": f"weaviate://localhost/Other/{uuid.uuid4()}"}],
        "nothing": None,
    }
    database.store(name, {"properties": values}, {"properties": {"inner": {"deep": {"z": 1}}}})
    declared = {
        p["name"]: p["dataType"][0]
        for p in database.send("GET", f"/schema/{name}")["properties"]
    }
    assert declared == {
        "text": "text",
        "number": "number",
        "boolean": "boolean",
        "date": "date",
        "uuid": "uuid",
        "texts": "text[]",
        "empty": "text[]",
        "dates": "date[]",
        "place": "geoCoordinates",
        "inner": "object",
        "many": "object[]",
        "refs": "Other",
    }
    rows = database.get(
        f"{name}{{text number boolean date uuid texts empty dates place{{latitude}} refs "
        "inner{deep{er z}} many{a b}}"
    )
    (full,) = [row for row in rows if row["text"] == "river"]
    assert full["inner"] == {"deep": {"er": 1, "z": None}}
    assert full["many"] == [{"a": 1, "b": None}, {"a": None, "b": "x"}]
    assert full["place"] == {"latitude": 1}
    assert {k: full[k] for k in values if k not in ("inner", "many", "place", "nothing")} == {
        k: v for k, v in values.items() if k not in ("inner", "many", "place", "nothing")
    }


def removed(database: Database, name: str, where: Any, status: int = 200, **more: Any) -> Any:
    body = {"match": {"class": name, "where": where}, **more}
    return database.send("DELETE", "/batch/objects", body, status)


def test_removing_by_a_filter(database: Database) -> None:
    name = database.create_class(properties=[{"name": "n", "dataType": ["int"]}])
    ids = database.store(name, *[{"properties": {"n": n}} for n in range(6)])
    where = {"path": ["n"], "operator": "GreaterThan", "valueInt": 2}
    answer = removed(database, name, where, output="verbose", dryRun=True)
    assert answer["match"] == {"class": name, "where": where}
    assert (answer["output"], answer["dryRun"]) == ("verbose", True)
    objects = answer["results"].pop("objects")
    assert answer["results"] == {"matches": 3, "limit": 10000, "successful": 0, "failed": 0}
    assert objects == [{"id": i, "status": "DRYRUN"} for i in sorted(ids[3:])]
    answer = removed(database, name, where)
    assert answer["results"]["successful"] == 3
    assert answer["results"]["objects"] is None
    assert removed(database, name, where)["results"]["matches"] == 0
    arrays = {"path": ["id"], "operator": "ContainsAny", "valueTextArray": ids[:2]}
    assert removed(database, name, arrays)["results"]["successful"] == 2
    assert [row["n"] for row in database.get(f"{name}{{n}}")] == [2]
    for wrong in (None, {}, 5, {"path": ["n"], "operator": "Equal", "valueText": "' OR true"}):
        removed(database, name, wrong, 422)
    removed(database, "Missing", where, 404)
    removed(database, name, where, 422, output="all")
    removed(database, name, where, 400, dryRun="yes")
    database.error("DELETE", "/batch/objects", {"match": 5})
    database.error("POST", "/batch/objects", {"objects": []})
    assert len(database.get(f"{name}{{n}}")) == 1


def kinds(values: dict[str, Any], *known: Any) -> dict[str, str]:
    return {one["name"]: one["dataType"][0] for one in extend_declarations(known, values)}


def test_declarations_grow_with_what_objects_bring() -> None:
    first = extend_declarations(
        [], {"Inner": {"a": 1}, "list": [{"x": "y"}, {"z": True}], "no": None}
    )
    assert [one["name"] for one in first] == ["inner", "list"]
    assert [one["name"] for one in first[1]["nestedProperties"]] == ["x", "z"]
    second = extend_declarations(first, {"inner": {"b": {"c": "d"}}, "list": [{"w": 1}, 5]})
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
        extend_declarations([], values)
