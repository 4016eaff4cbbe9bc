"""The embedding endpoints of rerank providers, by their own clients where there are some."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from secondpass import Embedder
from secondpass.server.access.api_keys import KeyFile
from secondpass.server.settings import ServerSettings
from tests.server.conftest import QUERY, TEXTS, running

pytestmark = pytest.mark.filterwarnings("default")
LONG = "the river " * 400 + "a slow ship"


@pytest.fixture(scope="module")
def served(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a server with keys, and one of them."""
    file: Path = tmp_path_factory.mktemp("keys") / "keys.json"
    key = KeyFile(file).create("embed", ["rerank"])
    KeyFile(file).create("other", ["search"])
    with running(ServerSettings(models=[model], keys=file, max_documents=120)) as found:
        yield found.url, key


@pytest.fixture(scope="module")
def expected_vectors() -> Any:
    return Embedder().encode(TEXTS)


def ask(served: tuple[str, str], path: str, body: Any, status: int = 200) -> Any:
    url, key = served
    response = httpx2.post(
        url + path, json=body, headers={"authorization": f"Bearer {key}"}, timeout=30
    )
    assert response.status_code == status, response.text
    return response.json()


def test_cohere_1(served: tuple[str, str], expected_vectors: Any) -> None:
    cohere = pytest.importorskip("cohere", reason="the group sdk is not installed")
    url, key = served
    for base in (url, f"{url}/v1", f"{url}/cohere"):
        with cohere.Client(api_key=key, base_url=base, max_retries=0) as client:
            found = client.embed(texts=TEXTS, model="m", input_type="search_document")
        assert found.response_type == "embeddings_floats"
        assert np.allclose(found.embeddings, expected_vectors, atol=1e-6)
        assert found.texts == TEXTS
    # The client sends at most 96 texts a request, and merges the responses.
    with cohere.Client(api_key=key, base_url=url, max_retries=0) as client:
        typed = client.embed(texts=TEXTS * 25, embedding_types=["int8", "ubinary"])
    assert typed.response_type == "embeddings_by_type"
    assert len(typed.embeddings.int8) == len(typed.embeddings.ubinary) == 100
    assert typed.embeddings.float_ is None
    assert typed.meta.billed_units.input_tokens > 100


def test_cohere_2(served: tuple[str, str], expected_vectors: Any) -> None:
    cohere = pytest.importorskip("cohere", reason="the group sdk is not installed")
    url, key = served
    kinds = ["float", "int8", "uint8", "binary", "ubinary", "base64"]
    asked: Any = {"model": "m", "input_type": "search_query"}
    with cohere.ClientV2(api_key=key, base_url=url, max_retries=0) as client:
        found = client.embed(texts=TEXTS, embedding_types=kinds, **asked)
        plain = client.embed(
            inputs=[{"content": [{"type": "text", "text": text}]} for text in TEXTS],
            output_dimension=384,
            **asked,
        )
        cut = client.embed(texts=[LONG, "a"], truncate="START", **asked)
        short = client.embed(texts=[LONG], max_tokens=2, **asked)
        with pytest.raises(cohere.BadRequestError, match="dimensions can only be 384"):
            client.embed(texts=TEXTS, output_dimension=256, **asked)
        with pytest.raises(cohere.BadRequestError, match="text 1 has more than 254 tokens"):
            client.embed(texts=["a", LONG], truncate="NONE", **asked)
    made = found.embeddings
    for floats in (made.float_, plain.embeddings.float_):
        assert np.allclose(floats, expected_vectors, atol=1e-6)
    assert np.array(made.uint8).tolist() == (np.array(made.int8) + 128).tolist()
    assert np.array(made.binary).tolist() == (np.array(made.ubinary) - 128).tolist()
    assert np.array(made.ubinary).shape == (len(TEXTS), 48)
    whole = np.frombuffer(base64.b64decode(made.base64[0]), "<f4")
    assert np.allclose(whole, expected_vectors[0], atol=1e-6)
    assert found.response_type == "embeddings_by_type"
    assert found.meta.api_version.version == "2"
    assert found.meta.warnings is None
    assert plain.texts == []
    assert cut.meta.warnings == ["1 of 2 texts are longer than 254 tokens and cut: 0"]
    ends = Embedder().encode(["the river " * 125 + "a slow ship", "the river"])
    assert cut.embeddings.float_[0] @ ends[0] > 0.98
    assert np.allclose(short.embeddings.float_[0], ends[1], atol=1e-6)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "texts is missing"),
        ({"texts": []}, "texts is empty"),
        ({"texts": ["a"], "input_type": "image"}, "input_type cannot be image"),
        ({"images": ["data:"]}, "images is not supported here"),
        ({"texts": ["a"], "input_type": "poem"}, "input_type must be one of"),
        ({"texts": ["a"], "truncate": "LEFT"}, "truncate must be one of"),
        ({"texts": ["a"], "embedding_types": ["int4"]}, "embedding_types has 'int4'"),
        ({"texts": ["a"], "inputs": []}, "either texts or inputs"),
        ({"inputs": []}, "inputs is empty"),
        ({"inputs": [{}]}, r"inputs[0] has no content"),
        ({"inputs": [{"content": [{"type": "image_url"}]}]}, "content that is not text"),
        ({"texts": ["a"] * 121}, "at most 120"),
        ({"texts": ["a"], "max_tokens": 0}, "max_tokens must be a whole number from 1"),
    ],
)
def test_cohere_of_bad_input(served: tuple[str, str], body: Any, said: str) -> None:
    found = ask(served, "/v2/embed", {"model": "m", **body}, 400)
    assert said in found["message"]


