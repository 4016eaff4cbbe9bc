"""The import of LanceDB defers a client that nothing here calls, and breaks it for nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def run(code: str, *, folder: Path | None = None) -> str:
    """Run code in a fresh interpreter, where nothing is imported yet; return its output."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


LOAD = (
    "from secondpass.retrieve.backends.lance.table import load; lancedb = load()\nimport sys\n"
)


def test_the_client_is_not_imported_before_it_is_used() -> None:
    shown = run(
        LOAD + "name = 'lance_namespace_urllib3_client'\n"
        "print(any(m.startswith(name + '.api.') for m in sys.modules))\n"
        "from lance_namespace_urllib3_client import ApiClient, Configuration\n"
        "from lance_namespace_urllib3_client.api.table_api import TableApi\n"
        "print(ApiClient.__name__, type(sys.modules[name]).__name__, TableApi.__name__)\n"
        "print(hasattr(sys.modules[name], 'nothing_of_that_name'))\n"
    )
    assert shown.split() == ["False", "ApiClient", "module", "TableApi", "False"]


def test_all_names_of_the_client_are_there() -> None:
    stars = (
        "from lance_namespace_urllib3_client import *\n"
        "print(sorted(n for n in globals() if n[0].isupper()))"
    )
    found = run(LOAD + stars)
    assert "'TableApi'" in found
    assert found == run(stars)


def test_a_client_that_was_imported_before_stays() -> None:
    shown = run(
        "import lance_namespace_urllib3_client as c\n" + LOAD + "print(c is sys.modules["
        "'lance_namespace_urllib3_client'], type(c).__name__)"
    )
    assert shown.split() == ["True", "module"]


@pytest.mark.parametrize("error", ["ImportError('broken')", "ValueError('broken')"])
def test_a_package_that_fails_fails_when_it_is_used(tmp_path: Path, error: str) -> None:
    package = tmp_path / "fails_later"
    package.mkdir()
    (package / "__init__.py").write_text(f"raise {error}\n")
    (package / "part.py").write_text("VALUE = 7\n")
    shown = run(
        "from secondpass.retrieve.backends.lance.client_import import defer_package\n"
        "defer_package('fails_later'); defer_package('not_installed_at_all')\n"
        "from fails_later.part import VALUE\n"
        "import fails_later, sys\n"
        "print(VALUE, 'not_installed_at_all' in sys.modules)\n"
        "for _ in range(2):\n"
        "    try:\n        fails_later.something\n"
        "    except Exception as error:\n        print(type(error).__name__)\n",
        folder=tmp_path,
    )
    first = error.partition("(")[0]
    assert shown.split() == ["7", "False", first, first]
