"""Queries: searches, filters, pages, order, what is said besides, and what is refused."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.weaviate.conftest import Database, text_property

TEXTS = ["the river meets the sea", "a slow ship", "bread and water", "the sea", "river river"]
NOT_9 = '{operator: Not, operands: {path: "n", operator: Equal, valueInt: 9}}'
NEAR = "nearVector: {vector: [1, 0, 0]}"
VECTORS: list[list[float] | None] = [[1, 0, 0], [0, 1, 0], [1, 1, 0], [-1, 0, 0], None]


@pytest.fixture(scope="module")
def own(database: Database) -> Iterator[str]:
    """A class whose vectors come with the objects."""
    declared = [
        text_property("text"),
        text_property("title"),
        text_property("label", tokenization="field", indexSearchable=False),
        {"name": "n", "dataType": ["int"]},
        {"name": "big", "dataType": ["int"]},
    ]
    name = database.create_class(properties=declared)
    objects: list[dict[str, Any]] = [
        {
            "id": str(uuid.UUID(int=i)),
            "vector": vector,
            "properties": {
                "text": text,
                "title": f"title{i} sea",
                "label": f"L {i}",
                "n": 9 - i,
            },
        }
        for i, (text, vector) in enumerate(zip(TEXTS, VECTORS, strict=True))
    ]
    del objects[1]["properties"]["n"]
    objects[0]["properties"]["big"] = 2**53 + 1
    database.store(name, *objects)
    yield name
    database.send("DELETE", f"/schema/{name}")


@pytest.fixture(scope="module")
def embedded(database: Database) -> Iterator[str]:
    """A class whose vectors are made of its texts."""
    name = database.create_class(
        vectorizer="text2vec-transformers", properties=[text_property("text")]
    )
    texts = ["a dog barks in the yard", "shares fell on the stock market", "the puppy plays"]
    database.store(name, *[{"properties": {"text": text}} for text in texts], {})
    yield name
    database.send("DELETE", f"/schema/{name}")


def numbers(rows: list[dict[str, Any]]) -> list[int]:
    return [int(row["title"][5]) for row in rows]


def test_near_vector(database: Database, own: str) -> None:
    rows = database.get(
        own + "(nearVector: {vector: [2, 0, 0]}){title _additional{distance certainty score "
        "explainScore vector id creationTimeUnix lastUpdateTimeUnix isConsistent}}"
    )
    assert numbers(rows) == [0, 2, 1, 3]
    first = rows[0]["_additional"]
    assert first["distance"] == pytest.approx(0, abs=1e-6)
    assert first["certainty"] == pytest.approx(1)
    assert rows[3]["_additional"]["distance"] == pytest.approx(2)
    assert rows[1]["_additional"]["distance"] == pytest.approx(1 - math.sqrt(0.5))
    assert (first["score"], first["explainScore"]) == (None, None)
    assert (first["vector"], first["id"]) == ([1, 0, 0], str(uuid.UUID(int=0)))
    assert first["creationTimeUnix"].isdigit()
    assert first["isConsistent"] is True


@pytest.mark.parametrize(
    ("near", "expected"),
    [
        ("nearVector: {vector: [1, 0, 0], distance: 0.5}", [0, 2]),
        ("nearVector: {vector: [1, 0, 0], certainty: 0.5}", [0, 2, 1]),
        ("nearVector: {vector: [1, 0, 0], distance: 0}", [0]),
        (f"{NEAR}, limit: 2, offset: 1", [2, 1]),
        (f"{NEAR}, limit: 0", []),
        (f'nearObject: {{id: "{uuid.UUID(int=1)}"}}, limit: 2', [1, 2]),
        (f'nearObject: {{beacon: "weaviate://localhost/X/{uuid.UUID(int=3)}"}}, limit: 1', [3]),
        (f'{NEAR}, sort: [{{path: ["title"], order: desc}}]', [3, 2, 1, 0]),
        ("nearVector: {vector: [1, 0.01, 0]}, autocut: 1", [0, 2, 1]),
        (f'{NEAR}, where: {{path: ["n"], operator: LessThan, valueInt: 8}}', [2, 3]),
        ('bm25: {query: "sea river"}, limit: 3', None),
        ('bm25: {query: "sea", properties: ["text"]}', [3, 0]),
        ('bm25: {query: "river", properties: ["text"]}', [4, 0]),
        ('bm25: {query: "river title2", properties: ["text", "title^100"]}', [2, 4, 0]),
        ('bm25: {query: "river title2", properties: ["text^0", "title"]}', [2, 0, 4]),
        ('bm25: {query: "zebra"}', []),
        ('bm25: {query: "\' OR 1=1; --"}', []),
        ('hybrid: {query: "river", alpha: 0, properties: ["text"]}', [4, 0]),
        ('hybrid: {query: "river", alpha: 1, vector: [0, 1, 0]}', [1, 2, 0, 3]),
        ('hybrid: {query: "ship", alpha: 0.5, vector: [0, 1, 0]}, limit: 1', [1]),
        ('hybrid: {query: "ship", vector: [0, 1, 0], fusionType: rankedFusion}, limit: 1', [1]),
        ('hybrid: {query: "", vector: [0, 1, 0], maxVectorDistance: 0.5}', [1, 2]),
        ("", [0, 1, 2, 3, 4]),
        ("limit: 2, offset: 4", [4]),
        (f'limit: 2, after: "{uuid.UUID(int=2)}"', [3, 4]),
        ('sort: [{path: ["n"]}]', [4, 3, 2, 0, 1]),
        ('sort: {path: ["n"], order: desc}, limit: 2, offset: 1', [2, 3]),
        ('sort: [{path: "_creationTimeUnix"}, {path: "title", order: desc}]', [4, 3, 2, 1, 0]),
        ('sort: [{path: ["_id"], order: desc}], limit: 1', [4]),
        ('where: {path: ["n"], operator: IsNull, valueBoolean: true}', [1]),
        (f"where: {NOT_9}", [1, 2, 3, 4]),
        ('where: {path: ["label"], operator: Equal, valueText: "L 2"}', [2]),
        ('where: {path: ["text"], operator: Like, valueText: "ri*"}', [0, 4]),
        ('where: {path: "text", operator: ContainsAny, valueText: ["ship", "a b"]}', [1]),
        ('where: {path: ["big"], operator: Equal, valueInt: 9007199254740993}', [0]),
        ('consistencyLevel: "ONE", limit: 1', [0]),
    ],
)  # fmt: skip
def test_what_is_found(
    database: Database, own: str, near: str, expected: list[int] | None
) -> None:
    head = f"{own}({near})" if near else own
    found = numbers(database.get(head + "{title}"))
    if expected is None:
        assert len(found) == 3
    else:
        assert found == expected


def test_scores_of_words_and_of_both(database: Database, own: str) -> None:
    fields = "{title _additional{score explainScore distance certainty}}"
    (row, *_) = database.get(f'{own}(bm25: {{query: "ship"}}){fields}')
    more = row["_additional"]
    assert float(more["score"]) > 0
    assert isinstance(more["explainScore"], str)
    assert (more["distance"], more["certainty"]) == (None, None)
    hybrid = 'hybrid: {query: "ship", vector: [0, 1, 0]}'
    rows = database.get(f"{own}({hybrid}){fields}")
    scores = [float(r["_additional"]["score"]) for r in rows]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(1)
    assert rows[0]["_additional"]["distance"] is None
    (summed,) = database.get(
        f'{own}(bm25: {{query: "ship title1", properties: ["text^2", "title^3"]}}, limit: 1)'
        + fields
    )
    (text,) = database.get(f'{own}(bm25: {{query: "ship", properties: ["text"]}}){fields}')
    title = database.get(f'{own}(bm25: {{query: "title1", properties: ["title"]}}){fields}')
    parts = [float(r["_additional"]["score"]) for r in (text, title[0])]
    total = float(summed["_additional"]["score"])
    assert total == pytest.approx(2 * parts[0] + 3 * parts[1], rel=1e-5)


def test_near_text_and_hybrid_of_a_class_that_embeds(database: Database, embedded: str) -> None:
    near = 'nearText: {concepts: ["young dogs"]}'
    rows = database.get(f"{embedded}({near}){{text _additional{{distance vector}}}}")
    assert len(rows) == 4
    assert "market" not in rows[0]["text"]
    assert len(rows[0]["_additional"]["vector"]) == 384
    moved = (
        'nearText: {concepts: "young dogs", moveTo: {concepts: ["stock market"], force: 1}, '
        'moveAwayFrom: {concepts: ["dog"], force: 1}}'
    )
    assert "market" in database.get(f"{embedded}({moved}, limit: 1){{text}}")[0]["text"]
    (row,) = database.get(f'{embedded}(hybrid: {{query: "puppy"}}, limit: 1){{text}}')
    assert "puppy" in row["text"]
    assert len(database.get(f"{embedded}({near}, limit: 2, offset: 3){{text}}")) == 1


def test_vectors_follow_their_texts(database: Database, embedded: str) -> None:
    (name,) = database.store(embedded, {"properties": {"text": "a boat"}})
    path = f"/objects/{embedded}/{name}"

    def vector() -> list[float]:
        found: list[float] = database.send("GET", f"{path}?include=vector")["vector"]
        return found

    before = vector()
    database.send("PATCH", path, {"properties": {"other": 5}}, 204)
    assert vector() == before
    database.send("PATCH", path, {"properties": {"text": "a house"}}, 204)
    assert vector() != before
    database.send("PATCH", path, {"vector": before}, 204)
    assert vector() == before
    assert "384" in database.error("PATCH", path, {"vector": [1, 2]})
    database.send("DELETE", path, status=204)


def test_a_property_can_be_left_out_of_the_vector(database: Database) -> None:
    module = "text2vec-contextionary"
    skip = {"moduleConfig": {module: {"skip": True}}}
    classes = [
        {"vectorizer": module, "properties": [text_property("a"), text_property("b", **skip)]},
        {"vectorConfig": {"v": {"vectorizer": {module: {"properties": ["a"]}}}}},
        {"vectorizer": module},
    ]
    vectors = []
    for declaration in classes:
        name = database.create_class(**declaration)
        database.store(name, {"properties": {"a": "river", "b": "sea"}})
        (row,) = database.get(f"{name}{{_additional{{vector}}}}")
        vectors.append(row["_additional"]["vector"])
        assert len(database.get(f'{name}(bm25: {{query: "sea"}}){{a b}}')) == 1
    assert vectors[0] == vectors[1]
    assert vectors[0] != vectors[2]


def test_counting(database: Database, own: str) -> None:
    def count(arguments: str = "") -> Any:
        return database.query("{Aggregate{" + own + arguments + "{meta{count}}}}")

    assert count() == {"data": {"Aggregate": {own: [{"meta": {"count": 5}}]}}}
    where = '(where: {path: ["n"], operator: LessThan, valueInt: 7})'
    assert count(where)["data"]["Aggregate"][own] == [{"meta": {"count": 2}}]
    wrong = count('(where: {path: ["missing"], operator: LessThan, valueInt: 7})')
    assert wrong["data"]["Aggregate"] == {own: None}
    assert wrong["errors"][0]["path"] == ["Aggregate", own]


def test_aliases_fragments_variables_and_merged_blocks(database: Database, own: str) -> None:
    query = (
        "query Q($n: Int = 1, $v: [Float!]!, $w: WhereInpObj) { Get { "
        f"first: {own}(limit: $n) {{ ...T }} "
        f"second: {own}(nearVector: {{vector: $v}}, where: $w) "
        "{ title _additional{id} ... on " + own + " { _additional{distance} } "
        "_additional { d: distance @skip(if: true) ...V } } } } "
        f"fragment T on {own} {{ title }} fragment V on _{own}Additional {{ vector }}"
    )
    where = {"path": ["n"], "operator": "Equal", "valueInt": [9]}
    answer = database.query(query, variables={"v": [1, 0, 0], "w": where}, operationName="Q")
    assert "errors" not in answer
    assert answer["data"]["Get"]["first"] == [{"title": "title0 sea"}]
    (row,) = answer["data"]["Get"]["second"]
    assert row["_additional"].keys() == {"id", "distance", "vector"}
    assert row["_additional"]["vector"] == [1, 0, 0]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{text", "Syntax Error"),
        ("{missing}", "Cannot query field 'missing'"),
        ("(nearText: {concepts: [\"a\"]}){text}", "Unknown argument 'nearText'"),
        ("(limit: \"5\"){text}", "Int cannot represent"),
        ("(limit: -1){text}", "pagination"),
        ("(limit: 10001){text}", "maximum results"),
        ("(limit: 1, offset: 10000){text}", "maximum results"),
        ("(groupBy: {path: [\"n\"], groups: 2, objectsPerGroup: 2}){text}", "no search whose"),
        (
            "(nearVector: {vector: [1, 0, 0]}, "
            "groupBy: {path: [\"n\"], groups: 0, objectsPerGroup: 2}){text}",
            "must be at least 1",
        ),
        (
            "(nearVector: {vector: [1, 0, 0]}, "
            "groupBy: {path: [\"n\", \"m\"], groups: 1, objectsPerGroup: 2}){text}",
            "a path has one property",
        ),
        ("(tenant: \"t\"){text}", "multi-tenancy disabled"),
        ("(bm25: {query: \" \"}){text}", "must have query set"),
        ("(bm25: {query: \"a\", properties: [\"missing\"]}){text}", "no such prop"),
        ("(bm25: {query: \"a\", properties: [\"label\"]}){text}", "not searchable"),
        ("(bm25: {query: \"a\", properties: [\"n\"]}){text}", "not searchable"),
        ("(bm25: {query: \"a\", properties: [\"text^x\"]}){text}", "weight"),
        ("(bm25: {query: \"a\", properties: [\"text^-1\"]}){text}", "weight"),
        ("(bm25: {query: \"a\"}, nearVector: {vector: [1, 0, 0]}){text}", "only one kind"),
        ("(nearVector: {vector: [1, 0]}){text}", "2 is not 3"),
        ("(nearVector: {vector: []}){text}", "list of 1 to"),
        ("(nearVector: {vector: [0, 0, 0]}){text}", "no direction"),
        ("(nearVector: {vector: [1e99, 0, 0]}){text}", "too large"),
        (f"({NEAR[:-1]}, certainty: 1, distance: 0}}){{text}}", "cannot provide"),
        ("(nearObject: {id: \"a\"}){text}", "UUID"),
        ("(nearObject: {}){text}", "give id or beacon"),
        (f"(nearObject: {{id: \"{uuid.UUID(int=4)}\"}}){{text}}", "with a vector"),
        (f"(nearObject: {{id: \"{uuid.UUID(int=99)}\"}}){{text}}", "with a vector"),
        ("(hybrid: {query: \"a\"}){text}", "has no vectorizer"),
        ("(hybrid: {alpha: 0}){text}", "give a query or a vector"),
        ("(hybrid: {query: \"a\", alpha: 2}){text}", "alpha must be"),
        ("(sort: [{path: [\"missing\"]}]){text}", "no such prop"),
        ("(sort: [{path: [\"a\", \"B\", \"c\"]}]){text}", "references"),
        ("(sort: [{path: [\"n; DROP\"]}]){text}", "valid property name"),
        ("(sort: [{path: [\"_sp_id\"]}]){text}", "no such prop"),
        ("(after: \"5\"){text}", "UUID"),
        ("(after: \"5\", bm25: {query: \"a\"}){text}", "after cannot"),
        ("(after: \"5\", offset: 1){text}", "after cannot"),
        ("(where: {path: [\"n\"], operator: Equal}){text}", "needs one value"),
        ("(where: {path: [\"n\"], operator: Near, valueInt: 1}){text}", "does not exist in"),
        ("(where: {path: [\"n\"], operator: Equal, valueInt: 1.5}){text}", "64 bits"),
        ("(where: {path: [\"n\"], operator: Equal, valueText: \"x\"}){text}", "cannot use"),
        ("(where: {path: [\"n\"], operator: WithinGeoRange, valueInt: 1}){text}", "enum"),
        ("(where: {path: [\"n\"], operator: Equal, valueGeoRange: {x: 1}}){text}", "not supp"),
        ("{_additional{generate{x}}}", "Cannot query field 'generate'"),
        ("{_additional{rerank{score}}}", "no properties provided"),
        ("{_additional{rerank(property: \"\"){score}}}", "no properties provided"),
        ("{_additional{rerank(property: \"text\"){score}}}", "no query provided"),
        ("{_additional{rerank(property: \"text\", query: \" \"){score}}}", "no query provided"),
        ("{_additional{rerank(property: \"missing\", query: \"a\"){score}}}", "no such prop"),
        ("{_additional{rerank(property: 5, query: \"a\"){score}}}", "String cannot represent"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_status_200(
    database: Database, own: str, query: str, message: str
) -> None:
    assert message in database.query_error(own + query)


def test_an_error_leaves_the_other_classes(database: Database, own: str) -> None:
    answer = database.query(f"{{Get{{a: {own}(limit: -1){{text}} b: {own}(limit: 1){{n}}}}}}")
    assert answer["data"] == {"Get": {"a": None, "b": [{"n": 9}]}}
    (error,) = answer["errors"]
    assert error["path"] == ["Get", "a"]
    assert error["locations"] == [{"column": 6, "line": 1}]
    assert error["message"].startswith("explorer: get class: ")


def test_a_query_must_be_there(database: Database) -> None:
    for body in ({}, {"query": ""}, {"query": None}, {"query": 5}):
        assert "query cannot be empty" in database.error("POST", "/graphql", body)
    for more in ({"variables": []}, {"operationName": 5}):
        database.error("POST", "/graphql", {"query": "{Get{A{a}}}", **more})
