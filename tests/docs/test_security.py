"""The tests that the page on security names exist, and its lines all name one."""

from __future__ import annotations

import ast
import re

from tests.docs.paths import ROOT

PAGE = (ROOT / "docs" / "explanation" / "security.md").read_text("utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def test_named_tests_exist() -> None:
    named = NAMED.findall(PAGE)
    assert len(named) > 40
    for file, name in named:
        source = (ROOT / file).read_text("utf-8")
        functions = {
            node.name
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert any(function.startswith("test_") for function in functions), file
        assert not name or name in functions, f"{file} has no {name}"


def test_every_line_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if re.match(r"\| (?!cannot|-)", line)]
    assert len(rows) > 25
    assert [row for row in rows if not NAMED.search(row)] == []
