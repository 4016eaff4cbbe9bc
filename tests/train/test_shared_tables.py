from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from secondpass import Embedder, ModelError
from secondpass.errors import ModelDamagedError
from secondpass.inference.model_folder import MANIFEST
from secondpass.models import bundled_path
from secondpass.train.export.shared_tables import share_tables

LENDER = "bundled-embedder"
TEXTS = ["Paris is the capital of France.", "a ship", ""]


@pytest.fixture(scope="module")
def borrower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("borrower") / "model"
    shutil.copytree(bundled_path(LENDER), folder)
    before = (folder / "model.onnx").stat().st_size
    saved = share_tables(folder, LENDER)
    assert saved > 10_000_000
    assert (folder / "model.onnx").stat().st_size < before - saved + 10_000
    return folder


def test_a_model_with_borrowed_tables_gives_the_same(borrower: Path) -> None:
    assert np.array_equal(Embedder(borrower).encode(TEXTS), Embedder().encode(TEXTS))


def test_nothing_is_borrowed_twice(borrower: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(borrower, again)
    assert share_tables(again, LENDER) == 0
    assert (again / MANIFEST).read_bytes() == (borrower / MANIFEST).read_bytes()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"digest": "00"}, ModelError, "another version"),
        ({"model": "no-such-model"}, ModelError, "another version"),
        ({"tables": None}, ModelDamagedError, "shared tables"),
        ({"tables": {"x": {"offset": 0}}}, ModelDamagedError, "shared tables"),
        (
            {"tables": {"x": {"offset": 10**9, "shape": [9], "dtype": "int8"}}},
            ModelDamagedError,
            "beyond the end of the file",
        ),
    ],
)
def test_what_cannot_be_borrowed(
    borrower: Path,
    tmp_path: Path,
    change: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(borrower, folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["borrows"] |= change
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(error, match=message):
        Embedder(folder)
