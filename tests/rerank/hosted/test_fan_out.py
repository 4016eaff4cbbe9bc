from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass.rerank.hosted.fan_out import estimate_tokens, payload_bytes, split
from secondpass.rerank.hosted.provider import Limits
from tests.loopback.clients import client
from tests.loopback.server import Loopback

TEXT = st.text(max_size=40)


@given(
    query=TEXT,
    documents=st.lists(TEXT | st.dictionaries(TEXT, TEXT, max_size=3), max_size=60),
    most=st.integers(1, 20),
    tokens=st.none() | st.integers(1, 200),
    each=st.none() | st.integers(1, 30),
    held=st.none() | st.integers(1, 200),
)
def test_every_document_is_in_one_part_and_no_limit_is_passed(
    query: str,
    documents: list,
    most: int,
    tokens: int | None,
    each: int | None,
    held: int | None,
) -> None:
    parts = split(query, documents, Limits(most, tokens, each, held))
    assert [i for part in parts for i in part] == list(range(len(documents)))
    question = estimate_tokens(payload_bytes(query))
    for part in parts:
        assert 1 <= len(part) <= most
        sizes = [payload_bytes(documents[i]) for i in part]
        if len(part) > 1 and held is not None:
            assert sum(sizes) <= held
        if len(part) > 1 and tokens is not None:
            counted = [
                estimate_tokens(s) if each is None else min(each, estimate_tokens(s))
                for s in sizes
            ]
            assert sum(counted) + question * len(part) <= tokens


@settings(max_examples=15)
@given(order=st.permutations(range(75)))
def test_indices_are_mapped_back(started: Loopback, order: list[int]) -> None:
    started.reset()
    texts = [f"password {i}" if i == 60 else f"text {i}" for i in order]
    response = client("weaviate", started).rerank("password 60", texts)
    best = response.results[0]
    assert best.document is not None
    assert best.document.text == "password 60" == texts[best.index]
    assert sorted(r.index for r in response.results) == list(range(75))
    assert len(started.seen) == 3


def test_parts_are_about_equally_long(server: Loopback) -> None:
    client("tei", server).rerank("q", [f"text {i}" for i in range(33)])
    assert sorted(len(s.json["texts"]) for s in server.seen if s.json) == [16, 17]


def test_tei_says_what_it_admits_and_is_asked_once(server: Loopback) -> None:
    server.tei_batch = 8
    reranker = client("tei", server)
    for _ in range(2):
        reranker.rerank("q", [f"text {i}" for i in range(20)])
    assert [s.path for s in server.seen].count("/tei/info") == 1
    assert len(server.seen) == 1 + 2 * 3


def test_voyage_counts_tokens(server: Loopback) -> None:
    long = " ".join(["word"] * 20_000)
    texts = [f"{i} {long}" for i in range(50)]
    response = client("voyage", server).rerank("password", texts)
    assert len(server.seen) > 1
    assert response.usage.tokens > 600_000
    assert response.usage.cost == pytest.approx(response.usage.tokens * 0.05 / 1e6)


def test_a_smaller_batch_can_be_asked_for(server: Loopback) -> None:
    client("cohere", server, batch=10).rerank("q", [f"text {i}" for i in range(25)])
    assert len(server.seen) == 3


def test_copies_are_sent_and_paid_once(server: Loopback) -> None:
    response = client("cohere", server).rerank("q", ["same"] * 150)
    assert server.seen[-1].json["documents"] == ["same"]
    assert response.usage.pairs == 1
    assert response.usage.searches == 1
    assert response.usage.cost == pytest.approx(0.002)
