from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from secondpass.errors import InputError, ModelDamagedError
from secondpass.train.precomputed.initial_weights import from_bert, from_weights, load_bert
from secondpass.train.precomputed.module import (
    MASKED,
    Documents,
    PrecomputedConfig,
    PrecomputedModule,
    Queries,
    words_only,
)
from secondpass.train.precomputed.onnx_graphs import compress_graph, score_graph

pytest.importorskip("onnxscript")

HIDDEN = 32
SHAPE = PrecomputedConfig(
    hidden=HIDDEN, heads=4, intermediate=64, layers=2, codes=16, width=2 * HIDDEN
)


def shaped(**others: float) -> PrecomputedConfig:
    return PrecomputedConfig.from_object({**SHAPE.as_object(), **others})


def random_reader(config: PrecomputedConfig) -> PrecomputedModule:
    torch.manual_seed(3)
    reranker = PrecomputedModule(config).eval()
    with torch.no_grad():
        for parameter in reranker.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return reranker


def batch(queries: int = 2, documents: int = 5, tokens: int = 9) -> tuple[Queries, Documents]:
    """Each query with each document; lengths differ."""
    random = torch.Generator().manual_seed(queries + documents)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random)

    lengths = torch.tensor([tokens - i % 4 for i in range(documents)])
    starts = lengths.cumsum(0) - lengths
    inside = torch.arange(tokens)[None] < lengths[:, None]
    positions = torch.where(inside, starts[:, None] + torch.arange(tokens)[None], 0)
    every = torch.arange(documents).repeat(queries)
    mask = torch.ones(queries, 6)
    mask[0, 5:] = 0
    embeddings = torch.nn.functional.normalize(normal(documents, HIDDEN), dim=1)
    return (
        Queries(
            normal(queries, 6, 2 * HIDDEN),
            mask,
            torch.arange(queries).repeat_interleave(documents),
        ),
        Documents(
            normal(int(lengths.sum()), 2 * HIDDEN),
            positions[every],
            inside.float()[every],
            embeddings[every],
        ),
    )


def test_shut_gates_give_the_order_of_the_bi_encoder(weights: Path) -> None:
    bert = load_bert(weights)
    ids = torch.randint(4, 80, (3, 7), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        hidden = bert(input_ids=ids, output_hidden_states=True)
    config = shaped(layers=1, width=HIDDEN)
    reranker = from_bert(config, bert, hidden.hidden_states[1].flatten(0, 1))
    for layer in reranker.query_layers():
        torch.nn.init.constant_(layer.gate, MASKED)
    _, wide = batch(3, 5)
    documents = wide._replace(states=wide.states[:, :HIDDEN])
    query_of = torch.arange(3).repeat_interleave(5)
    queries = Queries(hidden.hidden_states[1], torch.ones(3, 7), query_of)
    with torch.no_grad():
        scores = reranker(queries, documents)
    mean = torch.nn.functional.normalize(hidden.last_hidden_state.mean(1), dim=1)
    cosines = (mean[query_of] * documents.embeddings).sum(1)
    expected = reranker.scale * cosines + reranker.shift
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=1e-4)
    # Open as they are at first, they change it only a little.
    for layer in reranker.query_layers():
        torch.nn.init.constant_(layer.gate, config.gate)
    with torch.no_grad():
        near = reranker(queries, documents)
    assert np.corrcoef(near.numpy(), expected.detach().numpy())[0, 1] > 0.5
    assert not torch.allclose(near, expected)


@pytest.mark.parametrize("matching", [0, 8])
def test_no_score_depends_on_its_neighbours(matching: int) -> None:
    reranker = random_reader(shaped(matching=matching))
    queries, documents = batch()
    with torch.no_grad():
        together = reranker(queries, documents)
        for pair in range(len(together)):
            one = Documents(
                documents.states,
                documents.positions[pair : pair + 1],
                documents.mask[pair : pair + 1],
                documents.embeddings[pair : pair + 1],
            )
            alone = reranker(queries._replace(query_of=queries.query_of[pair : pair + 1]), one)
            torch.testing.assert_close(alone[0], together[pair], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("matching", "layers"), [(0, 2), (8, 1)])
def test_the_graphs_equal_pytorch(matching: int, layers: int) -> None:
    import onnx_ir as ir

    reranker = random_reader(shaped(matching=matching, layers=layers))
    compress, score = (
        ort.InferenceSession(ir.to_proto(graph).SerializeToString())
        for graph in (compress_graph(reranker), score_graph(reranker))
    )
    for count, tokens, query_tokens in ((1, 4, 3), (5, 9, 6), (3, 21, 11)):
        queries, documents = batch(1, count, tokens)
        states = torch.randn(1, query_tokens, 2 * HIDDEN)
        queries = Queries(states, torch.ones(1, query_tokens), queries.query_of)
        padded = documents.states[documents.positions]
        codes, scales = compress.run(None, {"states": padded.numpy()})
        assert codes.dtype == np.int8
        assert np.abs(codes).max() == 127
        feeds = {
            "query_states": states.numpy(),
            "query_embedding": np.zeros((1, HIDDEN), np.float32),
            "document_codes": codes,
            "document_scales": scales,
            "document_mask": documents.mask.long().numpy(),
            "document_embeddings": documents.embeddings.numpy(),
        }
        with torch.no_grad():
            expected = reranker(queries, documents).numpy()
        np.testing.assert_allclose(score.run(None, feeds)[0], expected, atol=1e-4)


def test_the_gradient_passes_the_rounding() -> None:
    reranker = random_reader(SHAPE)
    queries, documents = batch()
    reranker(queries, documents).sum().backward()
    for name, parameter in reranker.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if name.endswith("key.bias"):
            # All own logits move alike with it; against the document's they differ.
            continue
        assert parameter.grad.abs().sum() > 0, name


def test_words_are_all_but_the_first_and_the_last() -> None:
    mask = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1.0]])
    assert words_only(mask).tolist() == [[0, 1, 1, 0, 0], [0, 0, 0, 0, 0], [0, 1, 1, 1, 0]]


@pytest.mark.parametrize(
    "wrong",
    [{"heads": 5}, {"codes": 0}, {"layers": 1.5}, {"width": 16}, {"matching": 99}],
)
def test_a_shape_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        shaped(**wrong)
    with pytest.raises(InputError):
        PrecomputedConfig.from_object({"size": 3})


def test_weights_of_another_shape_are_refused() -> None:
    weights = random_reader(SHAPE).state_dict()
    assert from_weights(SHAPE.as_object(), weights, Path("here")).config == SHAPE
    with pytest.raises(ModelDamagedError, match="here"):
        from_weights(shaped(codes=8).as_object(), weights, Path("here"))
