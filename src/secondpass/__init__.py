"""secondpass: the second pass of search, with a first pass included.

    >>> from secondpass import Reranker
    >>> response = Reranker().rerank("a question", ["one text", "another text"])

Names are loaded when they are first used, so that importing the package is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from secondpass._version import __version__

if TYPE_CHECKING:
    from secondpass.errors import (
        FilterError,
        IndexNotFoundError,
        IndexStoreError,
        InputError,
        MissingExtraError,
        ModelError,
        ProviderError,
        SecondpassError,
    )
    from secondpass.index.index import Index
    from secondpass.rerank.base import BaseReranker
    from secondpass.rerank.hosted.model import HostedReranker
    from secondpass.rerank.policies.blend import Blend
    from secondpass.rerank.policies.budget import Budgeted
    from secondpass.rerank.policies.calibration import Calibrated
    from secondpass.rerank.policies.cascade import Cascade
    from secondpass.rerank.policies.early_stopping import EarlyStopping
    from secondpass.rerank.policies.fallback import Fallback
    from secondpass.rerank.policies.score_cache import Cached
    from secondpass.rerank.windowing import PassageAggregation
    from secondpass.reranker import Reranker
    from secondpass.retrieve.embedder import Embedder
    from secondpass.types import (
        Candidate,
        Document,
        FirstStageScores,
        RankedDocument,
        RerankResponse,
        ScoreKind,
        Status,
        Usage,
    )

_HOMES = {
    "EarlyStopping": "rerank.policies.early_stopping",
    "BaseReranker": "rerank.base",
    "Blend": "rerank.policies.blend",
    "Budgeted": "rerank.policies.budget",
    "Cached": "rerank.policies.score_cache",
    "Calibrated": "rerank.policies.calibration",
    "Candidate": "types",
    "Cascade": "rerank.policies.cascade",
    "Document": "types",
    "Embedder": "retrieve.embedder",
    "Fallback": "rerank.policies.fallback",
    "FilterError": "errors",
    "FirstStageScores": "types",
    "HostedReranker": "rerank.hosted.model",
    "Index": "index.index",
    "IndexNotFoundError": "errors",
    "IndexStoreError": "errors",
    "InputError": "errors",
    "MissingExtraError": "errors",
    "ModelError": "errors",
    "PassageAggregation": "rerank.windowing",
    "ProviderError": "errors",
    "RankedDocument": "types",
    "Reranker": "reranker",
    "RerankResponse": "types",
    "ScoreKind": "types",
    "SecondpassError": "errors",
    "Status": "types",
    "Usage": "types",
}

__all__ = [
    "EarlyStopping",
    "BaseReranker",
    "Blend",
    "Budgeted",
    "Cached",
    "Calibrated",
    "Candidate",
    "Cascade",
    "Document",
    "Embedder",
    "Fallback",
    "FilterError",
    "FirstStageScores",
    "HostedReranker",
    "Index",
    "IndexNotFoundError",
    "IndexStoreError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "PassageAggregation",
    "ProviderError",
    "RankedDocument",
    "RerankResponse",
    "Reranker",
    "ScoreKind",
    "SecondpassError",
    "Status",
    "Usage",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
