"""What a search by a command must not load; benchmarks/startup.py measures its time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from secondpass.cli.command_group import COMMANDS
from secondpass.index.index import Index

QUERY = "When did the plague reach Europe?"
# Counts what the process opens and asks for, and prints it after the command's own output.
WATCH = """
import importlib.metadata, json, sys
sessions, asked = [], []
entry_points = importlib.metadata.entry_points
def watched(**options):
    asked.append(options)
    return entry_points(**options)
importlib.metadata.entry_points = watched
import onnxruntime
class Session(onnxruntime.InferenceSession):
    def __init__(self, path, *args, **options):
        sessions.append(path.replace("\\\\", "/").split("/")[-1])
        super().__init__(path, *args, **options)
onnxruntime.InferenceSession = Session
from secondpass.cli import main
try:
    main()
finally:
    print(json.dumps([sorted(sys.modules), sessions, asked]))
"""


def watch(*arguments: str) -> tuple[str, Any]:
    """Run a command in a fresh process; return its output, and what it loaded."""
    command = [sys.executable, "-W", "error", "-c", WATCH, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "80"}, check=True
    )
    *output, loaded = done.stdout.splitlines()
    return "\n".join(output), json.loads(loaded)


def test_a_command_imports_no_other_command() -> None:
    code = (
        "import sys; from secondpass.cli import main\n"
        "try:\n    main()\nfinally:\n    print(*sys.modules)"
    )
    command = [sys.executable, "-c", code, "search", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    modules = set(done.stdout.splitlines()[-1].split())
    others = {f"secondpass.cli.{name.replace('-', '_')}" for name in COMMANDS} - {
        "secondpass.cli.search"
    }
    assert "secondpass.cli.search" in modules
    assert not modules & others
    assert not modules & {"numpy", "secondpass.cli.evaluate", "rich"}


def test_all_commands_are_there() -> None:
    command = [sys.executable, "-m", "secondpass", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    listed = [
        line.split()[0] for line in done.stdout.split("Commands:")[1].splitlines() if line
    ]
    assert [name for name in listed if name in COMMANDS] == list(COMMANDS)


@pytest.fixture(scope="module")
def loaded(sample_index: Path) -> tuple[Any, Any]:
    output, loaded = watch("search", QUERY, "--index", str(sample_index), "--json")
    return json.loads(output), loaded


def test_a_search_loads_no_package_that_it_does_not_use(loaded: tuple[Any, Any]) -> None:
    modules = set(loaded[1][0])
    assert not modules & {"pandas", "overrides", "torch", "rich", "openvino", "transformers"}
    # Models of LanceDB's services: each is a class that pydantic makes.
    models = [m for m in modules if m.startswith("lance_namespace_urllib3_client.")]
    assert len(models) < 40
    assert not any(".api." in name for name in models)


def test_a_search_opens_one_graph_if_all_states_are_stored(loaded: tuple[Any, Any]) -> None:
    # That of the reading layers; without the native engine, the encoder's has the same name.
    assert set(loaded[1][1]) == {"model.onnx"}


def test_a_search_reads_no_metadata_of_all_packages(loaded: tuple[Any, Any]) -> None:
    assert loaded[1][2] == []


def test_what_is_left_out_changes_no_result(
    loaded: tuple[Any, Any], sample_index: Path
) -> None:
    with Index.open(sample_index, create=False) as index:
        expected = index.search(QUERY, rerank="bundled", top_k=5).results
    found = loaded[0]["results"]
    assert [(r["id"], r["score"]) for r in found] == [(r.id, r.score) for r in expected]
