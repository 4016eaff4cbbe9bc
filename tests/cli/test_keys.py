from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run


def test_keys_are_made_listed_and_revoked(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    made = run("keys", "create", "box", "--keys", file, "--json")
    key = json.loads(made.out)["key"]
    listed = json.loads(run("keys", "list", "--keys", file, "--json").out)["keys"]
    assert (listed[0]["name"], listed[0]["scopes"]) == ("box", ["rerank", "search"])
    assert "sha256" not in listed[0]
    assert key not in run("keys", "list", "--keys", file).out
    assert run("keys", "revoke", listed[0]["id"], "--keys", file).code == 0
    assert run("keys", "revoke", listed[0]["id"], "--keys", file).code == 2
