from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lancedb", reason="the extra lancedb is not installed")

import lancedb
import pyarrow as pa
from lancedb.index import FTS
from lancedb.query import MatchQuery

from secondpass import BaseReranker, InputError, Reranker
from secondpass.integrations.lancedb import SecondpassReranker
from secondpass.policies import Blend
from secondpass.testing import ScriptedReranker
from tests.integrations.conftest import QUERY, RESET, RULES, SEA

ROWS = [
    {"id": "a", "text": SEA, "vector": [1.0, 0.0]},
    {"id": "b", "text": RULES, "vector": [0.9, 0.1]},
    {"id": "c", "text": RESET, "vector": [0.0, 1.0]},
]


@pytest.fixture
def table(tmp_path: Path) -> Any:
    made = lancedb.connect(tmp_path).create_table("rows", ROWS)
    made.create_index("text", config=FTS())
    return made


def by_vector(table: Any) -> Any:
    return table.search([1.0, 0.0])


def by_both(table: Any, words: str = "password") -> Any:
    return table.search(query_type="hybrid").vector([1.0, 0.0]).text(words)


def ids(found: pa.Table) -> list[str]:
    return found["id"].to_pylist()


def test_by_vector(table: Any, scripted: ScriptedReranker) -> None:
    found = by_vector(table).rerank(SecondpassReranker(scripted), query_string=QUERY).to_arrow()
    assert ids(found) == ["c", "b", "a"]
    assert found["_relevance_score"].to_pylist() == [2.0, 0.0, -1.0]
    assert "_distance" not in found.column_names
    everything = SecondpassReranker(scripted, return_score="all", top_n=2)
    found = by_vector(table).rerank(everything, query_string=QUERY).to_arrow()
    assert found["_distance"].to_pylist() == [2.0, pytest.approx(0.02)]


def test_by_words(table: Any, scripted: ScriptedReranker) -> None:
    search = table.search("passwords twelve settings sea", query_type="fts")
    found = search.rerank(SecondpassReranker(scripted)).to_arrow()
    assert ids(found) == ["c", "b", "a"]
    assert {"_score", "_distance"}.isdisjoint(found.column_names)
    everything = SecondpassReranker(scripted, return_score="all")
    found = table.search("sea", query_type="fts").rerank(everything).to_arrow()
    assert found["_score"].to_pylist()[0] > 0
    match = table.search(MatchQuery("sea", "text"), query_type="fts")
    assert ids(match.rerank(SecondpassReranker("bundled-tiny")).to_arrow()) == ["a"]


def test_by_both_with_a_model_by_name(table: Any) -> None:
    found = by_both(table, QUERY).rerank(SecondpassReranker("bundled")).limit(2).to_arrow()
    assert ids(found) == ["c", "b"]
    expected = Reranker().rerank(QUERY, [RESET, RULES]).results
    assert found["_relevance_score"].to_pylist() == pytest.approx([r.score for r in expected])
    assert found.schema.metadata[b"secondpass.status"] == b"reranked"
    assert found.schema.metadata[b"secondpass.model"] == b"bundled"
    assert {"_rowid", "_score", "_distance"}.isdisjoint(found.column_names)


def test_by_both_each_row_comes_once_with_both_scores(
    table: Any, scripted: ScriptedReranker
) -> None:
    everything = SecondpassReranker(scripted, return_score="all")
    found = by_both(table, "sea settings").rerank(everything).to_arrow()
    assert ids(found) == ["c", "b", "a"]
    by_words = {
        row["id"]: row["_score"]
        for row in table.search("sea settings", query_type="fts").to_arrow().to_pylist()
    }
    assert found["_score"].to_pylist() == [by_words["c"], None, by_words["a"]]
    assert None not in found["_distance"].to_pylist()
    candidates = scripted.calls[0].candidates
    assert len(candidates) == 3
    assert {c.document.metadata["id"] for c in candidates if c.bm25 is None} == {"b"}
    assert "vector" not in candidates[0].document.metadata


def test_a_blend_finds_the_scores_of_the_search(table: Any) -> None:
    equal = ScriptedReranker({}, default=0.0)
    blend = SecondpassReranker(Blend(equal, {"vector": 1.0}))
    found = by_vector(table).rerank(blend, query_string=QUERY).to_arrow()
    assert ids(found) == ["a", "b", "c"]
    blend = SecondpassReranker(Blend(equal, {"bm25": 1.0}))
    assert ids(by_both(table, "settings").rerank(blend).to_arrow())[0] == "c"


def test_a_fallback_does_not_look_reranked(table: Any, down: BaseReranker) -> None:
    found = by_both(table, "twelve").rerank(SecondpassReranker(down)).to_arrow()
    # By vector a, b, c; by words b alone: reciprocal rank fusion has b first.
    assert ids(found) == ["b", "a", "c"]
    assert found["_relevance_score"].to_pylist() == [None] * 3
    assert found.schema.metadata[b"secondpass.status"] == b"fallback"
    assert b"down" in found.schema.metadata[b"secondpass.reason"]


def test_nothing_found(table: Any, scripted: ScriptedReranker) -> None:
    reranker = SecondpassReranker(scripted)
    words = table.search("zebra", query_type="fts").rerank(reranker).to_arrow()
    both = by_both(table, "zebra").where("id = 'z'", prefilter=True).rerank(reranker).to_arrow()
    vector = by_vector(table).where("id = 'z'").rerank(reranker, query_string=QUERY).to_arrow()
    for found in (words, both, vector):
        assert len(found) == 0
        assert found["_relevance_score"].type == pa.float32()
    half = by_both(table, "zebra").rerank(reranker).to_arrow()
    assert ids(half) == ["c", "b", "a"]


async def test_the_asynchronous_client(tmp_path: Path, table: Any) -> None:
    connection = await lancedb.connect_async(tmp_path)
    opened = await connection.open_table("rows")
    search = opened.query().nearest_to([1.0, 0.0]).nearest_to_text("password")
    found = await search.rerank(SecondpassReranker("bundled-tiny")).to_list()
    assert len(found) == 3
    assert found[0]["_relevance_score"] >= found[1]["_relevance_score"]


def test_mistakes_are_told(table: Any, scripted: ScriptedReranker) -> None:
    with pytest.raises(ValueError, match="'relevance' or 'all'"):
        SecondpassReranker(scripted, return_score="some")
    with pytest.raises(InputError, match="top_n must be at least 1"):
        SecondpassReranker(scripted, top_n=0)
    with pytest.raises(InputError, match=r"no column 'txt'.*Did you mean 'text'"):
        by_both(table).rerank(SecondpassReranker(scripted, column="txt")).to_arrow()


def test_a_row_without_text_is_last_with_a_null_score(
    tmp_path: Path, scripted: ScriptedReranker
) -> None:
    rows = [*ROWS, {"id": "d", "text": None, "vector": [1.0, 0.0]}]
    made = lancedb.connect(tmp_path).create_table("nulls", rows)
    made.create_index("text", config=FTS())
    reranker = SecondpassReranker(scripted)
    vector = by_vector(made).rerank(reranker, query_string=QUERY).to_arrow()
    for found in (vector, by_both(made).rerank(reranker).to_arrow()):
        assert ids(found) == ["c", "b", "a", "d"]
        assert found["_relevance_score"].to_pylist() == [2.0, 0.0, -1.0, None]
        assert b"1 of 4 documents have no text" in found.schema.metadata[b"secondpass.reason"]
