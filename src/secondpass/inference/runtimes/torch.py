"""PyTorch with transformers: for folders that hold only safetensors (extra `torch`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.inference.model_folder import ModelFolder
from secondpass.inference.runtimes.classifier_head import build_head, has_head, last_states
from secondpass.inference.runtimes.pretrained import load_pretrained
from secondpass.inference.types import BaseRuntime, Feeds


class TorchRuntime(BaseRuntime):
    """A sequence classifier in single precision, on the CPU unless `device` says otherwise.

    Padding must be behind the tokens. Raises what `load_pretrained` raises, and `ModelError`
    for modules of sentence-transformers that are not known here.
    """

    engine = "torch"

    def __init__(self, folder: ModelFolder, *, device: str | None = None) -> None:
        modular = has_head(folder)
        auto = "AutoModel" if modular else "AutoModelForSequenceClassification"
        self._model = load_pretrained(folder, auto, device=device)
        self._head = build_head(folder, self._model.device) if modular else None
        segments = int(getattr(self._model.config, "type_vocab_size", 0) or 0) > 1
        names = {"input_ids", "attention_mask"} | ({"token_type_ids"} if segments else set())
        super().__init__(frozenset(names), ("logits",))

    def run_named(self, feeds: Feeds, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the logits, float32 [batch, labels], for int64 inputs [batch, tokens]."""
        import torch

        tensors = {
            name: torch.from_numpy(array).to(self._model.device)
            for name, array in feeds.items()
        }
        with torch.inference_mode():
            logits = self._logits(tensors)
        outputs = {"logits": np.asarray(logits.float().cpu().numpy(), dtype=np.float32)}
        return {name: outputs[name] for name in names}

    def _logits(self, tensors: dict[str, Any]) -> Any:
        model, mask = self._model, tensors["attention_mask"]
        if self._head is not None:
            return self._head(model(**tensors).last_hidden_state, mask)
        if not hasattr(model, "score"):
            return model(**tensors).logits
        # A decoder is read at its last token. transformers looks for it by the padding id,
        # which many decoders do not have, and which a text may contain.
        encoder = getattr(model, model.base_model_prefix)
        return model.score(last_states(encoder(**tensors).last_hidden_state, mask))
