"""The ONNX graphs of a scorer of answers: spans.onnx, and its part of model.onnx."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from secondpass.errors import ModelError
from secondpass.train.export.graph_join import join_graph, remove_joined
from secondpass.train.precomputed.answer_scorer import AnswerScorer
from secondpass.train.precomputed.onnx_graphs import trace_scores
from secondpass.train.precomputed.sentence_scorer import SentenceScorer, TokenScores

if TYPE_CHECKING:
    import onnx_ir as ir

PREFIX = "answers."
"""What the names of the part of model.onnx start with."""


class SentenceGraph(nn.Module):
    """A scorer of sentences behind the inputs of the early score's graph, for one query."""

    def __init__(self, scorer: SentenceScorer) -> None:
        super().__init__()
        self.scorer = scorer

    def forward(
        self,
        query_states: Tensor,
        query_embedding: Tensor,
        document_codes: Tensor,
        document_mask: Tensor,
    ) -> TokenScores:
        """Return what is said of the tokens of each window."""
        every = torch.ones_like(query_states[..., 0])
        codes, mask = document_codes.to(torch.float32), document_mask.to(torch.float32)
        found: TokenScores = self.scorer(query_states, every, query_embedding, codes, mask)
        return found


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


def sentence_graph(scorer: SentenceScorer) -> ir.Model:
    """Return spans.onnx: a query and the tokens of windows to the fields of `TokenScores`."""
    return trace_scores(SentenceGraph(scorer), scorer.config, TokenScores._fields)


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
    window = trace_scores(WindowGraph(scorer, weight, length_power), scorer.config)
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
