"""Fixtures for documentation pages: the sample, an index of it, and local providers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.paths import ROOT, environment
from tests.loopback.cloud_dialects import AWS_ID, AWS_SECRET, PROJECT, REGION
from tests.loopback.dialects import KEY
from tests.loopback.postgres import USER, find_postgres, postgres_server
from tests.loopback.server import running

KEYS = (
    "AZURE_AI_API_KEY",
    "CLOUDFLARE_API_TOKEN",
    "CONTEXTUAL_API_KEY",
    "CO_API_KEY",
    "DASHSCOPE_API_KEY",
    "GOOGLE_OAUTH_ACCESS_TOKEN",
    "JINA_API_KEY",
    "MXBAI_API_KEY",
    "NVIDIA_API_KEY",
    "PINECONE_API_KEY",
    "VOYAGE_API_KEY",
    "ZEROENTROPY_API_KEY",
)
BASE_URLS = {
    "AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME": "bedrock",
    "AZURE_AI_ENDPOINT": "azure",
    "CONTEXTUAL_AI_BASE_URL": "contextual",
    "DASHSCOPE_HTTP_BASE_URL": "dashscope",
    "GOOGLE_DISCOVERY_ENGINE_URL": "vertex",
    "LLAMA_SERVER_BASE_URL": "llama-server",
    "LOCALAI_BASE_URL": "localai",
    "NIM_BASE_URL": "nim",
    "NVIDIA_BASE_URL": "nvidia",
    "PINECONE_CONTROLLER_HOST": "pinecone",
    "ZEROENTROPY_BASE_URL": "zeroentropy",
    "CO_API_URL": "cohere",
    "JINA_BASE_URL": "jina",
    "VOYAGE_BASE_URL": "voyage",
    "MIXEDBREAD_BASE_URL": "mixedbread",
    "TEI_BASE_URL": "tei",
    "INFINITY_BASE_URL": "infinity",
    "VLLM_BASE_URL": "vllm",
    "RERANKER_INFERENCE_API": "weaviate",
    "CLOUDFLARE_BASE_URL": "cloudflare",
}


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with examples/, docs/ and demo-index/, built by the command in the docs."""
    folder = tmp_path_factory.mktemp("workplace")
    for name in ("examples", "docs"):
        (folder / name).symlink_to(ROOT / name, target_is_directory=True)
    command = ["secondpass", "index", "examples/wikipedia", "--index", "demo-index"]
    subprocess.run(command, check=True, cwd=folder, env=environment(), capture_output=True)
    return folder


@pytest.fixture(scope="session")
def providers() -> Iterator[dict[str, str]]:
    """An environment in which every provider is a server on this machine."""
    with running() as server:
        yield {
            **dict.fromkeys(KEYS, KEY),
            **{name: f"{server.url}/{prefix}" for name, prefix in BASE_URLS.items()},
            "AWS_ACCESS_KEY_ID": AWS_ID,
            "AWS_REGION": REGION,
            "AWS_SECRET_ACCESS_KEY": AWS_SECRET,
            "CLOUDFLARE_ACCOUNT_ID": "acc",
            "GOOGLE_CLOUD_PROJECT": PROJECT,
        }


@pytest.fixture(scope="session")
def postgres() -> Iterator[dict[str, str]]:
    """An environment with a server of PostgreSQL, where one is installed."""
    if find_spec("psycopg") is None or find_postgres() is None:
        yield {}
        return
    with postgres_server() as server:
        yield {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(server.port),
            "PGUSER": USER,
            "PGPASSWORD": server.password,
            "PGDATABASE": "postgres",
        }


@pytest.fixture
def workplace(
    request: pytest.FixtureRequest,
    prepared: Path,
    providers: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The prepared folder, as the working directory; all pages share it."""
    # AWS's client, for blocks that need it; behind everything else.
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(sys.prefix) / "aws")])
    page = getattr(request.node, "callspec", None)
    if page is not None and str(page.params.get("page")).endswith("search-sql-databases.md"):
        providers = providers | request.getfixturevalue("postgres")
    monkeypatch.chdir(prepared)
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    for name, value in providers.items():
        monkeypatch.setenv(name, value)
    return prepared
