from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.inference.model_folder import open_folder
from secondpass.inference.native.library import load_library
from secondpass.inference.runtimes import load_runtime
from secondpass.models import bundled_path
from secondpass.profiling.ort_events import Run, product_operations
from secondpass.profiling.record import (
    ATTEND,
    EMBED,
    FORWARD,
    HEAD,
    PROJECT,
    count_operations,
    recording,
)

LAYERS = 3


@given(st.lists(st.integers(1, 40), max_size=6), st.booleans())
def test_products_are_counted_row_by_row(lengths: list[int], first_only: bool) -> None:
    hidden, inner = 12, 20
    model: Any = SimpleNamespace(
        hidden=hidden, inner=inner, layers=LAYERS, first_only=first_only
    )
    found = list(count_operations(model, np.array(lengths, dtype=np.int64)))
    assert [kind for kind, _, _ in found] == [PROJECT, ATTEND, FORWARD] * LAYERS
    assert [integer for _, _, integer in found] == [True, False, True] * LAYERS
    for layer in range(LAYERS):
        expected = [0, 0, 0]
        for n in lengths:
            asked = 1 if first_only and layer == LAYERS - 1 else n
            for place, first, columns in (
                (0, [asked, hidden], hidden),
                (0, [n, hidden], 2 * hidden),
                (1, [asked, hidden], n),
                (1, [asked, n], hidden),
                (2, [asked, hidden], hidden),
                (2, [asked, hidden], inner),
                (2, [asked, inner], hidden),
            ):
                expected[place] += product_operations(first, [first[0], columns])
        assert [count for _, count, _ in found[3 * layer : 3 * layer + 3]] == expected


@pytest.mark.skipif(load_library() is None, reason="the machine code was not compiled here")
def test_the_bundled_embedder_multiplies_as_much_as_in_onnx_runtime() -> None:
    folder = open_folder(bundled_path("bundled-embedder"))
    ids = np.random.default_rng(1).integers(1000, 20_000, (3, 24))
    given_ones = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "token_type_ids": np.zeros_like(ids),
    }
    with recording() as opened:
        runtimes = [
            load_runtime(folder, threads=2, engine=e) for e in ("native", "onnxruntime")
        ]
        for runtime in runtimes:
            feeds = {name: given_ones[name] for name in runtime.inputs}
            for _ in range(2):
                runtime.run(feeds)
        assert [runtime.engine for runtime in runtimes] == ["native", "onnxruntime"]
        assert [len(one.calls) for one in opened] == [2, 2]
        ours, theirs = (one.finish() for one in opened)
    assert [run.seconds for run in ours] == opened[0].calls
    for run, other in zip(ours, theirs, strict=True):
        kinds = [o.kind for o in run.operators]
        assert kinds == [EMBED, *[PROJECT, ATTEND, FORWARD] * 6, HEAD]
        assert all(o.seconds > 0 for o in run.operators)
        assert sum(o.seconds for o in run.operators) <= run.seconds
        assert counted(run, integer=True) == counted(other, integer=True)
        assert counted(run, integer=False) == counted(other, integer=False)
    # The clock is off again.
    runtimes[0].run(given_ones)


def counted(run: Run, *, integer: bool) -> int:
    return sum(o.operations for o in run.operators if o.integer is integer)
