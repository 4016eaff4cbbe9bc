"""PyTorch with transformers: for folders that hold only safetensors (extra `torch`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import MissingExtraError, ModelError
from secondpass.inference.types import BaseRuntime, Feeds


class TorchRuntime(BaseRuntime):
    """A sequence-classification model in single precision on the CPU."""

    engine = "torch"

    def __init__(self, folder: Path) -> None:
        try:
            import torch
            from transformers import AutoModelForSequenceClassification
        except ImportError as error:
            raise MissingExtraError(
                "Loading a model without an ONNX graph", package="transformers", extra="torch"
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
        super().__init__(frozenset(names), ("logits",))

    def run_named(self, feeds: Feeds, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the logits, float32 [batch, labels], for int64 inputs [batch, tokens]."""
        tensors = {name: self._torch.from_numpy(array) for name, array in feeds.items()}
        with self._torch.inference_mode():
            logits = self._model(**tensors).logits
        outputs = {"logits": np.asarray(logits.float().numpy(), dtype=np.float32)}
        return {name: outputs[name] for name in names}
