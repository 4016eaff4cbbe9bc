"""Reranking in queries: which objects, in which order, by which model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from secondpass import Reranker
from secondpass.server.settings import ServerSettings
from tests.server.conftest import QUERY, TEXTS, serving
from tests.server.weaviate.conftest import Database, text_property

RERANK = f'rerank(property: "text", query: "{QUERY}"){{score}}'


@pytest.fixture(scope="module")
def texts(database: Database) -> str:
    name = database.create_class(
        properties=[text_property("text"), text_property("title"), text_property("tags")],
        moduleConfig={"reranker-transformers": {}},
    )
    database.store(
        name,
        *[
            {"properties": {"text": text, "title": f"t{i}"}, "vector": [1, i]}
            for i, text in enumerate(TEXTS)
        ],
    )
    return name


@pytest.fixture(scope="module")
def scores(model: str) -> dict[str, float]:
    response = Reranker(model).rerank(QUERY, TEXTS)
    return {TEXTS[r.index]: r.score for r in response.results}


def test_results_are_in_the_order_of_the_second_pass(
    database: Database, texts: str, scores: dict[str, float]
) -> None:
    rows = database.get(f"{texts}{{text _additional{{{RERANK}}}}}")
    assert [row["text"] for row in rows] == sorted(TEXTS, key=lambda t: -scores[t])
    for row in rows:
        (found,) = row["_additional"]["rerank"]
        assert found == {"score": pytest.approx(scores[row["text"]], abs=1e-4)}


def test_only_what_survives_the_page_is_reranked(
    database: Database, texts: str, scores: dict[str, float]
) -> None:
    near = "nearVector: {vector: [1, 0]}, limit: 2, offset: 1"
    rows = database.get(f"{texts}({near}){{title _additional{{{RERANK}}}}}")
    expected = sorted((1, 2), key=lambda i: -scores[TEXTS[i]])
    assert [row["title"] for row in rows] == [f"t{i}" for i in expected]


def test_groups_are_reranked_and_the_best_hit_stands_for_each(
    database: Database, scores: dict[str, float]
) -> None:
    name = database.create_class(
        properties=[text_property("text"), text_property("kind"), text_property("tags")],
        moduleConfig={"reranker-transformers": {}},
    )
    kinds = ["even", "odd"]
    database.store(
        name,
        *[
            {"properties": {"text": text, "kind": kinds[i % 2]}, "vector": [1, i]}
            for i, text in enumerate(TEXTS[:3])
        ],
        {"properties": {"text": TEXTS[3]}, "vector": [1, 9]},
    )
    group_by = 'groupBy: {path: ["kind"], groups: 3, objectsPerGroup: 2}'
    hits = "hits{text _additional{id vector distance}}"
    group = f"group{{id groupedBy{{path value}} count minDistance maxDistance {hits}}}"
    near = "nearVector: {vector: [1, 0]}"
    for additional, texts in (
        (group, {"even": [0, 2], "odd": [1], "": [3]}),
        (f"{group} {RERANK}", None),
    ):
        rows = database.get(f"{name}({near}, {group_by}){{text _additional{{{additional}}}}}")
        found = [row["_additional"]["group"] for row in rows]
        assert [one["id"] for one in found] == [0, 1, 2]
        assert {one["groupedBy"]["value"] for one in found} == {"even", "odd", ""}
        for row, one in zip(rows, found, strict=True):
            shown = [hit["text"] for hit in one["hits"]]
            assert row["text"] == shown[0]
            assert one["count"] == len(shown)
            distances = [hit["_additional"]["distance"] for hit in one["hits"]]
            assert (one["minDistance"], one["maxDistance"]) == (min(distances), max(distances))
            assert all(hit["_additional"]["vector"] for hit in one["hits"])
            if texts is None:
                assert shown == sorted(shown, key=lambda t: -scores[t])
            else:
                assert shown == [TEXTS[i] for i in texts[one["groupedBy"]["value"]]]
        if texts is None:
            best = [scores[row["text"]] for row in rows]
            assert best == sorted(best, reverse=True)
    few = f'{near}, groupBy: {{path: ["kind"], groups: 1, objectsPerGroup: 1}}'
    (row,) = database.get(f"{name}({few}){{text _additional{{{group}}}}}")
    assert row["_additional"]["group"]["count"] == 1


def test_the_query_is_that_of_the_search_where_none_is_given(
    database: Database, texts: str, scores: dict[str, float]
) -> None:
    for search in (f'bm25: {{query: "{QUERY}"}}', f'hybrid: {{query: "{QUERY}", alpha: 0}}'):
        rows = database.get(f'{texts}({search}){{text _additional{{rerank(property: "text")'
                            "{score}}}")  # fmt: skip
        got = [row["_additional"]["rerank"][0]["score"] for row in rows]
        assert got == [pytest.approx(scores[row["text"]], abs=1e-4) for row in rows]
        assert len(got) > 1


def test_blocks_aliases_and_fragments_are_seen_and_what_is_left_out_is_not(
    database: Database, texts: str, scores: dict[str, float]
) -> None:
    best = sorted(TEXTS, key=lambda t: -scores[t])
    for selection in (
        f"text _additional{{id}} _additional{{again: {RERANK}}}",
        f"text ... on {texts} {{ _additional {{ ... {{ {RERANK} }} }} }}",
        f"text _additional @include(if: true) {{ {RERANK} }}",
    ):
        rows = database.get(f"{texts}{{{selection}}}")
        assert [row["text"] for row in rows] == best
    query = (
        f"query($q: String){{Get{{{texts}{{...A}}}}}} fragment A on {texts} "
        "{text _additional{...B}} "
        f'fragment B on _{texts}Additional {{rerank(property: "text", query: $q){{score}}}}'
    )
    answer = database.query(query, variables={"q": QUERY})
    assert [row["text"] for row in answer["data"]["Get"][texts]] == best
    two = f'{RERANK} b: rerank(property: "title", query: "t1"){{score}}'
    rows = database.get(f"{texts}{{text _additional{{{two}}}}}")
    assert [row["text"] for row in rows] == best
    skipped = database.get(f"{texts}{{_additional @skip(if: true) {{{RERANK}}} title}}")
    assert all(row.keys() == {"title"} for row in skipped)


def test_a_property_that_is_missing_is_an_empty_text(database: Database, texts: str) -> None:
    rows = database.get(
        f'{texts}{{_additional{{rerank(property: "tags", query: "river"){{score}}}}}}'
    )
    assert len({row["_additional"]["rerank"][0]["score"] for row in rows}) == 1
    assert database.get(f"{texts}(limit: 0){{_additional{{{RERANK}}}}}") == []


def test_any_value_can_be_read(database: Database) -> None:
    name = database.create_class()
    values = {"list": ["a river", "the sea"], "number": 5, "inner": {"a": "river"}}
    database.store(name, {"properties": values})
    for one in values:
        rerank = f'rerank(property: "{one}", query: "river"){{score}}'
        (row,) = database.get(f"{name}{{_additional{{{rerank}}}}}")
        assert isinstance(row["_additional"]["rerank"][0]["score"], float)


def test_the_model_of_a_class_and_the_limits(model: str, tmp_path: Path) -> None:
    settings = ServerSettings(models=[model], data=tmp_path, strict=True, max_documents=2)
    with serving(settings) as url, httpx2.Client(base_url=url, timeout=30) as http:
        database = Database(url, http)

        def error(count: int, **declaration: Any) -> Any:
            name = database.create_class(**declaration)
            for _ in range(count):
                database.store(name, {"properties": {"text": "river"}})
            answer = database.query(f"{{Get{{{name}{{_additional{{{RERANK}}}}}}}}}")
            return answer.get("errors", [{}])[0].get("message", "")

        assert error(2) == ""
        assert error(1, moduleConfig={"reranker-cohere": {"model": model}}) == ""
        assert "at most 2" in error(3)
        missing = error(1, moduleConfig={"reranker-cohere": {"model": "rerank-v3.5"}})
        assert "no model 'rerank-v3.5'" in missing
