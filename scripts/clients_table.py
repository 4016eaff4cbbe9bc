"""The reference page of clients: how each is pointed at a server, and what tests it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.clients.catalog import FOLDER, ROOT, Client, installed_version, read_catalog

EXAMPLE = {"url": "http://127.0.0.1:8080", "port": 8080, "grpc_port": 50051}


def page(note: str) -> str:
    """Return docs/reference/clients.md."""
    clients = read_catalog()
    lines = [
        "# Use it from …",
        note,
        "One setting points each of these clients at a server"
        " ([how to start one](../how-to/serve.md)); everything else of a program stays as it"
        " is. Settings in capitals are environment variables. The API key is a key of the"
        " server, or any text for a server without keys. Addresses are those of"
        f" `secondpass serve --port {EXAMPLE['port']} --grpc-port {EXAMPLE['grpc_port']}`.",
        "Tests run the version in the table: `make test-clients` makes one real call of each"
        " against a server in a process of its own, `make test` more than one; those for Node"
        " where there is Node. *Requests only*: the tests send the requests that the program"
        " sends, as read in the code of the version in the table; the program itself is not"
        " run.",
        "\n".join(
            [
                "| client | version | setting | tested by |",
                "|---|---|---|---|",
                *(_row(client) for client in clients),
            ]
        ),
        "The list is `tests/clients/clients.toml`: the tests give each client the setting that"
        " is in the table.",
        "A LiteLLM proxy takes the same settings under `litellm_params`:"
        " `model: cohere/rerank-v3.5`, `api_base`, `api_key`.",
        "These take no address, so they cannot be pointed here: AnythingLLM, whose reranker is"
        " built in; n8n's node Reranker Cohere; Flowise's nodes for Cohere, Jina and Voyage;"
        " LibreChat's reranker for Cohere; Elasticsearch's services `cohere`, `jinaai` and"
        " `voyageai`. Haystack's `VoyageRanker` neither. LiteLLM's"
        " `hosted_vllm` and `@ai-sdk/cohere` need the paths above: at the root, `/rerank`"
        " answers in the format of Infinity.",
    ]
    return "\n\n".join(lines) + "\n"


def _row(client: Client) -> str:
    version = installed_version(client)
    package = client.npm or client.package
    shown = (client.read or "") if package is None else f"{package} {version}"
    settings = ", ".join(
        f"`{name}`: `{value}`" for name, value in client.values(**EXAMPLE).items()
    )
    return f"| {client.name} | {shown} | {settings} | {_tests(client)} |"


def _tests(client: Client) -> str:
    if client.tested is not None:
        return f"`make test` ([file](../../{client.tested}))"
    if client.requests is not None:
        return f"requests only ([file](../../{client.requests}))"
    program = FOLDER / "node" / f"{client.key}.cjs"
    file = program if client.npm is not None else FOLDER / "callers.py"
    return f"`make test-clients` ([file](../../{file.relative_to(ROOT)}))"
