"""What tests of an index share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_models import tiny_reader


@pytest.fixture(scope="module")
def reader_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny precomputed reranker, with its encoder in a folder inside."""
    folder = tmp_path_factory.mktemp("reader")
    tiny_reader(folder)
    return folder
