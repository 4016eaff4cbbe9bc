"""The first weights of a reader: a BERT's last layers, and the main axes of its states.

A trained reader back from disk, to go on training it or to export it.
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
    ReadingLayer,
)

WEIGHTS = "weights.safetensors"
SHAPE = "reader"


def is_reader(folder: Path) -> bool:
    """Whether a folder holds an exported reader, rather than transformers weights."""
    if not (folder / "secondpass.json").is_file():
        return False
    return open_folder(folder).architecture == "reader"


def from_folder(folder: Path) -> PrecomputedModule:
    """Return the reader of an exported folder, with weights in half precision as stored.

    Raises ModelError for a folder without weights to train on, ModelDamagedError if they do
    not fit.
    """
    from safetensors.torch import load

    manifest = open_folder(folder).manifest
    if SHAPE not in manifest or not (folder / WEIGHTS).is_file():
        raise ModelError(
            "The reader has no weights to go on from",
            where=str(folder),
            why=f"it holds no {WEIGHTS}",
            fix="Start from another reader, or from a transformers folder.",
        )
    return from_weights(manifest[SHAPE], load((folder / WEIGHTS).read_bytes()), folder)


def from_weights(
    shape: Mapping[str, Any], weights: Mapping[str, Tensor], where: Path
) -> PrecomputedModule:
    """Return a reader of that shape with these weights.

    Raises InputError for a shape that cannot be, ModelDamagedError for weights of another.
    """
    reader = PrecomputedModule(PrecomputedConfig.from_object(shape))
    try:
        reader.load_state_dict({name: one.to(torch.float32) for name, one in weights.items()})
    except RuntimeError as error:
        raise ModelDamagedError(
            "The reader's weights do not fit its shape",
            where=str(where),
            why=str(error).splitlines()[-1].strip(),
        ) from error
    return reader


def from_bert(
    config: PrecomputedConfig, bert: Any, states: Tensor, seed: int = 0
) -> PrecomputedModule:
    """Return a reader that starts from the last layers of a `BertModel`.

    `states` float32 [tokens, width] are a sample of the encoder's, from which the
    compression is found: the codes begin as those of the last layer, whose tokens match
    best across texts. Raises InputError if the model is no BERT of that shape.
    """
    _check(config, bert)
    reader = PrecomputedModule(config)
    last = slice(-config.hidden, None)
    mean, axes = main_axes(states[:, last], config.codes, seed)
    with torch.no_grad():
        reader.compress.weight.zero_()
        reader.compress.weight[:, last] = axes.T
        reader.compress.bias.copy_(-mean @ axes)
        used = bert.encoder.layer[-config.layers :]
        for layer, source in zip(reader.reading_layers(), used, strict=True):
            _copy(layer, source, mean, axes)
        if config.matching:
            few = config.matching
            reader.match_query.weight.zero_()
            reader.match_query.weight[:, last] = axes[:, :few].T
            reader.match_query.bias.copy_(-mean @ axes[:, :few])
            reader.match_document.weight.copy_(torch.eye(few, config.codes))
    return reader


def load_bert(folder: Path) -> Any:
    """Read a transformers folder that holds a BERT; raises as `load_model` does."""
    return load_model(folder, "embedder")


def main_axes(states: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return the mean of rows and `count` orthonormal axes that keep most of the rest.

    The mean is [width]; the axes are [width, count]. They are the principal components,
    turned at random among themselves, so that all codes of a token are about equally large
    and one scale a token serves them all.
    """
    if len(states) < 2:
        raise InputError("there are too few tokens to find a compression", why=f"{len(states)}")
    mean = states.mean(0)
    rest = states - mean
    values, vectors = torch.linalg.eigh((rest.T @ rest).double())
    main = vectors[:, values.argsort(descending=True)[:count]]
    random = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(count, count, generator=random, dtype=torch.float64))[0]
    return mean, (main @ turn).float()


def _check(config: PrecomputedConfig, bert: Any) -> None:
    theirs = bert.config
    wanted = (config.hidden, config.heads, config.intermediate)
    found = (theirs.hidden_size, theirs.num_attention_heads, theirs.intermediate_size)
    if theirs.model_type != "bert" or theirs.hidden_act != "gelu":
        raise InputError(
            "a reader cannot start from this model",
            why=f"it is a {theirs.model_type} with {theirs.hidden_act}",
            fix="Give a folder with a BERT, such as all-MiniLM-L6-v2.",
        )
    if wanted != found or config.layers > theirs.num_hidden_layers:
        raise InputError(
            "a reader cannot start from this model",
            why=f"hidden, heads, intermediate are {found} and layers "
            f"{theirs.num_hidden_layers}; wanted are {wanted} and {config.layers}",
        )


def _copy(layer: ReadingLayer, source: Any, mean: Tensor, axes: Tensor) -> None:
    attention = source.attention.self
    same: tuple[tuple[nn.Module, nn.Module], ...] = (
        (layer.query, attention.query),
        (layer.key, attention.key),
        (layer.value, attention.value),
        (layer.out, source.attention.output.dense),
        (layer.attention_norm, source.attention.output.LayerNorm),
        (layer.up, source.intermediate.dense),
        (layer.down, source.output.dense),
        (layer.norm, source.output.LayerNorm),
    )
    for mine, theirs in same:
        mine.load_state_dict(theirs.state_dict())
    for mine, theirs in (
        (layer.document_key, attention.key),
        (layer.document_value, attention.value),
    ):
        # W x + b with x ≈ mean + axes c is (W axes) c + (W mean + b).
        mine.weight.copy_(theirs.weight @ axes)
        mine.bias.copy_(theirs.bias + theirs.weight @ mean)
