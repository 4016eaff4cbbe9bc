from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass.errors import ModelError
from secondpass.inference.model_folder import ModelFolder
from secondpass.inference.native import runtime as native
from secondpass.inference.native.encoder import Encoder
from secondpass.inference.native.graph_match import find_encoder
from secondpass.inference.native.library import Library, open_library
from secondpass.inference.native.onnx_file import read_graph
from secondpass.inference.native.runtime import NativeRuntime, native_runtime
from secondpass.inference.runtimes import ENVIRONMENT, load_runtime
from secondpass.inference.runtimes.onnxruntime import OnnxRuntime

Feeds = dict[str, np.ndarray[Any, np.dtype[np.int64]]]


def feeds(lengths: list[int], padded: int | None = None, *, most: int = 80) -> Feeds:
    """Rows of random ids: what a row holds depends on its length and place alone."""
    width = max(lengths) if padded is None else padded
    found = {
        name: np.zeros((len(lengths), width), dtype=np.int64)
        for name in ("input_ids", "attention_mask", "token_type_ids")
    }
    for row, length in enumerate(lengths):
        random = np.random.default_rng(length * 1000 + row)
        found["input_ids"][row, :length] = random.integers(4, most, length)
        found["attention_mask"][row, :length] = 1
        found["token_type_ids"][row, length // 3 : length] = 1
    return found


def one_row(batch: Feeds, row: int, length: int) -> Feeds:
    return {name: array[row : row + 1, :length] for name, array in batch.items()}


@pytest.fixture(scope="module")
def encoder(cross_encoder: ModelFolder) -> Encoder:
    assert cross_encoder.onnx is not None
    return find_encoder(read_graph(cross_encoder.onnx), {})


@pytest.fixture(scope="module")
def runtime(library: Library, encoder: Encoder) -> NativeRuntime:
    return NativeRuntime(library, encoder, threads=2)


def test_a_cross_encoder_scores_as_in_onnx_runtime(
    runtime: NativeRuntime, cross_encoder: ModelFolder
) -> None:
    assert cross_encoder.onnx is not None
    other = OnnxRuntime(cross_encoder.onnx, threads=1)
    batch = feeds([1, 2, 9, 17, 33, 64, 64])
    found, expected = runtime.run(batch), other.run(batch)
    assert found.shape == expected.shape
    # Where the two round an activation to another integer, logits (here of 2 on average) move.
    assert np.abs(found - expected).mean() < 0.03 * np.abs(expected).mean()


def test_the_bundled_embedder_gives_the_vectors_of_onnx_runtime(
    library: Library, embedder: ModelFolder
) -> None:
    assert embedder.onnx is not None
    ours = native_runtime(embedder, threads=2, tables={})
    assert ours is not None
    assert ours.outputs == ("embeddings", "states")
    other = OnnxRuntime(embedder.onnx, threads=2)
    batch = feeds([3, 40, 130], most=30_000)
    batch["token_type_ids"][:] = 0
    found = ours.run_named(batch, ["embeddings", "states"])
    del batch["token_type_ids"]
    expected = other.run_named(batch, ["embeddings", "states"])
    cosines = (found["embeddings"] * expected["embeddings"]).sum(axis=1)
    assert cosines.min() > 0.998
    np.testing.assert_allclose(np.linalg.norm(found["embeddings"], axis=1), 1, atol=1e-6)
    for row, length in enumerate((3, 40, 130)):
        ours_row, theirs = (x["states"][row, :length] for x in (found, expected))
        assert np.abs(ours_row - theirs).mean() < 0.02 * np.abs(theirs).mean()
    alone = ours.run_named(
        feeds([3, 40, 130], most=30_000) | {"token_type_ids": batch["input_ids"] * 0},
        ["embeddings"],
    )
    np.testing.assert_array_equal(alone["embeddings"], found["embeddings"])


@settings(max_examples=30)
@given(
    lengths=st.lists(st.integers(1, 64), min_size=1, max_size=12),
    padding=st.integers(0, 9),
    threads=st.integers(1, 4),
)
def test_scores_are_the_same_bits_alone_and_beside_others(
    library: Library,
    runtime: NativeRuntime,
    encoder: Encoder,
    lengths: list[int],
    padding: int,
    threads: int,
) -> None:
    batch = feeds(lengths, max(lengths) + padding)
    together = NativeRuntime(library, encoder, threads=threads).run(batch)
    alone = [runtime.run(one_row(batch, i, n))[0] for i, n in enumerate(lengths)]
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("kernels", ["avxvnni", "avx512vnni"])
def test_scores_are_the_same_bits_in_other_instructions(
    emulated: Path, encoder: Encoder, runtime: NativeRuntime, kernels: str
) -> None:
    library = open_library(emulated, kernels)
    assert library is not None
    assert library.name == kernels
    batch = feeds([1, 5, 16, 17, 31, 32, 33, 64])
    found = NativeRuntime(library, encoder, threads=2).run(batch)
    np.testing.assert_array_equal(found, runtime.run(batch))


def test_several_threads_may_call_at_once(runtime: NativeRuntime) -> None:
    batches = [feeds([1 + (7 * i + j) % 64 for j in range(1 + i % 5)]) for i in range(40)]
    expected = [runtime.run(batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        for found, wanted in zip(pool.map(runtime.run, batches), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_types_are_read_only_by_a_model_that_asks_for_them(
    runtime: NativeRuntime, embedder: ModelFolder
) -> None:
    assert "token_type_ids" in runtime.inputs
    ours = native_runtime(embedder, threads=1, tables={})
    assert ours is not None
    assert ours.inputs == {"input_ids", "attention_mask"}
    batch = feeds([9])
    without = {**batch, "token_type_ids": batch["token_type_ids"] * 0}
    np.testing.assert_array_equal(ours.run(batch), ours.run(without))
    assert not np.array_equal(runtime.run(batch), runtime.run(without))


def test_no_sequence_is_no_work(runtime: NativeRuntime) -> None:
    empty = {name: array[:0] for name, array in feeds([4]).items()}
    assert runtime.run(empty).shape == (0, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_ids": np.array([[4, 10_000]])},
        {"input_ids": np.array([[4, -1]])},
        {"token_type_ids": np.array([[0, 2]])},
        {"attention_mask": np.array([[0, 0]])},
    ],
)
def test_what_the_model_does_not_have_is_an_error(runtime: NativeRuntime, wrong: Feeds) -> None:
    with pytest.raises(ModelError, match="a token id or a length"):
        runtime.run({**feeds([2]), **wrong})
    with pytest.raises(ModelError, match=r"shape \(1, 65\)"):
        runtime.run(feeds([65]))


def test_a_profile_gets_the_seconds_of_each_step(library: Library, encoder: Encoder) -> None:
    runtime = NativeRuntime(library, encoder, threads=1)
    runtime.seconds = np.zeros(3 * len(encoder.layers) + 2)
    runtime.run(feeds([64]))
    once = runtime.seconds.copy()
    assert (once > 0).all()
    assert once[:-1].sum() <= once[-1]
    runtime.run(feeds([64]))
    assert (runtime.seconds > once).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(runtime: NativeRuntime) -> None:
    batch = feeds([30, 64, 12])
    expected = runtime.run(batch)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(runtime.run(batch), expected) else 1)
    killer = threading.Timer(60, os.kill, (child, 9))
    killer.start()
    _, status = os.waitpid(child, 0)
    killer.cancel()
    assert os.waitstatus_to_exitcode(status) == 0


def test_it_runs_where_it_can_unless_told_otherwise(
    cross_encoder: ModelFolder, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    assert load_runtime(cross_encoder).engine == "native"
    assert load_runtime(cross_encoder, engine="onnxruntime").engine == "onnxruntime"
    monkeypatch.setenv(ENVIRONMENT, "onnxruntime")
    assert load_runtime(cross_encoder).engine == "onnxruntime"
    monkeypatch.delenv(ENVIRONMENT)
    monkeypatch.setattr(native, "load_library", lambda: None)
    assert load_runtime(cross_encoder).engine == "onnxruntime"


def test_a_model_of_another_kind_runs_in_onnx_runtime(
    cross_encoder: ModelFolder, library: Library
) -> None:
    other = ModelFolder(
        cross_encoder.path, cross_encoder.manifest, {"model_type": "deberta-v2"}
    )
    assert load_runtime(other).engine == "onnxruntime"
