"""The layout of the dialects: the same modules in each, and none that imports another."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import secondpass.server

SERVER = Path(secondpass.server.__file__).parent
FOLDERS = ("api_v1", "cloudflare", "mcp", "openai", "rerank_dialects", "weaviate")
DIALECTS = (*FOLDERS, "knowledgesdk")
COMPOSITION = "app.py"


def imported_modules(file: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            modules |= {node.module} | {f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            modules |= {a.name for a in node.names}
    return modules


def imported_dialects(file: Path) -> set[str]:
    modules = imported_modules(file)
    return {
        dialect
        for dialect in DIALECTS
        if any(f"{m}.".startswith(f"secondpass.server.{dialect}.") for m in modules)
    }


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_dialect_has_the_same_modules(folder: str) -> None:
    for name in ("routes", "schemas", "responses"):
        assert (SERVER / folder / f"{name}.py").is_file()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_dialect_imports_another(dialect: str) -> None:
    path = SERVER / dialect
    files = path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]
    for file in files:
        assert imported_dialects(file) <= {dialect}, file


def test_shared_modules_import_no_dialect() -> None:
    shared = [file for file in SERVER.glob("*.py") if file.stem != "knowledgesdk"]
    for folder in ("access", "scheduler", "telemetry"):
        shared += (SERVER / folder).rglob("*.py")
    for file in shared:
        if file.name != COMPOSITION:
            assert not imported_dialects(file), file


def test_the_server_names_no_backend_of_rerankers() -> None:
    for file in SERVER.rglob("*.py"):
        modules = imported_modules(file)
        for backend in ("hosted", "llm.model", "precomputed", "cross_encoder"):
            assert f"secondpass.rerank.{backend}" not in modules, file
