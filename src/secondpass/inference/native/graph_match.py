"""Graph matching: find a quantized encoder in an ONNX graph, or say what differs."""

from __future__ import annotations

from collections.abc import Mapping

from secondpass.inference.native.encoder import Encoder, GraphMismatch
from secondpass.inference.native.match_bert import BertMatcher
from secondpass.inference.native.match_modernbert import ModernBertMatcher
from secondpass.inference.native.onnx_file import Graph, Table


def find_encoder(graph: Graph, tables: Mapping[str, Table]) -> Encoder:
    """Match a graph against the supported architectures; `tables` are its external tables.

    Raises `GraphMismatch` for any other graph: every operator between the inputs and the
    outputs is checked, except those that compute the mask of padding.
    """
    rotary = any(node.kind == "Cos" for node in graph.nodes)
    matcher = ModernBertMatcher if rotary else BertMatcher
    try:
        return matcher(graph, {**graph.tables, **tables}).encoder()
    except (ValueError, TypeError, IndexError, KeyError, ZeroDivisionError) as error:
        # Tables of other shapes, or a division by zero.
        raise GraphMismatch(str(error)) from error
