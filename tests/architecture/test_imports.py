"""Which package may import which, and which names stand where: contracts of the house.

docs/explanation/architecture.md has the picture; pyproject.toml has the contracts that
import-linter holds.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import secondpass

ROOT = Path(secondpass.__file__).parent
REPOSITORY = Path(__file__).parents[2]
DIALECTS = ("api_v1", "cloudflare", "mcp", "openai", "rerank_dialects", "weaviate")


def test_packages_import_only_what_they_may() -> None:
    # In a process of its own: import-linter switches off the loggers of the one it runs in.
    code = (
        "import sys; from importlinter.cli import lint_imports;"
        " sys.exit(lint_imports(no_cache=True, no_logo=True))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("room", ["routes.py", "schemas.py", "responses.py"])
def test_every_dialect_has_the_same_rooms(dialect: str, room: str) -> None:
    assert (ROOT / "server" / dialect / room).is_file()


def _imports() -> Iterator[tuple[str, str, str]]:
    """Yield (path, module, name) of each import from this package, lazy ones too."""
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "secondpass"
            ):
                for alias in node.names:
                    yield path.relative_to(ROOT).as_posix(), node.module or "", alias.name


def test_policies_are_put_together_in_one_place() -> None:
    policies = {
        "Blend",
        "Boost",
        "Budgeted",
        "Cached",
        "Calibrated",
        "Cascade",
        "EarlyStopping",
        "Ensemble",
        "Fallback",
        "MMR",
        "Pinned",
        "Recency",
        "Rescored",
    }
    named = {
        (path, name)
        for path, module, name in _imports()
        if name in policies and not path.startswith(("rerank/policies/", "policies"))
    }
    assert {path for path, _ in named} <= {"composition.py"}
