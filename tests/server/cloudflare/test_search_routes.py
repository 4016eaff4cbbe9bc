"""Searches over HTTP: every option, and how options combine."""

from __future__ import annotations

import time
from typing import Any

import httpx2
import pytest

from tests.server.cloudflare.conftest import ACCOUNT, BREAD, FRANCE, WHALES, keys, put, search
from tests.server.conftest import Running

FIELDS = [
    {"field_name": "year", "data_type": "number"},
    {"field_name": "lang", "data_type": "text"},
    {"field_name": "due", "data_type": "datetime"},
]
PATH = "/ai-search/instances/shelf"


@pytest.fixture(scope="module")
def shelf(server: Running) -> None:
    with httpx2.Client(base_url=server.url + ACCOUNT, timeout=60) as http:
        body = {"id": "shelf", "cache": False, "custom_metadata": FIELDS, "chunk_size": 64}
        assert http.post("/ai-search/instances", json=body).status_code == 200
        put(http, PATH, "geo/france.md", FRANCE, year=2020, lang="en")
        put(http, PATH, "sea/whales.md", WHALES, year=2024, due="2026-01-01")
        put(http, PATH, "bread.md", BREAD, year=2022, lang="de")
        long = "\n\n".join(
            f"Chapter {n} tells of lighthouse number {n}. " * 6 for n in range(9)
        )
        put(http, PATH, "long.md", long)


pytestmark = pytest.mark.usefixtures("shelf")


def ask(http: httpx2.Client, **body: Any) -> httpx2.Response:
    return http.post(f"{PATH}/search", json=body)


def refused(http: httpx2.Client, **body: Any) -> str:
    response = ask(http, **{"query": "q", **body})
    assert response.status_code == 400, response.text
    (error,) = response.json()["errors"]
    assert error["code"] == 7001
    return str(error["message"])


def test_retrieval_types(http: httpx2.Client) -> None:
    near = search(http, PATH, "capital of France", retrieval_type="vector")
    assert near[0]["item"]["key"] == "geo/france.md"
    assert near[0]["score"] == near[0]["scoring_details"]["vector_score"] > 0.5
    assert near[0]["scoring_details"].keys() == {"vector_score", "vector_rank"}
    worded = search(http, PATH, "capital of France", retrieval_type="keyword")
    assert keys(worded) == ["geo/france.md"]
    assert worded[0]["scoring_details"].keys() == {"keyword_score", "keyword_rank"}
    assert worded[0]["score"] == 1
    both = search(http, PATH, "capital of France")
    assert both[0]["score"] == 1
    assert both[0]["scoring_details"]["fusion_method"] == "rrf"
    assert len(both) == 10
    scores = [c["score"] for c in both]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= s <= 1 for s in scores)
    best = search(http, PATH, "capital of France", fusion_method="max")
    assert best[0]["score"] == 1
    assert best[0]["scoring_details"]["fusion_method"] == "max"


def test_keyword_match_modes(http: httpx2.Client) -> None:
    def found(query: str, mode: str) -> set[str]:
        how = {"retrieval_type": "keyword", "keyword_match_mode": mode, "max_num_results": 50}
        return set(keys(search(http, PATH, query, **how)))

    assert found("whales flour", "or") == {"sea/whales.md", "bread.md"}
    assert found("whales flour", "and") == set()
    assert found("the whales are in the sea", "and") == {"sea/whales.md"}
    # What a new instance does.
    assert keys(search(http, PATH, "whales flour", retrieval_type="keyword")) == []


def test_the_threshold_is_on_the_similarity(http: httpx2.Client) -> None:
    everything = search(http, PATH, "whales in the sea", max_num_results=50)
    for least in (0.2, 0.5, 1):
        kept = search(
            http, PATH, "whales in the sea", match_threshold=least, max_num_results=50
        )
        expected = [c for c in everything if c["scoring_details"]["vector_score"] >= least]
        assert kept == expected
    assert len(everything) > len(search(http, PATH, "whales in the sea", match_threshold=0.5))


def test_filters_apply_before_the_limit(http: httpx2.Client) -> None:
    def found(**filters: Any) -> set[str]:
        return set(keys(search(http, PATH, "lighthouse", filters=filters, max_num_results=50)))

    assert found(folder="sea/") == {"sea/whales.md"}
    assert found(year={"$gte": 2022}) == {"sea/whales.md", "bread.md"}
    assert found(year={"$gte": 2022}, lang="de") == {"bread.md"}
    assert found(lang={"$ne": "en"}) == {"sea/whales.md", "bread.md", "long.md"}
    assert found(due={"$lt": "2026-06-01"}) == {"sea/whales.md"}
    assert found(timestamp={"$gt": time.time() + 60}) == set()
    assert "custom_metadata" in refused(
        http, ai_search_options={"retrieval": {"filters": {"no": 1}}}
    )


def test_boosts(http: httpx2.Client) -> None:
    def order(*rules: dict[str, str]) -> list[str]:
        found = search(
            http, PATH, "whales", retrieval_type="vector", boost_by=list(rules),
            max_num_results=50,
        )  # fmt: skip
        assert all(0 <= c["score"] <= 1 for c in found)
        return [key for key in keys(found) if key != "long.md"]

    plain = order()
    assert plain[0] == "sea/whales.md"
    down, up = order({"field": "year", "direction": "desc"}), order({"field": "YEAR"})
    assert down.index("bread.md") <= up.index("bread.md")
    near = search(http, PATH, "lighthouse", retrieval_type="vector", max_num_results=50)
    rule = [{"field": "lang"}]
    with_lang = search(
        http, PATH, "lighthouse", retrieval_type="vector", boost_by=rule, max_num_results=50
    )
    place = {c["id"]: n for n, c in enumerate(near)}
    moved = {c["id"]: n for n, c in enumerate(with_lang)}
    boosted = [c["id"] for c in near if c["item"]["key"] in ("bread.md", "geo/france.md")]
    assert all(moved[name] <= place[name] for name in boosted)
    for wrong, told in (
        ([{"field": "lang", "direction": "asc"}], "no order"),
        ([{"field": "no"}], "no field"),
        ([{"field": "year"}, {"field": "Year"}], "twice"),
        ([{"field": "folder"}], "cannot be boosted"),
        ([{}], "missing"),
        ([{"field": "year"}] * 4, "at most 3"),
    ):
        options = {"retrieval": {"boost_by": wrong}}
        assert told in refused(http, ai_search_options=options)


