"""What `secondpass serve` refuses before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondpass import InputError
from secondpass.server.serve import run
from secondpass.server.settings import ServerSettings


def test_a_file_of_keys_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="secondpass keys create NAME --keys"):
        run(ServerSettings(keys=tmp_path / "missing.json"))
