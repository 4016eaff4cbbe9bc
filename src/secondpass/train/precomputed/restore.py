"""A trained reader back from disk, to go on training it or to export it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secondpass.errors import ModelDamagedError, ModelError
from secondpass.inference.model_folder import open_folder
from secondpass.train.precomputed.config import ReaderConfig
from secondpass.train.precomputed.module import Reader

WEIGHTS = "weights.safetensors"
SHAPE = "reader"


def is_reader(folder: Path) -> bool:
    """Whether a folder holds an exported reader, rather than transformers weights."""
    if not (folder / "secondpass.json").is_file():
        return False
    return open_folder(folder).architecture == "reader"


def from_folder(folder: Path) -> Reader:
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
) -> Reader:
    """Return a reader of that shape with these weights.

    Raises InputError for a shape that cannot be, ModelDamagedError for weights of another.
    """
    reader = Reader(ReaderConfig.from_object(shape))
    try:
        reader.load_state_dict({name: one.to(torch.float32) for name, one in weights.items()})
    except RuntimeError as error:
        raise ModelDamagedError(
            "The reader's weights do not fit its shape",
            where=str(where),
            why=str(error).splitlines()[-1].strip(),
        ) from error
    return reader
