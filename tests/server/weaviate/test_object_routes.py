"""Objects over REST: stored, read, listed, replaced, changed, removed, refused."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.server.weaviate.conftest import Database, text_property

ID = "5e58ad90-95f0-411e-8373-50fb644a14b6"
EVERYTHING: dict[str, Any] = {
    "title": "a river",
    "tags": ["one", "two"],
    "year": -5,
    "price": 1.5,
    "sold": False,
    "empty": "",
    "day": "2024-12-31T23:59:59.123456789+02:00",
    "code": str(uuid.UUID(int=7)),
    "picture": "aGk=",
    "place": {"latitude": 1.5, "longitude": -2.0},
    "maker": {"name": "M", "parts": [{"count": 0}, {"count": 2}]},
    "by": [{"beacon": f"weaviate://localhost/Author/{ID}"}],
    "numbers": [1.5, 2],
}
KINDS = {"title": "text", "tags": "text[]", "year": "int", "price": "number"}
KINDS |= {"sold": "boolean", "empty": "text", "day": "date", "code": "uuid", "picture": "blob"}
KINDS |= {"place": "geoCoordinates", "by": "Author", "numbers": "number[]"}
PARTS = {
    "name": "parts",
    "dataType": ["object[]"],
    "nestedProperties": [{"name": "count", "dataType": ["int"]}],
}
MAKER = {
    "name": "maker",
    "dataType": ["object"],
    "nestedProperties": [text_property("name"), PARTS],
}
DECLARED = [{"name": name, "dataType": [kind]} for name, kind in KINDS.items()] + [MAKER]


@pytest.fixture(scope="module")
def everything(database: Database) -> str:
    return database.create_class(properties=DECLARED)


def test_every_type_comes_back_as_it_was(database: Database, everything: str) -> None:
    made = database.send(
        "POST", "/objects", {"class": everything, "properties": EVERYTHING, "id": ID.upper()}
    )
    assert made["id"] == ID
    assert made["properties"] == EVERYTHING
    assert made["creationTimeUnix"] == made["lastUpdateTimeUnix"] > 1_600_000_000_000
    path = f"/objects/{everything}/{ID}"
    assert database.send("GET", path) == made
    assert database.http.head(f"/v1{path}").status_code == 204
    assert "already exists" in database.error(
        "POST", "/objects", {"class": everything, "id": ID}
    )
    database.send("DELETE", path, status=204)
    assert database.http.head(f"/v1{path}").status_code == 404
    assert "no object" in database.error("DELETE", path, status=404)
    database.error("GET", path, status=404)


def test_replace_and_merge(database: Database) -> None:
    name = database.create_class(properties=[text_property("a"), text_property("b")])
    vector = [1.0, 2.5]
    made = database.send(
        "POST",
        "/objects",
        {"class": name, "properties": {"A": "x", "b": "y"}, "vector": vector},
    )
    path = f"/objects/{name}/{made['id']}"
    database.send("PATCH", path, {"properties": {"b": None, "A": "z"}}, 204)
    there = database.send("GET", f"{path}?include=vector")
    assert (there["properties"], there["vector"]) == ({"a": "z"}, vector)
    assert there["creationTimeUnix"] == made["creationTimeUnix"]
    assert there["lastUpdateTimeUnix"] >= made["lastUpdateTimeUnix"]
    database.send("PATCH", path, {"vector": [3, 4]}, 204)
    assert database.send("GET", f"{path}?include=vector")["vector"] == [3, 4]
    done = database.send(
        "PUT", path, {"class": name, "id": made["id"], "properties": {"b": "w"}}
    )
    assert done["properties"] == {"b": "w"}
    assert "vector" not in database.send("GET", f"{path}?include=vector")
    other = f"/objects/{name}/{uuid.uuid4()}"
    for method in ("PUT", "PATCH", "DELETE"):
        database.error(method, other, {"properties": {}}, status=404)
    assert "not that of the path" in database.error("PUT", path, {"id": str(uuid.uuid4())})
    assert "not that of the path" in database.error("PATCH", path, {"class": "Other"})


def test_listing(database: Database) -> None:
    name = database.create_class(
        properties=[{"name": "n", "dataType": ["int"]}, text_property("t")]
    )
    rows = [
        {"id": str(uuid.UUID(int=i)), "properties": {"n": -i, "t": f"w{i}"}} for i in range(25)
    ]
    ids = database.store(name, *rows)

    def listed(query: str = "") -> list[str]:
        found = database.send("GET", f"/objects?class={name}{query}")
        assert found["totalResults"] == len(found["objects"])
        return [one["id"] for one in found["objects"]]

    assert listed() == ids[:10]
    assert listed("&limit=3&offset=23") == ids[23:]
    assert listed("&limit=0") == []
    assert listed(f"&limit=2&after={ids[4]}") == ids[5:7]
    assert listed("&limit=2&after=") == ids[:2]
    assert listed("&limit=2&sort=n&order=asc") == ids[:-3:-1]
    assert listed("&limit=2&sort=t,n&order=desc,asc") == [ids[9], ids[8]]
    assert listed("&limit=1&sort=_creationTimeUnix") == ids[:1]
    seen = database.send("GET", "/objects?limit=9999")["objects"]
    assert [o["id"] for o in seen if o["class"] == name] == ids
    assert (
        len(database.send("GET", f"/objects?limit=30&offset={len(seen) - 3}")["objects"]) == 3
    )
    for query in ("limit=x", "limit=-1", "limit=10001", "offset=9999&limit=2", "after=5"):
        database.error("GET", f"/objects?class={name}&{query}")
    for query in ("sort=missing", "sort=n&order=up", "sort=n&after=" + ids[0], "tenant=t"):
        database.error("GET", f"/objects?class={name}&{query}")
    database.error("GET", "/objects?sort=n")
    database.error("GET", "/objects?class=Missing", status=404)


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        (5, "must be an object"),
        ({"title": 5}, "not a string"),
        ({"title": ["a"]}, "not a string"),
        ({"tags": "a"}, "not a list"),
        ({"tags": ["a", None]}, "not a string"),
        ({"year": "5"}, "not an integer"),
        ({"year": True}, "not an integer"),
        ({"year": 1.5}, "not an integer"),
        ({"year": 2**63}, "64 bits"),
        ({"price": "1"}, "not a number"),
        ({"price": float("inf")}, "finite"),
        ({"price": 10**400}, "finite"),
        ({"sold": 0}, "not a boolean"),
        ({"day": "yesterday"}, "RFC 3339"),
        ({"day": "2024-02-30T00:00:00Z"}, "day is out of range"),
        ({"day": "0001-01-01T00:00:00+14:00"}, "out of range"),
        ({"code": "7"}, "UUID"),
        ({"picture": "%"}, "base64"),
        ({"place": {"latitude": 1}}, "longitude"),
        ({"place": {"latitude": "1", "longitude": 2}}, "not a number"),
        ({"maker": "M"}, "not an object"),
        ({"maker": {"name": 5}}, "maker"),
        ({"maker": {"parts": [5]}}, "not an object"),
        ({"by": "weaviate://localhost/Author/1"}, "not a list"),
        ({"by": [{"beacon": "http://x"}]}, "beacon"),
        ({"a b": "x"}, "valid property name"),
        ({"id": "x"}, "reserved"),
        ({"_additional": "x"}, "reserved"),
    ],
)
def test_values_of_another_type(
    database: Database, everything: str, properties: Any, message: str
) -> None:
    body = {"class": everything, "properties": properties}
    assert message in database.error("POST", "/objects", body)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"id": "no"}, "UUID"),
        ({"id": 5}, "UUID"),
        ({"vector": "no"}, "list of"),
        ({"vector": [1, "2"]}, "list of"),
        ({"vector": [True, False]}, "list of"),
        ({"vector": [[1, 2]]}, "list of"),
        ({"vector": [1e39, 1]}, "not finite"),
        ({"vector": [10**400, 1]}, "too large"),
        ({"vector": [float("nan"), 1]}, "not finite"),
        ({"vector": [1, 2, 3, 4]}, "vector lengths don't match: 4 is not 3"),
        ({"vectors": {"default": [1, 2, 3]}}, "no named vectors"),
        ({"tenant": "t"}, "multi-tenancy"),
        ({"class": None}, "class name"),
    ],
)
def test_what_else_cannot_be_stored(database: Database, more: Any, message: str) -> None:
    name = database.create_class()
    database.store(name, {"vector": [1, 2, 3]})
    body = {"class": name, "properties": {}, **more}
    assert message in database.error("POST", "/objects", body)


def test_named_vectors(database: Database) -> None:
    name = database.create_class(vectorConfig={"mine": {"vectorizer": {"none": {}}}})
    (first, second) = database.store(name, {"vectors": {"mine": [1, 2]}}, {"vector": [2, 1]})
    there = database.send("GET", f"/objects/{name}/{second}?include=vector")
    assert there["vectors"] == {"mine": [2, 1]}
    assert "only the vector 'mine'" in database.error(
        "POST", "/objects", {"class": name, "vectors": {"other": [1, 2]}}
    )
    rows = database.get(
        f'{name}(nearVector: {{vector: [1, 2], targetVectors: ["mine"]}})'
        "{_additional{id vectors{mine}}}"
    )
    assert rows[0]["_additional"] == {"id": first, "vectors": {"mine": [1, 2]}}
    assert "no vector 'other'" in database.query_error(
        f'{name}(nearVector: {{vector: [1, 2], targetVectors: ["other"]}}){{_additional{{id}}}}'
    )


def test_a_refused_object_does_not_fix_the_length_of_vectors(database: Database) -> None:
    name = database.create_class(properties=[text_property("t")])
    database.error(
        "POST", "/objects", {"class": name, "properties": {"t": 5}, "vector": [1, 2, 3]}
    )
    database.store(name, {"vector": [1, 2]}, {}, {"vector": [0, 0]}, {"vector": []})
    rows = database.get(f"{name}(nearVector: {{vector: [1, 1]}}){{_additional{{distance}}}}")
    assert len(rows) == 1


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=True)
    | st.text(alphabet=st.characters(codec=None), max_size=8)
    | st.sampled_from(["2024-01-01T00:00:00Z", ID, {"latitude": 1, "longitude": 2}, {}]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "B", "_c", "x y", "id", "'"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(max_examples=80, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(["p", "q", "r", "s", "P", "p q"]), values, max_size=3))
def test_whatever_is_sent_is_stored_as_it_was_or_refused(
    database: Database, properties: dict[str, Any]
) -> None:
    name = f"A{uuid.uuid4().hex}"
    content = json.dumps({"class": name, "properties": properties})
    answer = database.http.post("/v1/objects", content=content)
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 200:
        made = answer.json()
        assert database.send("GET", f"/objects/{name}/{made['id']}") == made
        declared = database.send("GET", f"/schema/{name}")["properties"]
        assert {p["name"] for p in declared} >= made["properties"].keys()
        database.get(f"{name}{{_additional{{id}}}}")
    database.send("DELETE", f"/schema/{name}")
