"""PyTorch with transformers: for folders that hold only safetensors (extra `torch`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import MissingExtraError, ModelError
from secondpass.inference.runtimes import Feeds, Float32


class TorchRuntime:
    """A sequence-classification model in full precision on the CPU."""

    def __init__(self, folder: Path) -> None:
        try:
            import torch
            from transformers import AutoModelForSequenceClassification
        except ImportError as error:
            raise MissingExtraError(
                "Reading a model that has no ONNX graph", package="transformers", extra="torch"
            ) from error
        try:
            self._model = AutoModelForSequenceClassification.from_pretrained(
                str(folder),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
            ).eval()
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(
                "transformers cannot open the model", where=str(folder), why=str(error)
            ) from error
        self._torch = torch
        segments = int(getattr(self._model.config, "type_vocab_size", 0) or 0) > 1
        names = {"input_ids", "attention_mask"} | ({"token_type_ids"} if segments else set())
        self._inputs = frozenset(names)

    @property
    def engine(self) -> str:
        """The name of this engine."""
        return "torch"

    @property
    def inputs(self) -> frozenset[str]:
        """The names of the model's inputs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """The one output that a classifier has."""
        return ("logits",)

    def run_named(self, feeds: Feeds, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the logits under their name; there is no other output."""
        logits = self.run(feeds)
        return {name: {"logits": logits}[name] for name in names}

    def run(self, feeds: Feeds) -> Float32:
        """Return the logits, shape [batch, labels], for int64 inputs [batch, tokens]."""
        tensors = {name: self._torch.from_numpy(array) for name, array in feeds.items()}
        with self._torch.inference_mode():
            logits = self._model(**tensors).logits
        return np.asarray(logits.float().numpy(), dtype=np.float32)
