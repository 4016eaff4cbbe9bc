"""ONNX Runtime profiles: operators with times and operation counts, grouped by layer."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MATRIX_PRODUCTS = ("MatMul", "Gemm")
_INTEGER_TYPES = ("int8", "uint8")


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of one run, in the order of execution.

    `operations` of a matrix product, a multiplication and an addition counted as two; 0 for
    other operators. `integer` is whether its first factor was 8-bit.
    """

    kind: str
    seconds: float
    operations: int = 0
    integer: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One call of a session; `seconds` includes the time between the operators."""

    seconds: float
    operators: Sequence[Operator]


def read_runs(file: Path) -> list[Run]:
    """Return the runs of a profile in Chrome's trace format, in order.

    Times there are microseconds; operators of nested graphs are separate operators.
    """
    events = json.loads(file.read_text(encoding="utf-8"))
    spans = [e for e in events if e.get("name") == "model_run"]
    nodes = sorted(
        (e for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")),
        key=lambda e: e["ts"],
    )
    runs, position = [], 0
    for span in sorted(spans, key=lambda e: e["ts"]):
        end, operators = span["ts"] + span["dur"], []
        while position < len(nodes) and nodes[position]["ts"] <= end:
            operators.append(_operator(nodes[position]))
            position += 1
        runs.append(Run(span["dur"] / 1e6, operators))
    return runs


def _operator(event: Mapping[str, Any]) -> Operator:
    arguments = event["args"]
    kind = str(arguments["op_name"])
    seconds = event["dur"] / 1e6
    if not any(name in kind for name in _MATRIX_PRODUCTS):
        return Operator(kind, seconds)
    inputs, outputs = arguments["input_type_shape"], arguments["output_type_shape"]
    ((element_type, first),) = inputs[0].items()
    ((_, result),) = outputs[0].items()
    return Operator(
        kind, seconds, product_operations(first, result), element_type in _INTEGER_TYPES
    )


def product_operations(first: Sequence[int], result: Sequence[int]) -> int:
    """Return the operations of a matrix product, by the shapes of first factor and result.

    The shape of the second factor is often not recorded. The first may be transposed: then
    its last axis, not the one before, has the result's rows.
    """
    if not first or not result:
        return 0
    not_transposed = len(first) < 2 or len(result) < 2 or first[-2] == result[-2]
    return 2 * math.prod(result) * (first[-1] if not_transposed else first[-2])


EMBEDDINGS, HEAD, WHOLE = "embeddings", "head", "layers"


def by_layer(operators: Sequence[Operator], *, pair: int = 2) -> dict[str, list[Operator]]:
    """Group the operators by "embeddings", "layers 1-2", …, "head".

    A layer has one softmax (or one fused attention) and ends with the last normalization
    before the next one; that holds for post-norm encoders such as BERT. Without attention,
    all operators are "layers".
    """
    attentions = [i for i, o in enumerate(operators) if _is_attention(o.kind)]
    if not attentions:
        return {WHOLE: list(operators)}
    ends = [_last_norm(operators, 0, attentions[0])]
    for start, stop in zip(attentions, [*attentions[1:], len(operators)], strict=True):
        ends.append(_last_norm(operators, start, stop))
    parts = {EMBEDDINGS: list(operators[: ends[0]])}
    for layer in range(1, len(ends), pair):
        last = min(layer + pair - 1, len(ends) - 1)
        name = f"layers {layer}-{last}" if last > layer else f"layer {layer}"
        parts[name] = list(operators[ends[layer - 1] : ends[last]])
    parts[HEAD] = list(operators[ends[-1] :])
    return parts


def _is_attention(kind: str) -> bool:
    return "Softmax" in kind or "Attention" in kind


def _last_norm(operators: Sequence[Operator], start: int, stop: int) -> int:
    """Return the position after the last normalization in [start, stop), else `start`."""
    for position in range(stop - 1, start - 1, -1):
        if "Normalization" in operators[position].kind:
            return position + 1
    return start
