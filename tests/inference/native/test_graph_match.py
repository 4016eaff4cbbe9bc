from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from secondpass.inference.model_folder import ModelFolder, open_folder
from secondpass.inference.native.encoder import GraphMismatch
from secondpass.inference.native.graph_match import find_encoder
from secondpass.inference.native.onnx_file import Graph, Node, Table, read_graph
from secondpass.inference.shared_tables import load_shared_tables
from secondpass.models import bundled_path


def graph_of(folder: ModelFolder) -> Graph:
    assert folder.onnx is not None
    return read_graph(folder.onnx)


def test_the_bundled_encoders_are_found(embedder: ModelFolder) -> None:
    found = find_encoder(graph_of(embedder), {})
    assert (len(found.layers), found.heads, found.states) == (6, 12, (4, 6))
    assert found.classifier is None
    assert found.score_scale == pytest.approx(32**-0.5)
    tiny = open_folder(bundled_path("bundled-tiny") / "encoder")
    found = find_encoder(graph_of(tiny), load_shared_tables(tiny))
    assert (len(found.layers), found.states) == (2, (1, 2))
    with pytest.raises(GraphMismatch, match="undefined input"):
        find_encoder(graph_of(tiny), {})


def test_a_cross_encoder_is_found(cross_encoder: ModelFolder) -> None:
    found = find_encoder(graph_of(cross_encoder), {})
    assert (len(found.layers), found.heads, found.states) == (2, 2, ())
    assert found.classifier is not None
    assert found.layers[0].up.weight.shape == (64, 128)


def replaced(graph: Graph, change: Callable[[Node], Node]) -> Graph:
    return dataclasses.replace(graph, nodes=tuple(map(change, graph.nodes)))


def with_attribute(kind: str, name: str, value: object) -> Callable[[Graph], Graph]:
    def change(node: Node) -> Node:
        if node.kind != kind:
            return node
        return dataclasses.replace(node, attributes={**node.attributes, name: value})

    return lambda graph: replaced(graph, change)


def with_kind(kind: str, other: str) -> Callable[[Graph], Graph]:
    return lambda graph: replaced(
        graph, lambda n: dataclasses.replace(n, kind=other) if n.kind == kind else n
    )


def with_tables(which: str, change: Callable[[Table], Table]) -> Callable[[Graph], Graph]:
    return lambda graph: dataclasses.replace(
        graph,
        tables={n: change(t) if which in n else t for n, t in graph.tables.items()},
    )


def of_eight_bits(weight: Table) -> Table:
    changed = weight.copy()
    if changed.dtype == np.int8:
        changed.flat[0] = -100
    return changed


@pytest.mark.parametrize(
    "change",
    [
        with_attribute("Gelu", "approximate", "tanh"),
        with_attribute("Softmax", "axis", 1),
        with_attribute("Transpose", "perm", (0, 1, 2, 3)),
        with_attribute("Gemm", "transB", 0),
        with_attribute("Gather", "axis", 2),
        with_kind("Gelu", "Relu"),
        with_kind("LayerNormalization", "RMSNormalization"),
        with_kind("Tanh", "Sigmoid"),
        with_kind("QuantizeLinear", "DynamicQuantizeLinear"),
        with_tables("_weight", of_eight_bits),
        with_tables("_weight_zero", lambda table: table + 1),
        with_tables("position_ids", lambda table: table + 2),
        with_tables("query.bias", lambda table: table[:7]),
        with_tables("view_3_scale", lambda table: table * 0),
        lambda graph: dataclasses.replace(graph, nodes=graph.nodes[::-1]),
    ],
)
def test_another_graph_is_refused(
    cross_encoder: ModelFolder, change: Callable[[Graph], Graph]
) -> None:
    graph = graph_of(cross_encoder)
    find_encoder(graph, {})
    with pytest.raises(GraphMismatch):
        find_encoder(change(graph), {})


def test_a_mask_of_more_than_the_padding_is_refused(cross_encoder: ModelFolder) -> None:
    graph = graph_of(cross_encoder)
    biased = dataclasses.replace(
        graph,
        nodes=tuple(
            dataclasses.replace(n, inputs=("token_type_ids",))
            if n.inputs[:1] == ("attention_mask",)
            else n
            for n in graph.nodes
        ),
    )
    with pytest.raises(GraphMismatch, match="depends on more"):
        find_encoder(biased, {})
