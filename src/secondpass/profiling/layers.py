"""Operators of an encoder's run, told apart by layer."""

from __future__ import annotations

from collections.abc import Sequence

from secondpass.profiling.ort_events import Operator

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
