"""secondpass's CrossEncoder.

Batches of 2,048 tokens, padded to one length for ONNX Runtime and OpenVINO and not padded in
its own machine code; the query is never truncated. A document that does not fit has several
windows by default: here only its first window is scored, so that the work is that of the
others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.util import find_spec

from secondpass import BaseReranker, Reranker
from secondpass.inference.runtimes import ENGINES, ENVIRONMENT
from secondpass.policies import Cascade
from secondpass.rerank.policies.cascade import Margin
from speed.engines import EngineSettings, NotAvailableError
from speed.recipes import CHEAP, MARGIN


class SecondpassEngine:
    """Calls `rerank` and restores the order of the texts."""

    def __init__(self, settings: EngineSettings, folder: str, engine: str = ENGINES[0]) -> None:
        # A worker holds one engine, so nothing else in it is changed by this.
        os.environ[ENVIRONMENT] = engine
        self._length = settings.max_length
        self._model: BaseReranker = Reranker(settings.models / folder, threads=settings.threads)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one logit for each text."""
        response = self._model.rerank(
            query, texts, max_length=self._length, passages="first", return_documents=False
        )
        logits = [0.0] * len(texts)
        for result in response.results:
            logits[result.index] = result.score
        return logits


class CascadeEngine(SecondpassEngine):
    """A cheap model rules out candidates; those get the lowest logit of the others."""

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings, "secondpass-int8")
        margin = json.loads(
            (settings.models / "secondpass-cascade" / MARGIN).read_text("utf-8")
        )
        cheap = Reranker(CHEAP, threads=settings.threads)
        self._model = Cascade(cheap, self._model, Margin(**margin))


def int8(settings: EngineSettings) -> SecondpassEngine:
    return SecondpassEngine(settings, "secondpass-int8")


def cascade(settings: EngineSettings) -> CascadeEngine:
    return CascadeEngine(settings)


def onnxruntime(settings: EngineSettings) -> SecondpassEngine:
    return SecondpassEngine(settings, "secondpass-int8", "onnxruntime")


def fp32(settings: EngineSettings) -> SecondpassEngine:
    return SecondpassEngine(settings, "secondpass-fp32")


def openvino(settings: EngineSettings) -> SecondpassEngine:
    if find_spec("openvino") is None:
        raise NotAvailableError("openvino is not installed")
    return SecondpassEngine(settings, "secondpass-int8", "openvino")
