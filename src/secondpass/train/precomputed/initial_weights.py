"""Initial weights of a precomputed reranker: from a BERT, or from a trained one on disk.

From a BERT it takes the last layers, and the principal components of its states.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from secondpass.errors import InputError, ModelDamagedError, ModelError
from secondpass.inference.model_folder import open_folder
from secondpass.train.export.trace import load_model
from secondpass.train.precomputed.module import (
    PrecomputedConfig,
    PrecomputedModule,
    QueryLayer,
)

WEIGHTS = "weights.safetensors"
CONFIG_KEY = "reader"


def is_precomputed(folder: Path) -> bool:
    """Return whether a folder holds an exported precomputed reranker."""
    if not (folder / "secondpass.json").is_file():
        return False
    return open_folder(folder).architecture == "reader"


def from_folder(folder: Path) -> PrecomputedModule:
    """Return the precomputed reranker of an exported folder, from its half-precision weights.

    Raises ModelError for a folder without weights for training, ModelDamagedError if they do
    not fit.
    """
    from safetensors.torch import load

    manifest = open_folder(folder).manifest
    if CONFIG_KEY not in manifest or not (folder / WEIGHTS).is_file():
        raise ModelError(
            "The precomputed reranker has no weights for training",
            where=str(folder),
            why=f"the folder has no {WEIGHTS}",
            fix="Start from another one, or from a transformers folder.",
        )
    return from_weights(manifest[CONFIG_KEY], load((folder / WEIGHTS).read_bytes()), folder)


def from_weights(
    config: Mapping[str, Any], weights: Mapping[str, Tensor], where: Path
) -> PrecomputedModule:
    """Return a precomputed reranker with these sizes and weights.

    Raises InputError for invalid sizes, ModelDamagedError for weights of other sizes.
    """
    reranker = PrecomputedModule(PrecomputedConfig.from_object(config))
    try:
        reranker.load_state_dict({n: tensor.to(torch.float32) for n, tensor in weights.items()})
    except RuntimeError as error:
        raise ModelDamagedError(
            "The weights do not fit the sizes of the precomputed reranker",
            where=str(where),
            why=str(error).splitlines()[-1].strip(),
        ) from error
    return reranker


def from_bert(
    config: PrecomputedConfig, bert: Any, states: Tensor, seed: int = 0
) -> PrecomputedModule:
    """Return a precomputed reranker that starts from the last layers of a `BertModel`.

    `states` float32 [tokens, width] are a sample of the encoder's, from which the initial
    compression is computed: of the last layer, whose tokens match best across texts. Raises
    InputError if the model is not a BERT of these sizes.
    """
    _check_sizes(config, bert)
    reranker = PrecomputedModule(config)
    last = slice(-config.hidden, None)
    mean, axes = principal_axes(states[:, last], config.codes, seed)
    with torch.no_grad():
        reranker.compress.weight.zero_()
        reranker.compress.weight[:, last] = axes.T
        reranker.compress.bias.copy_(-mean @ axes)
        last_layers = bert.encoder.layer[-config.layers :]
        for layer, source in zip(reranker.query_layers(), last_layers, strict=True):
            _copy_layer(layer, source, mean, axes)
        if config.matching:
            width = config.matching
            reranker.match_query.weight.zero_()
            reranker.match_query.weight[:, last] = axes[:, :width].T
            reranker.match_query.bias.copy_(-mean @ axes[:, :width])
            reranker.match_document.weight.copy_(torch.eye(width, config.codes))
    return reranker


def load_bert(folder: Path) -> Any:
    """Load a transformers folder with a BERT; raises as `load_model` does."""
    return load_model(folder, "embedder")


def principal_axes(states: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return the mean of the rows, [width], and `count` orthonormal axes, [width, count].

    The axes are the principal components under a random rotation, so that all codes of a
    token are about equally large and one scale serves them all.
    """
    if len(states) < 2:
        raise InputError(
            "There are too few tokens to compute a compression", why=f"there are {len(states)}"
        )
    mean = states.mean(0)
    centered = states - mean
    values, vectors = torch.linalg.eigh((centered.T @ centered).double())
    components = vectors[:, values.argsort(descending=True)[:count]]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, count, generator=generator, dtype=torch.float64)
    rotation = torch.linalg.qr(noise)[0]
    return mean, (components @ rotation).float()


def _check_sizes(config: PrecomputedConfig, bert: Any) -> None:
    actual = bert.config
    sizes = (config.hidden, config.heads, config.intermediate)
    bert_sizes = (actual.hidden_size, actual.num_attention_heads, actual.intermediate_size)
    if actual.model_type != "bert" or actual.hidden_act != "gelu":
        raise InputError(
            "A precomputed reranker cannot start from this model",
            why=f"it is a {actual.model_type} with {actual.hidden_act}",
            fix="Give a folder with a BERT, such as all-MiniLM-L6-v2.",
        )
    if sizes != bert_sizes or config.layers > actual.num_hidden_layers:
        raise InputError(
            "A precomputed reranker cannot start from this model",
            why=f"its hidden, heads, intermediate are {bert_sizes} and its layers "
            f"{actual.num_hidden_layers}; the reranker's are {sizes} and {config.layers}",
        )


def _copy_layer(layer: QueryLayer, source: Any, mean: Tensor, axes: Tensor) -> None:
    attention = source.attention.self
    equal_modules: tuple[tuple[nn.Module, nn.Module], ...] = (
        (layer.query, attention.query),
        (layer.key, attention.key),
        (layer.value, attention.value),
        (layer.out, source.attention.output.dense),
        (layer.attention_norm, source.attention.output.LayerNorm),
        (layer.up, source.intermediate.dense),
        (layer.down, source.output.dense),
        (layer.norm, source.output.LayerNorm),
    )
    for target, original in equal_modules:
        target.load_state_dict(original.state_dict())
    for target, original in (
        (layer.document_key, attention.key),
        (layer.document_value, attention.value),
    ):
        # W x + b with x ≈ mean + axes c is (W axes) c + (W mean + b).
        target.weight.copy_(original.weight @ axes)
        target.bias.copy_(original.bias + original.weight @ mean)
