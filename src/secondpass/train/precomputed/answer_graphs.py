"""The ONNX graphs of a scorer of answers: spans.onnx, and its part of model.onnx."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from secondpass.errors import ModelError
from secondpass.train.export.graph_join import join_graph, remove_joined
from secondpass.train.export.trace import to_onnx
from secondpass.train.precomputed.answer_scorer import AnswerScorer, AnswerScorerConfig

if TYPE_CHECKING:
    import onnx_ir as ir

PREFIX = "answers."
"""What the names of the part of model.onnx start with."""


class SentenceGraph(nn.Module):
    """A scorer behind the inputs of the early score's graph, for one query."""

    def __init__(self, scorer: AnswerScorer) -> None:
        super().__init__()
        self.scorer = scorer

    def forward(
        self,
        query_states: Tensor,
        query_embedding: Tensor,
        document_codes: Tensor,
        document_mask: Tensor,
    ) -> Tensor:
        """Return float32 [sentences]."""
        every = torch.ones_like(query_states[..., 0])
        codes, mask = document_codes.to(torch.float32), document_mask.to(torch.float32)
        scores: Tensor = self.scorer(query_states, every, query_embedding, codes, mask)
        return scores


class WindowGraph(nn.Module):
    """A scorer of whole windows behind the cosines of the scoring graph, for one query."""

    def __init__(self, scorer: AnswerScorer, weight: float, length_power: float) -> None:
        super().__init__()
        self.scorer, self.weight, self.length_power = scorer, weight, length_power

    def forward(
        self,
        query_states: Tensor,
        query_embedding: Tensor,
        query_directions: Tensor,
        document_directions: Tensor,
        document_mask: Tensor,
    ) -> Tensor:
        """Return float32 [windows], times the weight."""
        return self.weight * self.scorer.score(
            query_states,
            torch.ones_like(query_states[..., 0]),
            query_embedding,
            query_directions,
            document_directions,
            document_mask.to(torch.float32),
            length_power=self.length_power,
        )


def sentence_graph(scorer: AnswerScorer) -> ir.Model:
    """Return spans.onnx: a query and the tokens of sentences to `scores`."""
    config = scorer.config
    codes = torch.ones(2, 7, config.codes, dtype=torch.int8)
    return _trace(SentenceGraph(scorer), config, {"document_codes": codes})


def add_answers(
    model: ir.Model, scorer: AnswerScorer, weight: float, length_power: float
) -> None:
    """Add a scorer of windows to the scores of model.onnx, in place of an earlier one.

    The scorer reads the directions that the graph compares; `weight` and `length_power` are
    those of `WindowGraph` and `AnswerScorer.score`. Raises `ModelError` for a graph that
    compares none.
    """
    import onnx_ir as ir

    remove_joined(model, PREFIX)
    graph = model.graph
    query, document = _compared(model)
    inputs = {value.name: value for value in graph.inputs}
    window = _trace(
        WindowGraph(scorer, weight, length_power),
        scorer.config,
        {
            "query_directions": torch.rand(1, 5, scorer.config.matching),
            "document_directions": torch.rand(2, 7, scorer.config.matching),
        },
    )
    joined = join_graph(
        model,
        window,
        {
            "query_states": inputs["query_states"],
            "query_embedding": inputs["query_embedding"],
            "query_directions": query,
            "document_directions": document,
            "document_mask": inputs["document_mask"],
        },
        PREFIX,
    )
    (scores,) = graph.outputs
    name, scores.name = scores.name, f"{PREFIX}without"
    total = ir.node("Add", [scores, joined])
    (output,) = total.outputs
    output.name, output.type, output.shape = name, scores.type, scores.shape
    graph.append(total)
    graph.outputs[0] = output


def _compared(model: ir.Model) -> tuple[ir.Value, ir.Value]:
    """Return the directions of words and of tokens, whose product are the cosines.

    Both are divided by their lengths; nothing else that a graph multiplies is.
    """
    for node in model.graph:
        if node.op_type != "MatMul":
            continue
        left, right = node.inputs
        turned = None if right is None else right.producer()
        if left is None or turned is None or turned.op_type != "Transpose":
            continue
        source = turned.inputs[0]
        if source is not None and all(
            (producer := value.producer()) is not None and producer.op_type == "Div"
            for value in (left, source)
        ):
            return left, source
    raise ModelError(
        "The scoring graph compares no words with tokens",
        fix="Use a reranker with `matching` in its manifest.",
    )


def _trace(
    module: nn.Module, config: AnswerScorerConfig, others: dict[str, Tensor]
) -> ir.Model:
    """Trace a module whose inputs are those of a query, `others`, and the mask of tokens."""
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("document_tokens", min=3)
    words = torch.export.Dim("query_tokens", min=3)
    mask = torch.ones(2, 7, dtype=torch.int64)
    mask[1, 5:] = 0
    inputs = {
        "query_states": torch.rand(1, 5, config.width),
        "query_embedding": torch.rand(1, config.hidden),
        **others,
        "document_mask": mask,
    }
    shapes: dict[str, Any] = {"query_states": {1: words}, "query_embedding": None}
    for name in [*others, "document_mask"]:
        shapes[name] = {1: words} if name.startswith("query") else {0: batch, 1: tokens}
    return to_onnx(module, inputs, shapes, ["scores"])
