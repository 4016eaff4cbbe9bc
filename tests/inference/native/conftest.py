from __future__ import annotations

from pathlib import Path

import pytest

from secondpass.inference.model_folder import ModelFolder, open_folder
from secondpass.inference.native.build import LIBRARY, BuildError, compile_library
from secondpass.inference.native.library import Library, open_library
from secondpass.models import bundled_path
from tests.tiny_int8 import tiny_int8_cross_encoder


@pytest.fixture(scope="session")
def library() -> Library:
    """The library of the install, for this processor."""
    if not LIBRARY.is_file():
        pytest.skip("the machine code was not compiled here")
    found = open_library(LIBRARY)
    if found is None:
        pytest.skip("this processor has no AVX2")
    return found


@pytest.fixture(scope="session")
def emulated(tmp_path_factory: pytest.TempPathFactory, library: Library) -> Path:
    """A library that has every kind of kernels, whatever the processor."""
    if not Path("/usr/include/simde").is_dir():
        pytest.skip("SIMDe is not installed (Debian: libsimde-dev)")
    try:
        return compile_library(
            tmp_path_factory.mktemp("emulated") / "kernels.so",
            emulation=Path(__file__).with_name("emulated.h").resolve(),
        )
    except BuildError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def embedder() -> ModelFolder:
    """The bundled embedder: six layers, with states."""
    return open_folder(bundled_path("bundled-embedder"))


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A small int8 cross-encoder of sizes that suit the widest vectors."""
    return open_folder(tiny_int8_cross_encoder(tmp_path_factory.mktemp("cross-encoder")))
