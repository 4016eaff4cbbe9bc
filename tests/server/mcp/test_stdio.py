"""`secondpass mcp`: a process that an agent's host starts and talks to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from secondpass import Index
from tests.server.library import DOCUMENTS, QUESTION

mcp: Any = pytest.importorskip("mcp", reason="the extra mcp is not installed")
fastmcp: Any = pytest.importorskip("fastmcp", reason="the group sdk is not installed")
COMMAND = [sys.executable, "-m", "secondpass", "mcp"]


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stdio") / "docs"
    with Index.open(folder) as index:
        index.add(DOCUMENTS)
    return folder


async def test_the_client_of_mcp(docs: Path) -> None:
    from mcp.client.stdio import StdioServerParameters

    command, *arguments = [*COMMAND, "--index", str(docs)]
    process = StdioServerParameters(command=command, args=arguments, env=dict(os.environ))
    async with mcp.Client(process) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert tools == {"search", "rerank", "explain"}
        found = await client.call_tool("search", {"query": QUESTION, "top_k": 1})
        assert [row["id"] for row in found.structured_content["results"]] == ["paris"]
        wrong = await client.call_tool("search", {"query": QUESTION, "index": "other"})
        assert wrong.is_error
        assert "known: docs" in wrong.content[0].text


async def test_the_client_of_fastmcp(docs: Path) -> None:
    from fastmcp.client.transports import StdioTransport

    command, *arguments = [*COMMAND, "--index", f"mine={docs}"]
    transport = StdioTransport(command, arguments, env=dict(os.environ), keep_alive=False)
    async with fastmcp.Client(transport) as client:
        found = await client.call_tool("search", {"query": QUESTION, "index": "mine"})
        assert found.structured_content["results"][0]["id"] == "paris"
        why = await client.call_tool("explain", {"query": QUESTION, "document": "lyon"})
        assert why.structured_content["places"]["final"] > 1
        texts = {"query": "the sea", "documents": ["bread", "the blue sea"]}
        ranked = await client.call_tool("rerank", texts)
        assert ranked.structured_content["results"][0]["index"] == 1


def test_nothing_but_messages_goes_to_standard_output(docs: Path) -> None:
    asked = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"}}},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
    ]  # fmt: skip
    lines = "".join(json.dumps(one) + "\n" for one in asked)
    with subprocess.Popen(
        [*COMMAND, "--index", str(docs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(lines)
            process.stdin.flush()
            got = [json.loads(process.stdout.readline()) for _ in range(2)]
            process.stdin.close()
            assert process.stdout.read() == ""
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert got[0]["result"]["serverInfo"]["name"] == "secondpass"
    assert len(got[1]["result"]["tools"]) == 3


def test_an_index_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--index", str(tmp_path / "no")],
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
