from __future__ import annotations

import logging
import pickle

import pytest

from secondpass import InputError, ModelError, Reranker
from secondpass.errors import ModelNotFoundError
from secondpass.policies import HostedReranker
from secondpass.remote.endpoint import ApiKey, redact_url
from secondpass.rerank.hosted import provider_names, split_name
from tests.loopback.clients import MODELS, client
from tests.loopback.dialects import KEY
from tests.loopback.server import Loopback

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cohere/rerank-v3.5", ("cohere", "rerank-v3.5")),
        ("tei", ("tei", "")),
        ("vllm/BAAI/bge-reranker-v2-m3", ("vllm", "BAAI/bge-reranker-v2-m3")),
        ("cloudflare/@cf/baai/bge-reranker-base", ("cloudflare", "@cf/baai/bge-reranker-base")),
        (f"cohere/some-model@{COMMIT}", None),
        ("cohere/some-model@main", None),
        ("bedrock/amazon.rerank-v1:0", ("bedrock", "amazon.rerank-v1:0")),
        ("nvidia/nvidia/some-model", ("nvidia", "nvidia/some-model")),
        ("llama-server", ("llama-server", "")),
        ("llamacpp/some-model", None),
        ("cross-encoder/ms-marco-MiniLM-L6-v2", None),
        ("mixedbread-ai/mxbai-rerank-base-v2", None),
        ("jinaai/jina-reranker-v2-base-multilingual", None),
        ("bundled", None),
        ("./cohere/model", None),
        ("Cohere/rerank-v3.5", None),
        ("", None),
    ],
)
def test_which_names_are_a_providers(name: str, expected: tuple[str, str] | None) -> None:
    assert split_name(name) == expected


def test_a_repository_and_a_folder_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECONDPASS_REQUIRE_REVISION", "1")
    with pytest.raises(ModelError, match="needs an exact revision"):
        Reranker("cohere/some-model@main")
    with pytest.raises(ModelError, match="needs an exact revision"):
        Reranker("cohere/some-model", revision="main")
    with pytest.raises(ModelNotFoundError, match="no model folder"):
        Reranker("./cohere/model")
    with pytest.raises(ModelNotFoundError, match="Did you mean 'cohere'"):
        Reranker("coherre")
    with pytest.raises(ModelNotFoundError, match="PROVIDER/MODEL"):
        HostedReranker("bundled")


def test_a_key_comes_from_the_environment_and_is_never_shown(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("COHERE_API_KEY", f"{KEY}\n")
    monkeypatch.setenv("CO_API_URL", f"{server.url}/cohere/")
    reranker = Reranker("cohere/rerank-v3.5")
    assert reranker.rerank("password", ["a password", "the sea"]).model == "cohere/rerank-v3.5"
    assert server.seen[-1].headers["authorization"] == f"Bearer {KEY}"
    for shown_text in (repr(reranker.backend), str(reranker.backend), caplog.text):
        assert KEY not in shown_text
    assert KEY.encode() not in pickle.dumps(ApiKey(KEY))
    assert "***" in repr(ApiKey(KEY))


@pytest.mark.parametrize("name", ["cohere/m", "jina/m", "voyage/m", "mixedbread/m"])
def test_a_missing_key_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("CO_API_KEY", "COHERE_API_KEY", "JINA_API_KEY", "VOYAGE_API_KEY"):
        monkeypatch.setenv(variable, "")
    monkeypatch.delenv("MXBAI_API_KEY", raising=False)
    with pytest.raises(InputError, match=r"needs an API key.*_API_KEY"):
        Reranker(name)


@pytest.mark.parametrize("key", ["two words", "ümlaut-key", "line\nbreak"])
def test_a_key_that_cannot_be_sent_is_refused_unseen(key: str) -> None:
    with pytest.raises(InputError, match="not valid in an HTTP header") as caught:
        HostedReranker("cohere/m", api_key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "ftp://host"}, "is not valid"),
        ({"base_url": "host:80"}, "is not valid"),
        ({"base_url": "http://host?x=1"}, "is not valid"),
        ({"base_url": "http://[::1"}, "is not valid"),
        ({"base_url": "http://user:secret@host"}, "is not valid: 'http://host'"),
        ({"base_url": 8080}, "must be text"),
        ({"base_url": "http://h", "api_key": b"k"}, "must be text"),
        ({}, "base URL is missing"),
        ({"base_url": "http://h", "timeout": 0}, "timeout"),
        ({"base_url": "http://h", "timeout": float("nan")}, "timeout"),
        ({"base_url": "http://h", "timeout": True}, "timeout"),
        ({"base_url": "http://h", "retries": -1}, "retries"),
        ({"base_url": "http://h", "concurrency": 0}, "concurrency"),
        ({"base_url": "http://h", "batch": 0}, "batch"),
        ({"base_url": "http://h", "prices": "no-such-file.toml"}, "prices"),
    ],
)
def test_options_that_make_no_sense(
    options: dict, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEI_BASE_URL", raising=False)
    with pytest.raises(InputError, match=message):
        HostedReranker("tei", **options)


def test_options_of_another_kind_of_model() -> None:
    with pytest.raises(InputError, match="threads is for models that run here"):
        Reranker("tei", threads=1, base_url="http://h")
    with pytest.raises(InputError, match="base_url is for providers"):
        Reranker("bundled", base_url="http://h")
    with pytest.raises(InputError, match="needs the name of a model"):
        HostedReranker("cohere", api_key="k")
    with pytest.raises(InputError, match="Cloudflare needs the id"):
        HostedReranker("cloudflare/m", api_key="k")


def test_a_url_is_shown_without_what_is_secret() -> None:
    assert redact_url("https://user:secret@host:8080/path?key=1") == "https://host:8080/path"


def test_every_provider_is_listed() -> None:
    assert set(provider_names()) == {name.removesuffix("-v1") for name in MODELS}


def test_max_length_is_told_or_refused(server: Loopback) -> None:
    client("cohere", server).rerank("q", ["a", "b"], max_length=128)
    assert server.seen[-1].json["max_tokens_per_doc"] == 128
    client("vllm", server).rerank("q", ["a", "b"], max_length=128)
    assert server.seen[-1].json["truncate_prompt_tokens"] == 128
    with pytest.raises(InputError, match="no option for max_length"):
        client("jina", server).rerank("q", ["a", "b"], max_length=128)
