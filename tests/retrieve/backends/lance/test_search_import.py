"""The import of LanceDB for a process that only searches: what it leaves out and what stays."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str) -> list[str]:
    """Run code in a fresh interpreter, where nothing is imported yet; return what it prints."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


LOAD = (
    "import os, sys\n"
    "from secondpass.retrieve.backends.lance.search_import import *\n"
    "with without_other_packages():\n    lancedb = import_for_search()\n"
)
MODELS = "lance_namespace_urllib3_client.models"


def test_models_of_requests_are_made_when_one_is_used() -> None:
    shown = run(
        LOAD + f"models = lambda: sum(name.startswith('{MODELS}.') for name in sys.modules)\n"
        "before = models()\n"
        "import lance_namespace\n"
        "from lance_namespace import CreateTableRequest as Request, connect\n"
        "made = Request(id=['a'])\n"
        "print(before < 40, models() > 100, isinstance(made, Request), made.id == ['a'])\n"
        "print(Request.from_json('{\"id\": [\"b\"]}').id == ['b'])\n"
        "class Mine(Request):\n    pass\n"
        f"from {MODELS} import CreateTableRequest\n"
        "print(type(made) is CreateTableRequest, issubclass(Mine, CreateTableRequest))\n"
        "print(hasattr(Request, '__origin__'), hasattr(lance_namespace, 'no_such_name'))\n"
    )
    assert shown == ["True"] * 7 + ["False"] * 2


def test_what_is_changed_meanwhile_is_put_back() -> None:
    shown = run(
        LOAD + "import pydantic\nfrom typing import get_type_hints\n"
        "print('PYDANTIC_DISABLE_PLUGINS' in os.environ, 'overrides' in sys.modules)\n"
        "print('defer_build' in pydantic.BaseModel.model_config)\n"
        f"print(type(sys.modules['{MODELS}']).__name__)\n"
        # Of no metaclass that checks what is overridden.
        "print(type(lancedb.DBConnection).__name__)\n"
    )
    assert shown == ["False", "False", "False", "DeferredPackage", "type"]


def test_what_was_set_before_stays() -> None:
    shown = run(
        "import os, overrides\n"
        "os.environ['PYDANTIC_DISABLE_PLUGINS'] = 'some-plugin'\n" + LOAD + "print("
        "os.environ['PYDANTIC_DISABLE_PLUGINS'], sys.modules['overrides'] is overrides)\n"
    )
    assert shown == ["some-plugin", "True"]


def test_after_another_import_of_lancedb_nothing_is_deferred() -> None:
    shown = run("import lancedb as first\n" + LOAD + "print(lancedb is first)\n")
    assert shown == ["True"]


def test_services_can_still_be_used() -> None:
    shown = run(
        LOAD + "from lancedb.remote.db import RemoteDBConnection\n"
        "from lancedb.namespace import LanceNamespaceDBConnection\n"
        "print(issubclass(RemoteDBConnection, lancedb.DBConnection))\n"
        "db = lancedb.connect('memory://')\n"
        "table = db.create_table('words', [{'word': 'plague', 'count': 7}])\n"
        "print(table.count_rows(), db.list_tables().tables == ['words'])\n"
    )
    assert shown == ["True", "1", "True"]


def test_pyarrow_does_not_import_pandas_in_the_block() -> None:
    pytest.importorskip("pandas")
    shown = run(
        LOAD + "    import pyarrow\n"
        "    pyarrow.array([1, 2])\n"
        "    print('pandas' in sys.modules)\n"
        "    try:\n        import pandas\n"
        "    except ModuleNotFoundError as error:\n        print(error.name)\n"
        "import pandas\n"
        # Which needs pandas to be known to both.
        "print(pyarrow.array(pandas.Series([1.0, float('nan')])).null_count)\n"
        "import lancedb\n"
        "frame = pandas.DataFrame({'number': [1, 2, 3]})\n"
        "print(lancedb.connect('memory://').create_table('t', frame).count_rows())\n"
    )
    assert shown == ["False", "pandas", "1", "3"]


@pytest.mark.parametrize("first", ["pandas", "pyarrow"])
def test_what_was_imported_before_the_block_works_in_it(first: str) -> None:
    pytest.importorskip("pandas")
    shown = run(
        f"import {first}\n" + LOAD + "with without_other_packages():\n"
        "    import pandas, pyarrow\n"
        "    print(pyarrow.array(pandas.Series([1.0, float('nan')])).null_count)\n"
    )
    assert shown == ["1"]


def test_an_import_that_fails_in_another_thread_fails_here_too() -> None:
    shown = run(
        "import sys, threading, time\n"
        "from secondpass.errors import MissingExtraError\n"
        "from secondpass.index.index import index_engine_loading\n"
        "from secondpass.retrieve.backends.lance.table import load\n"
        "met = threading.Event()\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'lance_namespace':\n"
        "            met.set()\n            time.sleep(0.3)\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "with index_engine_loading(only_search=True):\n"
        "    met.wait()\n"
        "    try:\n        load().connect\n"
        "    except MissingExtraError:\n        print('missing')\n"
    )
    assert shown == ["missing"]
