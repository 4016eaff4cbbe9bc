"""Classes over REST: made, completed, changed, refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.weaviate.conftest import Database, text_property


def test_a_class_comes_back_complete_and_goes(database: Database) -> None:
    said = {
        "class": "article",
        "description": "what is read",
        "properties": [
            text_property("Title", description="of it"),
            {"name": "when", "dataType": ["date"]},
            {"name": "by", "dataType": ["Author"]},
        ],
        "moduleConfig": {"reranker-cohere": {"model": "rerank-v3.5"}},
        "unknown": {"kept": [1, None]},
    }
    made = database.send("POST", "/schema", said)
    assert made["class"] == "Article"
    assert [p["name"] for p in made["properties"]] == ["title", "when", "by"]
    assert made["properties"][0]["tokenization"] == "word"
    assert (made["vectorizer"], made["vectorIndexConfig"]["distance"]) == ("none", "cosine")
    assert made["moduleConfig"] == said["moduleConfig"]
    assert made["unknown"] == {"kept": [1, None]}
    assert database.send("GET", "/schema/Article") == made
    assert made in database.send("GET", "/schema")["classes"]
    more = database.send("POST", "/schema/Article/properties", text_property("more"))
    assert more["indexSearchable"] is True
    assert len(database.send("GET", "/schema/article")["properties"]) == 4
    assert "already in use" in database.error(
        "POST", "/schema/Article/properties", text_property("TITLE".lower())
    )
    assert database.error("POST", "/schema", said) == "class name Article already exists"
    assert "permutation of: 'Article'" in database.error(
        "POST", "/schema", {"class": "ARTICLE"}
    )
    for _ in range(2):
        database.send("DELETE", "/schema/Article")
    assert "not found" in database.error("GET", "/schema/Article", status=404)


def test_what_can_be_changed_of_a_class(database: Database) -> None:
    name = database.create_class(properties=[text_property("text")])
    there = database.send("GET", f"/schema/{name}")
    there["description"] = "other"
    there["moduleConfig"] = {"reranker-transformers": {}}
    database.send("PUT", f"/schema/{name}", there)
    assert database.send("GET", f"/schema/{name}")["description"] == "other"
    for change in (
        {"vectorizer": "text2vec-transformers"},
        {"properties": []},
        {"class": "Other"},
        {"invertedIndexConfig": {"stopwords": {"preset": "none"}}},
    ):
        message = database.error("PUT", f"/schema/{name}", {**there, **change})
        assert "cannot be changed" in message
    database.error("PUT", "/schema/Missing", {**there, "class": "Missing"}, 404)


def test_halves_of_characters_are_replaced(database: Database) -> None:
    half = "x\ud800y"
    name = database.create_class(
        description=half, properties=[text_property("a", description=half)]
    )
    database.send("POST", f"/schema/{name}/properties", text_property("b", description=half))
    found = database.send("GET", f"/schema/{name}")
    said = [found["description"], *(p["description"] for p in found["properties"])]
    assert said == ["x\ufffdy"] * 3
    assert "not finite" in database.error(
        "POST", f"/schema/{name}/properties", text_property("c", x=float("nan"))
    )
    assert "\ufffd" in database.error("GET", "/schema/%ED%A0%80")


def test_a_class_does_not_grow_for_ever(database: Database) -> None:
    name = database.create_class(properties=[text_property("a")])
    new = {"class": name, "properties": {f"b{i}": "x" for i in range(500)}}
    assert "at most 500" in database.error("POST", "/objects", new)
    assert len(database.send("GET", f"/schema/{name}")["properties"]) == 1


def test_strings_of_old_are_texts(database: Database) -> None:
    declared = [
        {"name": "plain", "dataType": ["string"]},
        {"name": "whole", "dataType": "string[]", "tokenization": "field"},
        {"name": "hidden", "dataType": ["string"], "indexInverted": False},
    ]
    name = database.create_class(properties=declared)
    found = database.send("GET", f"/schema/{name}")["properties"]
    assert [p["dataType"] for p in found] == [["text"], ["text[]"], ["text"]]
    assert [p["tokenization"] for p in found] == ["whitespace", "field", "whitespace"]
    assert [p["indexSearchable"] for p in found] == [True, True, False]


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ({}, "not a valid class name"),
        ({"class": ""}, "not a valid class name"),
        ({"class": 5}, "not a valid class name"),
        ({"class": "../../etc"}, "not a valid class name"),
        ({"class": "Doc-1"}, "not a valid class name"),
        ({"class": "É"}, "not a valid class name"),
        ({"class": "A" * 101}, "not a valid class name"),
        ({"class": "\ud800"}, "not a valid class name"),
        ({"class": "D", "properties": 5}, "must be a list"),
        ({"class": "D", "properties": [5]}, "must be an object"),
        ({"class": "D", "properties": [{"dataType": ["text"]}]}, "valid property name"),
        ({"class": "D", "properties": [text_property("a b")]}, "valid property name"),
        ({"class": "D", "properties": [text_property("a`; DROP")]}, "valid property name"),
        ({"class": "D", "properties": [text_property("__typename")]}, "valid property name"),
        ({"class": "D", "properties": [text_property("_additional")]}, "reserved"),
        ({"class": "D", "properties": [text_property("id")]}, "reserved"),
        ({"class": "D", "properties": [text_property("aB"), text_property("ab")]}, "more than"),
        ({"class": "D", "properties": [{"name": "a", "dataType": []}]}, "list of names"),
        ({"class": "D", "properties": [{"name": "a", "dataType": ["blob[]"]}]}, "supported"),
        ({"class": "D", "properties": [{"name": "a", "dataType": ["reference"]}]}, "supported"),
        ({"class": "D", "properties": [{"name": "a", "dataType": ["phoneNumber"]}]}, "phone"),
        ({"class": "D", "properties": [{"name": "a", "dataType": ["object"]}]}, "nested"),
        ({"class": "D", "properties": [text_property("a", tokenization="gse")]}, "gse"),
        ({"class": "D", "properties": [text_property("a", tokenization=[])]}, "supported"),
        ({"class": "D", "vectorizer": "multi2vec-clip"}, "no module with name"),
        ({"class": "D", "vectorizer": {"none": {}}}, "no module with name"),
        ({"class": "D", "moduleConfig": []}, "moduleConfig must be an object"),
        ({"class": "D", "invertedIndexConfig": 5}, "must be an object"),
        ({"class": "D", "vectorIndexType": "hfresh"}, "not supported"),
        ({"class": "D", "vectorIndexType": ["hnsw"]}, "not supported"),
        ({"class": "D", "vectorIndexConfig": {"distance": "dot"}}, "only cosine"),
        ({"class": "D", "multiTenancyConfig": {"enabled": True}}, "multi-tenancy"),
        ({"class": "D", "vectorConfig": 5}, "must be an object"),
        ({"class": "D", "vectorConfig": {"a": {}, "b": {}}}, "several named vectors"),
        ({"class": "D", "vectorConfig": {"a b": {}}}, "valid vector name"),
        ({"class": "D", "vectorConfig": {"a": 5}}, "must be an object"),
        ({"class": "D", "vectorConfig": {"a": {"vectorizer": {"x": {}}}}}, "no module"),
        ({"class": "D", "vectorConfig": {"a": {"vectorizer": {"none": 5}}}}, "are not valid"),
        (
            {"class": "D", "vectorizer": "text2vec-x", "vectorConfig": {"a": {}}},
            "cannot be combined",
        ),
        ({"class": "D", "x": float("nan")}, "not finite"),
        ({"class": "D", "properties": [text_property("a", x=float("inf"))]}, "not finite"),
        ({"class": "D", "properties": [text_property(f"a{i}") for i in range(501)]}, "at most"),
    ],
)
def test_what_cannot_be_declared(database: Database, declaration: Any, message: str) -> None:
    assert message in database.error("POST", "/schema", declaration)


def test_paths_that_are_not_there_say_so_in_the_same_form(database: Database) -> None:
    assert "with their class" in database.error(
        "GET", "/objects/5e58ad90-95f0-411e-8373-50fb644a14b6", status=501
    )
    assert "not supported" in database.error("GET", "/schema/A/tenants", status=501)
    assert "not possible" in database.error("PATCH", "/schema", status=405)
    assert "not possible" in database.error("GET", "/graphql", status=405)
    assert "OpenID" in database.error("GET", "/.well-known/openid-configuration", status=404)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"a"', b"\xff", b"null"])
@pytest.mark.parametrize(
    "path", ["/schema", "/objects", "/batch/objects", "/graphql", "/schema/A/properties"]
)
def test_bodies_that_are_no_objects(database: Database, path: str, content: bytes) -> None:
    answer = database.http.post(f"/v1{path}", content=content)
    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"][0]["message"]
