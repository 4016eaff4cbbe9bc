"""The adapter of Weaviate beyond the contract: conditions, named vectors, refused requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx2
import pytest

from secondpass.errors import InputError, RetrieverError
from secondpass.retrieve.backends.registry import open_retriever
from secondpass.retrieve.backends.weaviate_query import vector_spaces, weaviate_where
from secondpass.retrieve.filter_tree import parse_filter
from secondpass.server.settings import ServerSettings
from tests.contract.retrievers.databases import EMBEDDER
from tests.server.conftest import serving

FIELDS = {"year": "integer", "price": "number", "lang": "text", "said": "text", "id": "text"}
TYPES = {"year": "int", "price": "number", "lang": "text"}
KEY = "12345678-1234-5678-1234-567812345678"


@pytest.mark.parametrize(
    ("condition", "where", "exact"),
    [
        ("year >= 3", '{path: ["year"], operator: GreaterThanEqual, valueInt: 3}', True),
        ("price = 3", '{path: ["price"], operator: Equal, valueNumber: 3.0}', True),
        ("NOT year < 3", '{path: ["year"], operator: GreaterThanEqual, valueInt: 3}', True),
        ("year >= 3.5", True, False),
        ("year != 3", True, False),
        ("lang = 'en'", '{path: ["lang"], operator: Equal, valueText: "en"}', False),
        ("lang = ' '", True, False),
        ("said = 'a word'", True, False),
        ("year IS NULL", True, False),
        ("year = 3 OR said LIKE 'a%'", True, False),
        (f"id = '{KEY}'", f'{{path: ["id"], operator: Equal, valueText: "{KEY}"}}', True),
        ("id = 'no uuid'", False, True),
        (
            "year = 3 AND said LIKE 'a%'",
            '{path: ["year"], operator: Equal, valueInt: 3}',
            False,
        ),
        (
            "price IN (1, 2)",
            '{operator: Or, operands: [{path: ["price"], operator: Equal, valueNumber: 1.0}, '
            '{path: ["price"], operator: Equal, valueNumber: 2.0}]}',
            True,
        ),
    ],
)
def test_conditions(condition: str, where: str | bool, exact: bool) -> None:
    tree = parse_filter(condition, FIELDS)
    assert tree is not None
    assert weaviate_where(tree, TYPES) == (where, exact)


def test_vectors_are_named_or_not() -> None:
    assert vector_spaces({"class": "A"}) == {"(the unnamed vector)": "cosine"}
    configured = {
        name: {"vectorIndexConfig": {"distance": name}} for name in ("dot", "hamming")
    }
    assert vector_spaces({"vectorConfig": configured}) == {"dot": "dot"}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    data = tmp_path_factory.mktemp("weaviate")
    with (
        serving(ServerSettings(models=["bundled-tiny"], data=data)) as address,
        httpx2.Client(base_url=f"{address}/v1") as client,
    ):
        properties: list[dict[str, Any]] = [
            {"name": "body", "dataType": ["text"]},
            {"name": "place", "dataType": ["geoCoordinates"]},
        ]
        body = {"class": "Docs", "vectorizer": "none", "properties": properties}
        assert client.post("/schema", json=body).is_success
        row = {"class": "Docs", "id": KEY, "properties": {"body": "a cat"}}
        assert client.post("/objects", json=row).is_success
        yield client


def test_what_is_not_read_is_said(http: httpx2.Client) -> None:
    url = f"weaviate://127.0.0.1:{http.base_url.port}?collection=Docs"
    with closing(open_retriever(url, embedder=EMBEDDER)) as retriever:
        found = retriever.search("cat", mode="bm25")
    assert [c.document.id for c in found.candidates] == [KEY]
    assert found.note == "properties that are not read: place"
    with pytest.raises(InputError, match="no table 'Dogs'"):
        open_retriever(url.replace("Docs", "Dogs"), embedder=EMBEDDER)


def test_a_refused_search_is_an_error(http: httpx2.Client) -> None:
    url = f"weaviate://127.0.0.1:{http.base_url.port}?collection=Docs"
    with closing(open_retriever(url, embedder=EMBEDDER)) as retriever:
        retriever.store.collection = "Gone"
        with pytest.raises(RetrieverError, match="weaviate refused the search"):
            retriever.retrieve("cat", 3)