def test_reranking_scores_orders_and_drops(http: httpx2.Client) -> None:
    def reranked(least: float) -> list[Any]:
        options = {
            "retrieval": {"match_threshold": 0},
            "reranking": {
                "enabled": True,
                "model": "@cf/baai/bge-reranker-base",
                "match_threshold": least,
            },
        }
        chunks: list[Any] = ask(http, query="whales", ai_search_options=options).json()[
            "result"
        ]["chunks"]
        return chunks

    everything = reranked(0)
    scores = [c["score"] for c in everything]
    assert scores == [c["scoring_details"]["reranking_score"] for c in everything]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= s <= 1 for s in scores)
    middle = scores[4]
    assert reranked(middle) == [c for c in everything if c["score"] >= middle]


def test_context_expansion(http: httpx2.Client) -> None:
    def texts(more: int) -> dict[str, str]:
        found = search(http, PATH, "lighthouse", context_expansion=more, max_num_results=50)
        return {c["id"]: c["text"] for c in found if c["item"]["key"] == "long.md"}

    alone, wide, wider = texts(0), texts(1), texts(3)
    assert alone.keys() == wide.keys()
    assert all(alone[i] in wide[i] and wide[i] in wider[i] for i in alone)
    middle = sorted(alone, key=lambda i: int(i.partition("#")[2]))[4]
    assert len(wide[middle]) > 2 * len(alone[middle])
    # What two chunks share stands there once.
    counts = [wide[middle].count(f"Chapter {n} tells") for n in range(9)]
    assert max(counts) == 6
    short = search(http, PATH, "whales", context_expansion=3)
    assert short[0]["text"] == WHALES


def test_metadata_only(http: httpx2.Client) -> None:
    assert {c["text"] for c in search(http, PATH, "whales", metadata_only=True)} == {""}


def test_messages(http: httpx2.Client) -> None:
    said = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "user", "content": [{"type": "text", "text": "capital of France"}]},
    ]
    found = ask(http, messages=said).json()["result"]
    assert found["search_query"] == "capital of France"
    assert keys(found["chunks"])[0] == "geo/france.md"
    image = [{"type": "image_url", "image_url": {"url": "x"}}]
    for wrong, told in (
        ({"query": "a", "messages": said}, "not both"),
        ({"query": None}, "missing"),
        ({"query": " "}, "blank"),
        ({"query": 3}, "query"),
        ({"query": None, "messages": []}, "none of the user"),
        ({"query": None, "messages": [{"role": "user", "content": image}]}, "image_url"),
        ({"query": None, "messages": [{"role": "king", "content": "x"}]}, "role"),
        ({"query": None, "messages": [{"content": "x"}]}, "role"),
        ({"query": None, "messages": [{"role": "user", "content": ""}]}, "no text"),
        ({"query": None, "messages": "x"}, "messages"),
        ({"ai_search_options": []}, "ai_search_options"),
        ({"ai_search_options": {"retrieval": {"max_num_results": 51}}}, "max_num_results"),
        ({"ai_search_options": {"retrieval": {"max_num_results": 0}}}, "max_num_results"),
        ({"ai_search_options": {"retrieval": {"match_threshold": 1.1}}}, "match_threshold"),
        ({"ai_search_options": {"retrieval": {"retrieval_type": "x"}}}, "retrieval_type"),
        ({"ai_search_options": {"retrieval": {"context_expansion": 4}}}, "context_expansion"),
        ({"ai_search_options": {"custom_metadata": dict.fromkeys("abc", 1)}}, "2 items"),
    ):  # fmt: skip
        assert told in refused(http, **wrong)


def test_nulls_and_unknown_keys_are_ignored(http: httpx2.Client) -> None:
    options = {"retrieval": {"filters": None, "boost_by": None, "what": 1}, "reranking": None}
    body = {"query": "whales", "messages": None, "more": [], "ai_search_options": options}
    assert ask(http, **body).status_code == 200
    odd = http.post(f"{PATH}/search", content=b'{"query": "\\ud800 whales"}')
    assert odd.status_code == 200
    assert odd.json()["result"]["search_query"] == "\ufffd whales"


def test_index_method(http: httpx2.Client) -> None:
    path = "/ai-search/instances/vectors"
    method = {"vector": True, "keyword": False}
    http.post("/ai-search/instances", json={"id": "vectors", "index_method": method})
    put(http, path, "a.md", FRANCE)
    found = search(http, path, "France")
    assert "keyword_score" not in found[0]["scoring_details"]
    options = {"retrieval": {"retrieval_type": "keyword"}}
    wrong = http.post(f"{path}/search", json={"query": "q", "ai_search_options": options})
    assert wrong.status_code == 400
    assert "index_method.keyword" in wrong.json()["errors"][0]["message"]
    http.put(path, json={"index_method": {"vector": False, "keyword": True}})
    assert "vector_score" not in search(http, path, "France")[0]["scoring_details"]
