"""What every documentation page can count on: the sample, and an index of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.docs.places import ROOT, environment


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with examples/, docs/ and demo-index/, made by the command the docs name."""
    folder = tmp_path_factory.mktemp("workplace")
    for name in ("examples", "docs"):
        (folder / name).symlink_to(ROOT / name, target_is_directory=True)
    command = ["secondpass", "index", "examples/wikipedia", "--index", "demo-index"]
    subprocess.run(command, check=True, cwd=folder, env=environment(), capture_output=True)
    return folder


@pytest.fixture
def workplace(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The prepared folder, as the working directory; all pages share it."""
    monkeypatch.chdir(prepared)
    return prepared
