from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from secondpass.profiling.ort_events import (
    EMBEDDINGS,
    HEAD,
    WHOLE,
    Operator,
    by_layer,
    product_operations,
    read_runs,
)

sizes = st.integers(1, 50)


@given(st.lists(sizes, max_size=2), sizes, sizes, sizes)
def test_a_product_counts_two_for_each_multiplication(
    batch: list[int], rows: int, inner: int, columns: int
) -> None:
    expected = 2 * rows * inner * columns
    for size in batch:
        expected *= size
    first, result = [*batch, rows, inner], [*batch, rows, columns]
    assert product_operations(first, result) == expected
    transposed = [*batch, inner, rows]
    if inner != rows:
        assert product_operations(transposed, result) == expected


def test_shapes_without_axes_have_no_operations() -> None:
    assert product_operations([], []) == 0


def event(name: str, start: int, length: int, **arguments: object) -> dict[str, object]:
    return {"cat": "Node", "name": name, "ts": start, "dur": length, "args": arguments}


def test_operators_belong_to_the_run_they_fall_into(tmp_path: Path) -> None:
    shapes = {
        "input_type_shape": [{"uint8": [2, 3, 4]}],
        "output_type_shape": [{"float": [2, 3, 5]}],
    }
    events = [
        {"cat": "Session", "name": "model_loading_uri", "ts": 0, "dur": 5},
        event("b_kernel_time", 40, 5, op_name="Softmax"),
        event("a_fence_before", 11, 1, op_name="MatMulIntegerToFloat"),
        event("a_kernel_time", 12, 6, op_name="MatMulIntegerToFloat", **shapes),
        {"cat": "Session", "name": "model_run", "ts": 10, "dur": 10},
        {"cat": "Session", "name": "model_run", "ts": 30, "dur": 20},
    ]
    file = tmp_path / "profile.json"
    file.write_text(json.dumps(events), encoding="utf-8")
    first, second = read_runs(file)
    assert first.seconds == 10e-6
    assert first.operators == [Operator("MatMulIntegerToFloat", 6e-6, 2 * 30 * 4, True)]
    assert second.operators == [Operator("Softmax", 5e-6)]


def operators(text: str) -> list[Operator]:
    kinds = {"n": "LayerNormalization", "s": "Softmax", "m": "MatMul", "e": "Gather"}
    return [Operator(kinds[letter], 1.0) for letter in text]


def test_layers_end_with_the_last_normalisation_before_the_next() -> None:
    # Three layers; the second one normalises twice, as a graph with smoothed channels does.
    found = by_layer(operators("een" + "msmnmn" + "msmnnmnn" + "msmnmn" + "mm"))
    assert {name: len(of) for name, of in found.items()} == {
        EMBEDDINGS: 3,
        "layers 1-2": 14,
        "layer 3": 6,
        HEAD: 2,
    }


@given(st.text("nsme", max_size=40))
def test_no_operator_is_lost_or_told_twice(text: str) -> None:
    given_ones = operators(text)
    found = by_layer(given_ones)
    assert [o for part in found.values() for o in part] == given_ones
    assert ("s" in text) == (WHOLE not in found)
