"""OpenVINO behind the runtime interface: the same numbers, whatever the batch."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from secondpass import InputError
from secondpass.errors import MissingExtraError, ModelDamagedError, ModelError
from secondpass.inference.model_folder import open_folder
from secondpass.inference.runtimes import ENVIRONMENT, engine_from_environment, load_runtime
from secondpass.inference.runtimes.openvino import OpenVinoRuntime
from secondpass.inference.types import Runtime
from tests.tiny_models import tiny_encoder_with_states


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("encoder")
    tiny_encoder_with_states(place)
    return place


@pytest.fixture(scope="module")
def runtime(folder: Path) -> Runtime:
    pytest.importorskip("openvino")
    return load_runtime(open_folder(folder), threads=1, engine="openvino")


def feeds(rows: int, tokens: int) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(tokens).integers(5, 60, (rows, tokens))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def test_it_gives_what_onnx_runtime_gives(folder: Path, runtime: Runtime) -> None:
    other = load_runtime(open_folder(folder), threads=1)
    assert runtime.inputs == other.inputs
    assert runtime.outputs == other.outputs
    for rows, tokens in ((1, 7), (3, 16), (5, 9), (2, 40), (3, 16)):
        batch = feeds(rows, tokens)
        found = runtime.run_named(batch, runtime.outputs)
        expected = other.run_named(batch, other.outputs)
        for name in runtime.outputs:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-4)
        np.testing.assert_array_equal(runtime.run(batch), found[runtime.outputs[0]])


def test_a_row_does_not_depend_on_its_neighbours_or_threads(
    folder: Path, runtime: Runtime
) -> None:
    batch = feeds(6, 16)
    whole = runtime.run(batch)
    two = OpenVinoRuntime(folder / "model.onnx", threads=2).run(batch)
    np.testing.assert_allclose(two, whole, atol=1e-6)
    for row in range(6):
        alone = runtime.run({name: array[row : row + 1] for name, array in batch.items()})
        np.testing.assert_allclose(alone[0], whole[row], atol=1e-6)


def test_what_was_returned_stays_when_more_is_run(runtime: Runtime) -> None:
    first = runtime.run(feeds(2, 8))
    before = first.copy()
    runtime.run(feeds(2, 9))
    runtime.run(feeds(2, 8) | {"input_ids": np.full((2, 8), 7)})
    np.testing.assert_array_equal(first, before)


def test_eight_threads_agree(runtime: Runtime) -> None:
    batches = [feeds(2, 8 + i) for i in range(8)]
    expected = [runtime.run(batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        for found, wanted in zip(pool.map(runtime.run, batches), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_a_file_that_is_no_graph_and_a_batch_that_does_not_fit(
    tmp_path: Path, runtime: Runtime
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelDamagedError, match="OpenVINO cannot open"):
        OpenVinoRuntime(tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=r"shape \(2, 8\)"):
        runtime.run({**feeds(2, 8), "unknown": np.ones((2, 5), dtype=np.int64)})


def test_a_missing_extra_says_how_to_get_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"secondpass\[openvino\]"):
        OpenVinoRuntime(folder / "model.onnx")


def test_the_environment_names_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    assert engine_from_environment() == "native"
    monkeypatch.setenv(ENVIRONMENT, "openvino")
    assert engine_from_environment() == "openvino"
    for wrong in ("", "openvno"):
        monkeypatch.setenv(ENVIRONMENT, wrong)
        with pytest.raises(InputError, match="unknown inference engine"):
            engine_from_environment()
