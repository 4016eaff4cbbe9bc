"""secondpass' own CrossEncoder.

Batches of 2,048 tokens, padded to one length for ONNX Runtime and OpenVINO and not padded in
its own machine code; the query is never cut. A document that does not fit is read in several
windows unless it is told otherwise: here only its first window is read, so that the work is
that of the others.
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
from speed.engines import NotAvailableError, Setting
from speed.recipes import CHEAP, MARGIN


class Secondpass:
    """Calls `rerank` and puts the results back into the order of the texts."""

    def __init__(self, setting: Setting, folder: str, engine: str = ENGINES[0]) -> None:
        # A worker holds one engine, so nothing else in it is changed by this.
        os.environ[ENVIRONMENT] = engine
        self._length = setting.max_length
        self._model: BaseReranker = Reranker(setting.models / folder, threads=setting.threads)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one logit a text, in the order of the texts."""
        response = self._model.rerank(
            query, texts, max_length=self._length, passages="first", return_documents=False
        )
        logits = [0.0] * len(texts)
        for result in response.results:
            logits[result.index] = result.score
        return logits


class Cascaded(Secondpass):
    """Lets a cheap model rule out candidates; those get the lowest logit of the others."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting, "secondpass-int8")
        said = json.loads((setting.models / "secondpass-cascade" / MARGIN).read_text("utf-8"))
        cheap = Reranker(CHEAP, threads=setting.threads)
        self._model = Cascade(cheap, self._model, Margin(**said))


def int8(setting: Setting) -> Secondpass:
    return Secondpass(setting, "secondpass-int8")


def cascade(setting: Setting) -> Cascaded:
    return Cascaded(setting)


def onnxruntime(setting: Setting) -> Secondpass:
    return Secondpass(setting, "secondpass-int8", "onnxruntime")


def fp32(setting: Setting) -> Secondpass:
    return Secondpass(setting, "secondpass-fp32")


def openvino(setting: Setting) -> Secondpass:
    if find_spec("openvino") is None:
        raise NotAvailableError("openvino is not installed")
    return Secondpass(setting, "secondpass-int8", "openvino")
