"""What the page of clients says is run, is: each has a test, and each test a client."""

from __future__ import annotations

import ast

from tests.clients.catalog import FOLDER, installed_version, read_catalog
from tests.docs.paths import ROOT

CLIENTS = read_catalog()


def test_a_client_that_is_run_here_has_a_caller() -> None:
    tree = ast.parse((FOLDER / "callers.py").read_text("utf-8"))
    callers = {
        node.name.replace("_", "-")
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    here = [client for client in CLIENTS if client.is_run_here]
    assert callers == {client.key for client in here if client.npm is None}
    programs = {path.stem for path in (FOLDER / "node").glob("*.cjs")}
    assert programs == {client.key for client in here if client.npm is not None}


def test_other_clients_name_a_test_that_exists() -> None:
    for client in CLIENTS:
        for file in (client.tested, client.requests):
            assert file is None or (ROOT / file).is_file(), client.key


def test_every_version_is_installed_by_somebody() -> None:
    for client in CLIENTS:
        assert (installed_version(client) is None) == (client.requests is not None), client.key


def test_what_is_only_read_says_in_which_version() -> None:
    without = {client.key for client in CLIENTS if client.requests and not client.read}
    assert without == {"llama-cpp"}
    assert not [client.key for client in CLIENTS if client.read and not client.requests]
