from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from secondpass.engine.folder import ModelFolder, open_folder
from secondpass.engine.native.build import LIBRARY, NotBuilt, compile_library
from secondpass.engine.native.library import Library, open_library
from secondpass.models import bundled_path
from secondpass.train.export import Settings, export_model
from tests.tiny_models import tiny_cross_encoder


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
    except NotBuilt as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def embedder() -> ModelFolder:
    """The bundled embedder: six layers, with states."""
    return open_folder(bundled_path("bundled-embedder"))


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A small int8 cross-encoder of sizes that suit the widest vectors."""
    folder = tmp_path_factory.mktemp("cross-encoder")
    sizes = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128}
    model = tiny_cross_encoder(folder / "source", **sizes)
    _bend(model)
    model.save_pretrained(folder / "source")
    words = ["blue", "bread", "river", "sea", "ship", "sky", "storm", "water"]
    lines = [
        json.dumps({"query": f"where is the {word}", "text": f"the {word} and a {other}"})
        for word in words
        for other in words
    ]
    pairs = folder / "pairs.jsonl"
    pairs.write_text("\n".join(lines), encoding="utf-8")
    settings = Settings(calibrate=pairs, min_overlap=0.0)
    export_model(str(folder / "source"), folder / "out", settings)
    return open_folder(folder / "out")


def _bend(model: Any) -> None:
    """Give random values to what begins as zeros and ones: biases and normalisations."""
    import torch

    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
