from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from secondpass import Document, ScoreKind
from secondpass.inference.unicode import clean
from secondpass.rerank.hosted import HostedReranker
from secondpass.rerank.hosted.jina import Jina
from secondpass.rerank.hosted.provider import to_yaml
from tests.loopback.clients import client
from tests.loopback.server import Loopback

DOCUMENTS = [
    Document(
        "Open: the settings\nand choose.", title="Change a password", metadata={"year": 3}
    ),
    Document("The sea is blue.", metadata={"year": 4}),
]


def test_cohere_reads_fields_as_yaml(server: Loopback) -> None:
    client("cohere", server).rerank("q", DOCUMENTS, fields=["title", "year", "text"])
    first, second = server.seen[-1].json["documents"]
    assert yaml.safe_load(first) == {
        "title": "Change a password",
        "year": "3",
        "text": "Open: the settings\nand choose.",
    }
    assert list(yaml.safe_load(first)) == ["title", "year", "text"]
    assert yaml.safe_load(second) == {"year": "4", "text": "The sea is blue."}


def test_a_document_of_one_field_stays_text(server: Loopback) -> None:
    client("cohere", server).rerank("q", DOCUMENTS)
    first, second = server.seen[-1].json["documents"]
    assert yaml.safe_load(first)["title"] == "Change a password"
    assert second == "The sea is blue."


@pytest.mark.parametrize("name", ["cohere-v1", "mixedbread"])
def test_others_read_objects(server: Loopback, name: str) -> None:
    client(name, server).rerank("q", DOCUMENTS, fields=["title", "text"])
    body = server.seen[-1].json
    assert body["rank_fields"] == ["title", "text"]
    sent = body["input" if name == "mixedbread" else "documents"]
    assert sent[0] == {"title": "Change a password", "text": DOCUMENTS[0].text}
    assert sent[1]["text"] == "The sea is blue."


@pytest.mark.parametrize("name", ["jina", "voyage", "tei", "vllm"])
def test_the_rest_reads_one_text(server: Loopback, name: str) -> None:
    client(name, server).rerank("q", DOCUMENTS)
    body = server.seen[-1].json
    sent = body["texts" if name == "tei" else "documents"]
    assert sent[0] == "Change a password Open: the settings\nand choose."


def test_a_template_is_text_for_everybody(server: Loopback) -> None:
    client("cohere", server).rerank("q", DOCUMENTS, template="{title} ({year}): {text}!")
    assert server.seen[-1].json["documents"] == [
        "Change a password (3): Open: the settings\nand choose.!",
        " (4): The sea is blue.!",
    ]


@given(fields=st.dictionaries(st.text(min_size=1, max_size=9), st.text(), max_size=4))
def test_yaml_says_the_same(fields: dict[str, str]) -> None:
    fields = {clean(k).replace("\x85", "-"): clean(v) for k, v in fields.items()}
    expected = {k: v.replace("\x85", "\n") for k, v in fields.items()}
    assert yaml.safe_load(to_yaml(fields)) == expected


def test_what_is_surely_not_read_is_not_sent(server: Loopback) -> None:
    response = client("cloudflare", server).rerank("q", ["a" * 25_000, "b"])
    assert len(server.seen[-1].json["contexts"][0]["text"]) == 10_000
    assert next(r for r in response.results if r.index == 0).unread == 15_000


def test_kinds_of_scores(server: Loopback) -> None:
    for name, kind in (
        ("cohere", ScoreKind.SIMILARITY),
        ("tei", ScoreKind.LOGIT),
        ("vllm", ScoreKind.PROBABILITY),
    ):
        result = client(name, server).rerank("a password", ["a password", "b"]).results[0]
        assert result.score_kind is kind
        assert (result.probability is None) is (kind is ScoreKind.SIMILARITY)
    listwise = HostedReranker(
        "jina-reranker-v3", provider=Jina(), api_key="k", base_url="http://127.0.0.1:9"
    )
    assert listwise.provider.score_kind("jina-reranker-v3") is ScoreKind.RANK
