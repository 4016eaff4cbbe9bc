"""Class definitions, and the names of classes, properties and objects."""

from __future__ import annotations

import pytest

from secondpass.server.http_errors import HttpError
from secondpass.server.weaviate.class_definition import (
    ClassDefinition,
    complete_class,
    text_language,
)
from secondpass.server.weaviate.names import (
    parse_class_name,
    parse_property_name,
    parse_uuid,
)


def test_names() -> None:
    assert (parse_class_name("doc"), parse_property_name("Text")) == ("Doc", "text")
    assert parse_uuid("{5E58AD90-95F0-411E-8373-50FB644A14B6}").startswith("5e58ad90-95f0-")
    for wrong in (None, 5, "", " ", "é", "a-b", "a" * 300, "a\n"):
        for check in (parse_class_name, parse_property_name, parse_uuid):
            with pytest.raises(HttpError):
                check(wrong)


def test_stop_words_decide_the_language() -> None:
    for preset, language in (("en", "english"), ("none", "none")):
        config = {"stopwords": {"preset": preset}}
        declared = complete_class({"class": "A", "invertedIndexConfig": config})
        assert text_language(declared) == language


def test_a_class_is_read_as_it_was_declared() -> None:
    module = {"text2vec-openai": {"model": "any", "properties": ["b"]}}
    declared = complete_class(
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
    found = ClassDefinition.from_declaration(declared)
    assert (found.vectorizer, found.vector_name, found.reranker) == (
        "text2vec-openai",
        "v",
        "r",
    )
    values = {"a": "x", "b": ["y", "z"], "c": 5}
    assert found.searchable_text(values) == "x\ny\nz"
    assert found.vector_text(values) == "y\nz"
    assert found.vector_text({"a": "x"}) == "A"
    assert complete_class(declared) == declared
