from __future__ import annotations

from pathlib import Path

import pytest

from secondpass.inference.native.library import load_library
from secondpass.train.export.export import ExportSettings, export_model
from tests.tiny_int8 import tiny_int8_cross_encoder
from tests.tiny_models import tiny_cross_encoder


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny cross-encoder of two layers as an ONNX graph."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("models") / "tiny"
    tiny_cross_encoder(source)
    export_model(str(source), out, ExportSettings(precision="fp32"))
    return out


@pytest.fixture(scope="session")
def int8_cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another, that our own machine code runs."""
    if load_library() is None:
        pytest.skip("the machine code was not compiled here")
    return tiny_int8_cross_encoder(tmp_path_factory.mktemp("int8"))
