"""Nothing outside `index` and `retrieve` reaches through an index to its document store."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import secondpass

SOURCE = Path(secondpass.__file__).parent
ALLOWED = ("index", "retrieve")


def names_an_index(node: ast.expr, variables: set[str]) -> bool:
    """Whether an expression is an `Index`, by its name or the call that made it."""
    if isinstance(node, ast.Name):
        return node.id in variables
    if isinstance(node, ast.Attribute):
        return node.attr in ("index", "_index", "_opened")
    if isinstance(node, ast.Call):
        function = node.func
        if isinstance(function, ast.Name):
            return function.id == "Index"
        if isinstance(function, ast.Attribute):
            opens = function.attr == "open" and names_an_index_class(function.value)
            return opens or function.attr == "index"
    return False


def names_an_index_class(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "Index"


def is_index_type(annotation: ast.expr | None) -> bool:
    if isinstance(annotation, ast.BinOp):
        return is_index_type(annotation.left) or is_index_type(annotation.right)
    if isinstance(annotation, ast.Constant):
        return annotation.value == "Index"
    return annotation is not None and names_an_index_class(annotation)


def index_variables(tree: ast.AST) -> set[str]:
    """The names that a module binds to an `Index`, by annotation or by value."""
    variables: set[str] = set()
    before = -1
    while len(variables) > before:
        before = len(variables)
        for node in ast.walk(tree):
            if isinstance(node, ast.arg) and is_index_type(node.annotation):
                variables.add(node.arg)
            elif isinstance(node, ast.AnnAssign) and is_index_type(node.annotation):
                variables |= {t.id for t in [node.target] if isinstance(t, ast.Name)}
            elif isinstance(node, ast.Assign) and names_an_index(node.value, variables):
                variables |= {t.id for t in node.targets if isinstance(t, ast.Name)}
            elif (
                isinstance(node, ast.withitem)
                and isinstance(node.optional_vars, ast.Name)
                and names_an_index(node.context_expr, variables)
            ):
                variables.add(node.optional_vars.id)
    return variables


def store_accesses(source: str) -> Iterator[int]:
    """The lines that read or write `.store` of an index."""
    tree = ast.parse(source)
    variables = index_variables(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("store", "_store"):
            if names_an_index(node.value, variables):
                yield node.lineno
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "getattr"
            and len(node.args) > 1
            and isinstance(node.args[1], ast.Constant)
            and node.args[1].value in ("store", "_store")
            and names_an_index(node.args[0], variables)
        ):
            yield node.lineno


def test_only_the_index_and_retrieval_use_the_document_store() -> None:
    accesses = [
        f"{path.relative_to(SOURCE)}:{line}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path.relative_to(SOURCE).parts[0] not in ALLOWED
        for line in store_accesses(path.read_text(encoding="utf-8"))
    ]
    assert accesses == [], "use a method of Index instead of Index.store"


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("def f(index: Index): return index.store.fields", [1]),
        ("def f(index: Index | None): return index.store", [1]),
        ("def f(index: 'Index'): return getattr(index, 'store')", [1]),
        ("with Index.open(p) as opened:\n    opened.store.count()", [2]),
        ("opened = Index(store, embedder)\nalias = opened\nalias.store", [3]),
        ("instance.index().store.passages_of(x)", [1]),
        ("self.collection.index.store", [1]),
        ("def f(index: ClassIndex): return index.store.fields", []),
        ("def f(self): return self.store.fields", []),
    ],
)
def test_accesses_are_recognized(source: str, lines: list[int]) -> None:
    assert list(store_accesses(source)) == lines