def test_tei(served: tuple[str, str], expected_vectors: Any) -> None:
    for path in ("/embed", "/tei/embed", "/tei"):
        assert np.allclose(
            ask(served, path, {"inputs": TEXTS, "normalize": True}), expected_vectors, atol=1e-6
        )
    (one,) = ask(served, "/embed", {"inputs": LONG, "truncation_direction": "Left"})
    ends = Embedder().encode(["the river " * 125 + "a slow ship"])
    assert np.array(one) @ ends[0] > 0.98
    inputs = {"source_sentence": TEXTS[0], "sentences": TEXTS}
    for path in ("/similarity", "/tei/similarity", "/tei"):
        found = ask(served, path, {"inputs": inputs, "parameters": {"truncate": True}})
        assert np.allclose(found, expected_vectors @ expected_vectors[0], atol=1e-5)


def test_tei_by_hugging_face(served: tuple[str, str], expected_vectors: Any) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    url, key = served
    client = hub.InferenceClient(f"{url}/tei", token=key)
    assert np.allclose(client.feature_extraction(TEXTS), expected_vectors, atol=1e-6)
    assert client.feature_extraction("a", truncate=True).shape == (1, 384)
    found = client.sentence_similarity(TEXTS[0], other_sentences=TEXTS[1:])
    assert np.allclose(found, expected_vectors[1:] @ expected_vectors[0], atol=1e-5)


@pytest.mark.parametrize(
    ("path", "body", "kind", "said"),
    [
        ("/embed", {}, "Validation", "inputs is missing"),
        ("/embed", {"inputs": []}, "Empty", "`inputs` is empty"),
        ("/embed", {"inputs": [[1, 2]]}, "Validation", "token ids"),
        ("/embed", {"inputs": "a", "normalize": False}, "Validation", "normalize"),
        ("/embed", {"inputs": "a", "prompt_name": "query"}, "Validation", "prompt_name"),
        ("/embed", {"inputs": "a", "dimensions": 64}, "Validation", "can only be 384"),
        ("/embed", {"inputs": LONG, "truncate": False}, "Validation", "more than 254"),
        (
            "/embed",
            {"inputs": "a", "truncation_direction": "Up"},
            "Validation",
            "truncation_direction",
        ),
        ("/similarity", {"inputs": {"sentences": ["a"]}}, "Validation", "source_sentence"),
        ("/similarity", {"inputs": {"source_sentence": "a"}}, "Validation", "sentences"),
        ("/similarity", {}, "Validation", "inputs is missing"),
        ("/predict", {"inputs": "a"}, "Validation", "pair of texts"),
        ("/predict", {"inputs": [["a"]]}, "Validation", "pair of texts"),
        ("/predict", {"inputs": []}, "Empty", "`inputs` is empty"),
        ("/predict", {"inputs": [" ", "a"]}, "Validation", "blank"),
    ],
)
def test_tei_of_bad_input(
    served: tuple[str, str], path: str, body: Any, kind: str, said: str
) -> None:
    found = ask(served, path, body, 413 if body.get("truncate") is False else 400)
    assert found["error_type"] == kind
    assert said in found["error"]


def test_tei_scores_pairs_in_their_order(served: tuple[str, str]) -> None:
    ranked = ask(served, "/tei/rerank", {"query": QUERY, "texts": TEXTS, "raw_scores": True})
    scores = {row["index"]: row["score"] for row in ranked}
    pairs = [[QUERY, text] for text in TEXTS]
    found = ask(served, "/predict", {"inputs": pairs, "raw_scores": True})
    assert [row["label"] for (row,) in found] == ["LABEL_0"] * len(TEXTS)
    made = [row["score"] for (row,) in found]
    assert made == pytest.approx([scores[i] for i in range(len(TEXTS))], abs=1e-4)
    (one,) = ask(served, "/tei/predict", {"inputs": pairs[0]})
    assert 0 <= one["score"] <= 1


def test_a_key_that_may_only_search(served: tuple[str, str], tmp_path: Path) -> None:
    url, _ = served
    for path in ("/v1/embed", "/v2/embed", "/embed", "/tei", "/similarity", "/predict"):
        assert httpx2.post(url + path, json={}).status_code == 401
