"""Joining of ONNX graphs: one graph reads values of another, in the same file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir


def join_graph(
    model: ir.Model, other: ir.Model, inputs: Mapping[str, ir.Value], prefix: str
) -> ir.Value:
    """Move the nodes and constants of `other` behind those of `model`; return its output.

    - `inputs`: the value of `model` that each input of `other` stands for, by its name.
    - `prefix`: of the names of what is moved.

    `other` has one output, and is empty afterwards.
    """
    graph, moved = model.graph, other.graph
    (output,) = moved.outputs
    moved.outputs.clear()
    for value in list(moved.inputs):
        value.replace_all_uses_with(inputs[str(value.name)])
    constants = list(moved.initializers.values())
    moved.initializers.clear()
    nodes = list(moved)
    moved.remove(nodes)
    for value in constants:
        value.name = f"{prefix}{value.name}"
        graph.register_initializer(value)
    for node in nodes:
        node.name = f"{prefix}{node.name}"
        for value in node.outputs:
            value.name = f"{prefix}{value.name}"
    graph.extend(nodes)
    return output


def remove_joined(model: ir.Model, prefix: str) -> None:
    """Undo a sum with the output of a joined graph: the last node adds it to the scores."""
    graph = model.graph
    (total,) = graph.outputs
    last = total.producer()
    scores = None if last is None else last.inputs[0]
    if last is None or scores is None or not str(scores.name).startswith(prefix):
        return
    name = total.name
    graph.outputs[0] = scores
    own = [node for node in graph if node is not last and _joined(node, prefix, scores)]
    graph.remove([last, *own], safe=True)
    for value in [v for n, v in graph.initializers.items() if n.startswith(prefix)]:
        del graph.initializers[str(value.name)]
    scores.name = name


def _joined(node: ir.Node, prefix: str, scores: ir.Value) -> bool:
    return any(v is not scores and str(v.name).startswith(prefix) for v in node.outputs)
