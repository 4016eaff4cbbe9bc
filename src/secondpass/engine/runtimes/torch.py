"""PyTorch with transformers: for folders that hold only safetensors (extra `torch`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from secondpass.engine.runtimes import Float32, Int64
from secondpass.errors import MissingExtraError, ModelError


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
    def inputs(self) -> frozenset[str]:
        """The names of the model's inputs."""
        return self._inputs

    def run(self, feeds: Mapping[str, Int64]) -> Float32:
        """Return the logits, shape [batch, labels], for int64 inputs [batch, tokens]."""
        tensors = {name: self._torch.from_numpy(array) for name, array in feeds.items()}
        with self._torch.inference_mode():
            logits = self._model(**tensors).logits
        return np.asarray(logits.float().numpy(), dtype=np.float32)
