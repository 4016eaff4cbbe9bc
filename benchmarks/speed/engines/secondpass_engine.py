"""secondpass' own CrossEncoder.

Batches of 2,048 tokens of one padded length; the query is never cut. A document that does
not fit is read in several windows unless it is told otherwise: here only its first window
is read, so that the work is that of the others.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from secondpass import Reranker
from speed.engines import NotAvailableError, Setting


class Secondpass:
    """Calls `rerank` and puts the results back into the order of the texts."""

    def __init__(self, setting: Setting, folder: str, **how: Any) -> None:
        self._length = setting.max_length
        self._model = Reranker(setting.models / folder, threads=setting.threads, **how)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one logit a text, in the order of the texts."""
        response = self._model.rerank(
            query, texts, max_length=self._length, passages="first", return_documents=False
        )
        logits = [0.0] * len(texts)
        for result in response.results:
            logits[result.index] = result.score
        return logits


def int8(setting: Setting) -> Secondpass:
    return Secondpass(setting, "secondpass-int8")


def fp32(setting: Setting) -> Secondpass:
    return Secondpass(setting, "secondpass-fp32")


def openvino(setting: Setting) -> Secondpass:
    if "runtime" not in inspect.signature(Reranker).parameters:
        raise NotAvailableError("this version has no OpenVINO runtime")
    return Secondpass(setting, "secondpass-int8", runtime="openvino")
