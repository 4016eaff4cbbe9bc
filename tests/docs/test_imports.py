"""The documentation imports secondpass from its public namespaces only."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.paths import ROOT

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "src").rglob("*.md")),
]
BLOCK = re.compile(r"^( *)```python\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
PUBLIC = re.compile(
    r"secondpass"
    r"(\.(policies|providers|answer|explain|evaluate|train|testing|integrations(\.\w+)?))?"
)


def imports(code: str) -> Iterator[tuple[str, str | None]]:
    """Yield the module and the name of each import of secondpass; None for a whole module."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module.partition(".")[0] == "secondpass":
                yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "secondpass":
                    yield alias.name, None


def blocks(page: Path) -> Iterator[str]:
    """Yield the Python blocks of a page, those that are not run among them."""
    for _, code in BLOCK.findall(page.read_text("utf-8")):
        yield textwrap.dedent(code)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_code_blocks_import_public_names_only(page: Path) -> None:
    for code in blocks(page):
        for module, name in imports(code):
            assert PUBLIC.fullmatch(module), f"{module} is not a public namespace"
            if name is not None and not module.startswith("secondpass.integrations"):
                assert name in import_module(module).__all__, f"{module}.{name} is not public"


def test_integrations_are_modules_that_exist() -> None:
    named = {
        module
        for page in PAGES
        for code in blocks(page)
        for module, _ in imports(code)
        if module.startswith("secondpass.integrations.")
    }
    assert named
    assert all(find_spec(module) for module in named)


def test_a_private_import_is_found() -> None:
    code = "def f():\n    from secondpass.rerank.base import Score\nimport secondpass.types\n"
    assert set(imports(code)) == {
        ("secondpass.rerank.base", "Score"),
        ("secondpass.types", None),
    }
    assert not PUBLIC.fullmatch("secondpass.rerank.base")
    assert not PUBLIC.fullmatch("secondpass.types")
