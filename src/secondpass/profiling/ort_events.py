"""What ONNX Runtime's profiler wrote, as operators with seconds and arithmetic.

Operators of an encoder's run, told apart by layer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PRODUCTS = ("MatMul", "Gemm")
_INTEGERS = ("int8", "uint8")


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of one run, in the order of execution.

    `operations` are those of a matrix product, a multiplication and an addition counted
    as two, else 0; `integer` says whether its first factor was 8-bit.
    """

    kind: str
    seconds: float
    operations: int = 0
    integer: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One call of a session; `seconds` includes what is between the operators."""

    seconds: float
    operators: Sequence[Operator]


def read_runs(file: Path) -> list[Run]:
    """Return the runs of a profile in Chrome's trace format, in order.

    Times are microseconds there; operators of nested graphs count as parts of their own.
    """
    events = json.loads(file.read_text(encoding="utf-8"))
    spans = [e for e in events if e.get("name") == "model_run"]
    nodes = sorted(
        (e for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")),
        key=lambda e: e["ts"],
    )
    runs, position = [], 0
    for span in sorted(spans, key=lambda e: e["ts"]):
        end, found = span["ts"] + span["dur"], []
        while position < len(nodes) and nodes[position]["ts"] <= end:
            found.append(_operator(nodes[position]))
            position += 1
        runs.append(Run(span["dur"] / 1e6, found))
    return runs


def _operator(event: Mapping[str, Any]) -> Operator:
    arguments = event["args"]
    kind = str(arguments["op_name"])
    seconds = event["dur"] / 1e6
    if not any(name in kind for name in _PRODUCTS):
        return Operator(kind, seconds)
    inputs, outputs = arguments["input_type_shape"], arguments["output_type_shape"]
    ((of, first),) = inputs[0].items()
    ((_, result),) = outputs[0].items()
    return Operator(kind, seconds, product_operations(first, result), of in _INTEGERS)


def product_operations(first: Sequence[int], result: Sequence[int]) -> int:
    """Return the operations of a matrix product from its first factor's and result's shape.

    The second factor is often packed and not told. The first may be transposed: then its
    last axis, not the one before, is that of the result's rows.
    """
    if not first or not result:
        return 0
    upright = len(first) < 2 or len(result) < 2 or first[-2] == result[-2]
    return 2 * math.prod(result) * (first[-1] if upright else first[-2])


EMBEDDINGS, HEAD, WHOLE = "embeddings", "head", "layers"


def by_layer(operators: Sequence[Operator], *, pair: int = 2) -> dict[str, list[Operator]]:
    """Return the operators under "embeddings", "layers 1-2", …, "head".

    A layer is known by its one softmax (or its one fused attention) and ends with the last
    normalisation before the next layer's; that holds for encoders with normalisation after
    each half of a layer, such as BERT's. Where there is no attention, all is "layers".
    """
    marks = [i for i, o in enumerate(operators) if _attends(o.kind)]
    if not marks:
        return {WHOLE: list(operators)}
    ends = [_last_norm(operators, 0, marks[0])]
    for start, stop in zip(marks, [*marks[1:], len(operators)], strict=True):
        ends.append(_last_norm(operators, start, stop))
    parts = {EMBEDDINGS: list(operators[: ends[0]])}
    for layer in range(1, len(ends), pair):
        last = min(layer + pair - 1, len(ends) - 1)
        name = f"layers {layer}-{last}" if last > layer else f"layer {layer}"
        parts[name] = list(operators[ends[layer - 1] : ends[last]])
    parts[HEAD] = list(operators[ends[-1] :])
    return parts


def _attends(kind: str) -> bool:
    return "Softmax" in kind or "Attention" in kind


def _last_norm(operators: Sequence[Operator], start: int, stop: int) -> int:
    """Return the position after the last normalisation in [start, stop), else `start`."""
    for position in range(stop - 1, start - 1, -1):
        if "Normalization" in operators[position].kind:
            return position + 1
    return start
