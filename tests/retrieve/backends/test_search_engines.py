"""The requests that Elasticsearch and OpenSearch get, and what is made of their responses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from secondpass.errors import FilterError, InputError, RetrieverError
from secondpass.retrieve.backends.registry import open_retriever
from tests.contract.retrievers.collections import SearchEngineIndex
from tests.contract.retrievers.databases import EMBEDDER, Row
from tests.loopback.search_engine import Flavor, SearchEngine

ROWS = [
    Row("1", "mountain lake", "Lakes", year=2001, lang="en"),
    Row("2", "frozen lake", "Ice", year=2002, lang="de"),
    Row("3", "mountain lodge", None, year=None),
]


@pytest.fixture(params=["elasticsearch", "opensearch"])
def engine(request: pytest.FixtureRequest) -> Iterator[SearchEngine]:
    made = SearchEngine(request.param, password="pass-w0rd")
    SearchEngineIndex(made).fill(ROWS)
    yield made
    made.close()


def url(engine: SearchEngine, path: str = "/docs", **parameters: str) -> str:
    more = "&".join(f"{name}={value}" for name, value in parameters.items())
    address = f"admin:pass-w0rd@127.0.0.1:{engine.port}"
    return f"{engine.flavor}://{address}{path}?text=body&title=title&{more}".rstrip("&")


def searches(engine: SearchEngine) -> list[tuple[str, dict[str, Any]]]:
    return [(path, body) for _, path, body in engine.requests if "_search" in path]


def test_keyword_search_is_multi_match_with_the_filter_in_bool(engine: SearchEngine) -> None:
    with closing(
        open_retriever(url(engine, analyzer="english"), embedder=EMBEDDER)
    ) as retriever:
        engine.requests.clear()
        retriever.search("lake", mode="bm25", candidates=7, filter="lang = 'en'")
    ((path, body),) = searches(engine)
    match = {"query": "lake", "fields": ["title", "body"], "analyzer": "english"}
    wanted = {
        "must": [{"multi_match": match}],
        "filter": [{"term": {"lang.keyword": {"value": "en"}}}],
    }
    assert path == "/docs/_search?allow_partial_search_results=false"
    assert body["query"] == {"bool": wanted}
    assert body["size"] == 7
    assert body["track_total_hits"] is False


def test_vector_search_filters_before_k(engine: SearchEngine) -> None:
    with closing(open_retriever(url(engine), embedder=EMBEDDER)) as retriever:
        engine.requests.clear()
        found = retriever.search("lake", mode="vector", candidates=2, filter="year > 2001")
    ((_, body),) = searches(engine)
    vector = [float(v) for v in EMBEDDER.encode(["lake"])[0]]
    condition = {"range": {"year": {"gt": 2001}}}
    if engine.flavor == "elasticsearch":
        assert body["knn"] == {
            **{"field": "embedding", "query_vector": vector, "k": 2, "num_candidates": 100},
            "filter": condition,
        }
        assert "query" not in body
    else:
        knn = {"vector": vector, "k": 2, "filter": condition}
        assert body["query"] == {"knn": {"embedding": knn}}
    assert body["_source"] == {"excludes": ["embedding"]}
    assert [c.document.id for c in found.candidates] == ["2"]


def test_hybrid_is_one_request_for_each_half(engine: SearchEngine) -> None:
    with closing(open_retriever(url(engine), embedder=EMBEDDER)) as retriever:
        engine.requests.clear()
        candidates = retriever.retrieve("mountain", 5)
    assert len(engine.requests) == 2
    # Keyword hits bring their vectors, so both scores are there.
    assert all(c.vector is not None for c in candidates)


@pytest.mark.parametrize(
    ("flavor", "mapping"),
    [
        *(
            ("elasticsearch", {"type": "dense_vector", "dims": 16, "similarity": similarity})
            for similarity in ("cosine", "dot_product", "l2_norm", "max_inner_product")
        ),
        *(
            ("opensearch", {"type": "knn_vector", "dimension": 16, "space_type": space})
            for space in ("cosinesimil", "l2", "innerproduct")
        ),
    ],
)
def test_scores_become_cosines_again(flavor: Flavor, mapping: dict[str, Any]) -> None:
    engine = SearchEngine(flavor)
    try:
        SearchEngineIndex(engine).fill(ROWS)
        engine.mappings["docs"]["embedding"] = mapping
        address = f"{flavor}://127.0.0.1:{engine.port}/docs?text=body&title=title"
        with closing(open_retriever(address, embedder=EMBEDDER)) as retriever:
            found = retriever.search("frozen lodge", mode="vector").candidates
    finally:
        engine.close()
    query = EMBEDDER.encode(["frozen lodge"])[0]
    cosines = {row.id: float(np.dot(row.vector, query)) for row in ROWS}
    assert {c.document.id: c.vector for c in found} == pytest.approx(cosines, abs=1e-5)


def test_a_text_without_a_keyword_field_has_no_filter(engine: SearchEngine) -> None:
    with closing(open_retriever(url(engine), embedder=EMBEDDER)) as retriever:
        assert set(retriever.describe().fields) == {
            *("_id", "year", "price", "lang", "fresh", "day", "doc")
        }
        with pytest.raises(FilterError, match="title"):
            retriever.retrieve("lake", 5, "title = 'Ice'")
        for condition in ("_id = '2'", "_id IN ('2', '9')", "NOT _id IN ('1', '3')"):
            assert [c.document.id for c in retriever.retrieve("lake", 5, condition)] == ["2"]


def test_indexes_are_listed(engine: SearchEngine) -> None:
    with pytest.raises(InputError, match="docs"):
        open_retriever(url(engine, "/dosc"), embedder=EMBEDDER)
    with closing(open_retriever(url(engine, ""), embedder=EMBEDDER)) as retriever:
        assert retriever.retrieve("frozen", 1)[0].document.id == "2"
    engine.create("others", {})
    with pytest.raises(InputError, match="docs, others"):
        open_retriever(url(engine, ""), embedder=EMBEDDER)


def test_errors_name_the_cause_and_no_secret(engine: SearchEngine) -> None:
    with pytest.raises(RetrieverError) as caught:
        open_retriever(url(engine).replace("pass-w0rd", "wr0ng"), embedder=EMBEDDER)
    assert "wr0ng" not in str(caught.value)
    assert "missing authentication" in str(caught.value)
    with closing(open_retriever(url(engine), embedder=EMBEDDER)) as retriever:
        engine.close()
        with pytest.raises(RetrieverError, match="cannot be reached") as caught:
            retriever.retrieve("lake", 5)
    assert "pass-w0rd" not in str(caught.value)
