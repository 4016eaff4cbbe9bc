"""What clouds ask for beyond a key: signatures, tokens, regions and projects."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from secondpass import InputError, MissingExtraError, ProviderError, Reranker
from secondpass.policies import HostedReranker
from secondpass.providers import Bedrock, Vertex
from secondpass.rerank.hosted.azure import Azure
from secondpass.rerank.hosted.registry import load_provider
from tests.loopback import faults
from tests.loopback.clients import MODELS, client, use_aws
from tests.loopback.cloud_dialects import AWS_ID, AWS_SECRET, PROJECT, REGION
from tests.loopback.dialects import KEY
from tests.loopback.server import Loopback

QUERY = "how to change a password"
TEXTS = ["the sea is blue", "change the password in the settings", "bread needs flour"]


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let AWS's client be imported, and hide what this machine may have of AWS."""
    use_aws()
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def test_bedrock_by_name_with_a_profile(
    server: Loopback, no_aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(f"[profile work]\nregion = {REGION}\n")
    (tmp_path / "credentials").write_text(
        f"[work]\naws_access_key_id = {AWS_ID}\naws_secret_access_key = {AWS_SECRET}\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME", f"{server.url}/bedrock")
    response = Reranker("bedrock/amazon.rerank-v1:0").rerank(QUERY, TEXTS)
    assert response.results[0].index == 1
    (seen,) = server.seen
    inner = seen.json["rerankingConfiguration"]["bedrockRerankingConfiguration"]
    assert inner["modelConfiguration"] == {
        "modelArn": f"arn:aws:bedrock:{REGION}::foundation-model/amazon.rerank-v1:0"
    }
    assert inner["numberOfResults"] == 3
    assert response.usage.cost is None


def test_bedrock_signs_each_attempt_and_takes_an_arn(server: Loopback) -> None:
    use_aws()
    arn = f"arn:aws:bedrock:{REGION}::foundation-model/cohere.rerank-v3-5:0"
    reranker = HostedReranker(
        arn,
        provider=Bedrock(region=REGION),
        base_url=f"{server.url}/bedrock",
        retries=client("bedrock", server)._client._retries,
    )
    server.faults.append(faults.status(503))
    assert reranker.rerank("ünïcode 日本", ["a\nb", "日本"]).results[0].index == 1
    assert len(server.seen) == 2
    for seen in server.seen:
        text = json.dumps(seen.json)
        assert arn in text
        assert AWS_SECRET not in text + str(seen.headers)


def test_bedrock_refuses_a_wrong_secret(
    server: Loopback, no_aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    reranker = HostedReranker(
        "m", provider=Bedrock(region=REGION), base_url=f"{server.url}/bedrock"
    )
    with pytest.raises(ProviderError, match="no credentials in the environment") as none:
        reranker.rerank(QUERY, TEXTS)
    assert not none.value.retryable
    assert not server.seen
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", AWS_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(ProviderError, match="signature does not match") as caught:
        reranker.rerank(QUERY, TEXTS)
    assert caught.value.status == 403
    assert "another" not in str(caught.value)


def test_bedrock_names_results_that_did_not_fit(server: Loopback) -> None:
    def one_page(handler: Any, answer: Any) -> bool:
        handler.answer(200, {"results": answer["results"][:1], "nextToken": "abc"})
        return True

    server.always = one_page
    with pytest.raises(ProviderError, match="1 of 3 results and a nextToken: lower batch"):
        client("bedrock", server).rerank(QUERY, TEXTS)


def test_a_region_and_a_project_are_asked_for(
    no_aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"needs a region.*none is configured"):
        load_provider("bedrock")
    with pytest.raises(InputError, match="it is 'us west'"):
        Bedrock(region="us west")
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    with pytest.raises(InputError, match="needs the id of a project"):
        load_provider("vertex")
    with pytest.raises(InputError, match="location"):
        Vertex(project="p", location="a/b")
    assert Vertex(project="example.com:old-1").project == "example.com:old-1"


@pytest.mark.parametrize(
    ("name", "package"), [("bedrock", "botocore"), ("vertex", "google-auth")]
)
def test_what_is_not_installed_is_named(
    name: str, package: str, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    monkeypatch.setitem(sys.modules, "google.auth", None)
    monkeypatch.delenv("GOOGLE_OAUTH_ACCESS_TOKEN", raising=False)
    provider = Bedrock(region=REGION) if name == "bedrock" else Vertex(project=PROJECT)
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*secondpass\[{name}\]"):
        HostedReranker(MODELS[name], provider=provider)


def service_account(folder: Path, token_uri: str) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    file = folder / "account.json"
    account = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "1",
        "private_key": text,
        "client_email": "a@example.com",
        "token_uri": token_uri,
    }
    file.write_text(json.dumps(account))
    return file


def test_vertex_gets_its_token_once(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = service_account(tmp_path, f"{server.url}/google/token")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    monkeypatch.delenv("GOOGLE_OAUTH_ACCESS_TOKEN", raising=False)
    reranker = HostedReranker(
        MODELS["vertex"], provider=Vertex(project=PROJECT), base_url=f"{server.url}/vertex"
    )
    for _ in range(2):
        assert reranker.rerank(QUERY, TEXTS).results[0].index == 1
    assert [seen.path for seen in server.seen].count("/google/token") == 1
    assert len(server.seen) == 3
    assert server.seen[-1].headers["authorization"] == f"Bearer {KEY}"


def test_vertex_without_a_token_is_an_error_of_the_provider(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = service_account(tmp_path, f"{server.url}/nowhere")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    monkeypatch.delenv("GOOGLE_OAUTH_ACCESS_TOKEN", raising=False)
    reranker = HostedReranker(
        MODELS["vertex"], provider=Vertex(project=PROJECT), base_url=f"{server.url}/vertex"
    )
    with pytest.raises(ProviderError, match="no access token"):
        reranker.rerank(QUERY, TEXTS)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(InputError, match="Google Vertex AI needs credentials"):
        HostedReranker(MODELS["vertex"], provider=Vertex(project=PROJECT))


def test_instructions_are_sent_where_they_are_followed(server: Loopback) -> None:
    wish = "Prefer recent documents."
    client("contextual", server).rerank(QUERY, TEXTS, instructions=wish)
    assert server.seen[-1].json["instruction"] == wish
    client("dashscope", server).rerank(QUERY, TEXTS, instructions=wish)
    assert server.seen[-1].json["parameters"]["instruct"] == wish
    assert not load_provider("dashscope").follows_instructions("gte-rerank-v2")
    with pytest.raises(InputError, match="instructions"):
        client("zeroentropy", server).rerank(QUERY, TEXTS, instructions=wish)


@pytest.mark.parametrize(
    ("name", "count"), [("pinecone", 101), ("vertex", 201), ("nim", 513), ("dashscope", 501)]
)
def test_long_lists_are_split_at_the_published_limit(
    server: Loopback, name: str, count: int
) -> None:
    texts = [f"text {i}" for i in range(count)]
    response = client(name, server).rerank("text 7", texts)
    assert sorted(r.index for r in response.results) == list(range(count))
    assert len(server.seen) == 2


def test_tokens_split_a_list_where_they_are_limited(server: Loopback) -> None:
    texts = [f"{i} " + "word " * 900 for i in range(60)]
    reranker = HostedReranker(
        "gte-rerank-v2",
        provider=load_provider("dashscope"),
        api_key=KEY,
        base_url=f"{server.url}/dashscope",
    )
    assert len(reranker.rerank("word", texts).results) == 60
    assert len(server.seen) > 2


def test_a_text_that_would_be_refused_is_cut(server: Loopback) -> None:
    response = client("contextual", server).rerank("word", ["word " * 9_000, "b"])
    assert sum(result.unread for result in response.results) == 45_000 - 20_000


def test_azure_needs_the_address_of_a_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_AI_ENDPOINT", raising=False)
    with pytest.raises(InputError, match="base URL is missing"):
        HostedReranker("m", provider=Azure(), api_key="k")


def test_a_model_of_llama_server_is_sent_where_it_is_named(server: Loopback) -> None:
    client("llama-server", server).rerank(QUERY, TEXTS)
    assert "model" not in server.seen[-1].json
    Reranker("llama-server/m", base_url=f"{server.url}/llama-server").rerank(QUERY, TEXTS)
    assert server.seen[-1].json["model"] == "m"
