"""FlashRank's Ranker on the weights, laid out as its format wants.

All candidates of a query in one batch, padded to the longest; pairs cut at `max_length`
from whichever of the two is longer. It ships models in dynamic int8, so it gets one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnxruntime as ort
from flashrank import Config, Ranker, RerankRequest

from speed.engines import EngineSettings, NotAvailableError

FOLDER, FILE = "flashrank", "model.onnx"


class FlashRank:
    """Its scores are probabilities in single precision; the logits are got back from them."""

    def __init__(self, settings: EngineSettings) -> None:
        if not (settings.models / FOLDER / FILE).is_file():
            # It would try to download a model of that name.
            raise NotAvailableError("its model could not be made; see .cache/speed/log.txt")
        # Known to the module that reads the table and to the one that owns it: one object.
        Config.model_file_map[FOLDER] = FILE
        self._ranker = Ranker(
            FOLDER,
            cache_dir=str(settings.models),
            max_length=settings.max_length,
            log_level="ERROR",
        )
        options = ort.SessionOptions()
        # Its constructor has no threads; the same file is opened again with as many as others.
        options.intra_op_num_threads = settings.threads
        self._ranker.session = ort.InferenceSession(
            str(settings.models / FOLDER / FILE), options, providers=["CPUExecutionProvider"]
        )

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one logit a text, in the order of the texts."""
        passages = [{"id": i, "text": text} for i, text in enumerate(texts)]
        logits = [0.0] * len(texts)
        for found in self._ranker.rerank(RerankRequest(query=query, passages=passages)):
            logits[found["id"]] = _logit(float(found["score"]))
        return logits


def _logit(probability: float) -> float:
    inside = min(max(probability, 1e-12), 1 - 1e-7)
    return math.log(inside / (1 - inside))


def build(settings: EngineSettings) -> FlashRank:
    return FlashRank(settings)
