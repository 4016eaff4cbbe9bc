"""fastembed's TextCrossEncoder with a model of one's own.

Batches of 64 in the order given, padded to their longest; pairs cut at `model_max_length`
of tokenizer_config.json. Its own models are fp32 exports, so it gets one.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastembed.common.model_description import ModelSource
from fastembed.rerank.cross_encoder import TextCrossEncoder

from speed.engines import EngineSettings

NAME = "bench/cross-encoder"


class FastEmbed:
    """Calls `rerank` with its defaults."""

    def __init__(self, settings: EngineSettings) -> None:
        TextCrossEncoder.add_custom_model(
            NAME, sources=ModelSource(hf=NAME), model_file="model.onnx"
        )
        self._model = TextCrossEncoder(
            NAME,
            threads=settings.threads,
            cuda=False,
            specific_model_path=str(settings.models / "fastembed"),
        )

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one logit a text, in the order of the texts."""
        return list(self._model.rerank(query, list(texts)))


def build(settings: EngineSettings) -> FastEmbed:
    return FastEmbed(settings)
