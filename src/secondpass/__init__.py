"""secondpass: search in two passes, retrieval and reranking, on a CPU.

    >>> from secondpass import Reranker
    >>> response = Reranker().rerank("a question", ["one text", "another text"])

Names are imported at first use, so that `import secondpass` is quick. Other public
namespaces: `secondpass.policies`, `secondpass.providers`, `secondpass.answer`,
`secondpass.explain`, `secondpass.evaluate`, `secondpass.train`, `secondpass.testing` and
`secondpass.integrations`.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING

from secondpass._lazy import load_public_name
from secondpass._version import __version__

if TYPE_CHECKING:
    from secondpass.errors import (
        FilterError,
        IndexNotFoundError,
        IndexStoreError,
        InputError,
        LLMError,
        MissingExtraError,
        ModelDamagedError,
        ModelError,
        ModelNotFoundError,
        ProviderError,
        ProviderTimeoutError,
        ReadError,
        RetrieverError,
        SecondpassError,
        TextTooLongError,
    )
    from secondpass.index.index import Index
    from secondpass.index.search import Search
    from secondpass.rerank.base import BaseReranker
    from secondpass.rerank.score import Score, Scored
    from secondpass.rerank.scoring_options import ScoringOptions
    from secondpass.rerank.spans import Spans
    from secondpass.rerank.windowing import PassageAggregation
    from secondpass.reranker import Reranker
    from secondpass.retrieve.embedder import Embedder
    from secondpass.types import (
        Candidate,
        Document,
        FirstStageScores,
        Origin,
        RankedDocument,
        RerankResponse,
        ScoreKind,
        Span,
        Status,
        Usage,
    )

_MODULES = {
    "BaseReranker": "rerank.base",
    "Candidate": "types",
    "Document": "types",
    "Embedder": "retrieve.embedder",
    "FilterError": "errors",
    "FirstStageScores": "types",
    "Index": "index.index",
    "IndexNotFoundError": "errors",
    "IndexStoreError": "errors",
    "InputError": "errors",
    "LLMError": "errors",
    "MissingExtraError": "errors",
    "ModelDamagedError": "errors",
    "ModelError": "errors",
    "ModelNotFoundError": "errors",
    "Origin": "types",
    "PassageAggregation": "rerank.windowing",
    "ProviderError": "errors",
    "ProviderTimeoutError": "errors",
    "RankedDocument": "types",
    "ReadError": "errors",
    "RerankResponse": "types",
    "Reranker": "reranker",
    "RetrieverError": "errors",
    "Score": "rerank.score",
    "ScoreKind": "types",
    "Scored": "rerank.score",
    "ScoringOptions": "rerank.scoring_options",
    "Search": "index.search",
    "SecondpassError": "errors",
    "Span": "types",
    "Spans": "rerank.spans",
    "Status": "types",
    "TextTooLongError": "errors",
    "Usage": "types",
}

_NAMESPACES = frozenset(
    {
        "answer",
        "evaluate",
        "explain",
        "integrations",
        "policies",
        "providers",
        "testing",
        "train",
    }
)

# Names of 0.1 that are kept for one release.
_DEPRECATED = {
    "Adaptive": "secondpass.policies.EarlyStopping",
    "Blend": "secondpass.policies.Blend",
    "Budgeted": "secondpass.policies.Budgeted",
    "Cached": "secondpass.policies.Cached",
    "Calibrated": "secondpass.policies.Calibrated",
    "Cascade": "secondpass.policies.Cascade",
    "Fallback": "secondpass.policies.Fallback",
    "Hosted": "secondpass.policies.HostedReranker",
    "Passages": "secondpass.PassageAggregation",
}

__all__ = [
    "BaseReranker",
    "Candidate",
    "Document",
    "Embedder",
    "FilterError",
    "FirstStageScores",
    "Index",
    "IndexNotFoundError",
    "IndexStoreError",
    "InputError",
    "LLMError",
    "MissingExtraError",
    "ModelDamagedError",
    "ModelError",
    "ModelNotFoundError",
    "Origin",
    "PassageAggregation",
    "ProviderError",
    "ProviderTimeoutError",
    "RankedDocument",
    "ReadError",
    "RerankResponse",
    "Reranker",
    "RetrieverError",
    "Score",
    "ScoreKind",
    "Scored",
    "ScoringOptions",
    "Search",
    "SecondpassError",
    "Span",
    "Spans",
    "Status",
    "TextTooLongError",
    "Usage",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name in _DEPRECATED:
        replacement = _DEPRECATED[name]
        warnings.warn(
            f"secondpass.{name} is deprecated and will be removed in the next release: "
            f"use {replacement}",
            DeprecationWarning,
            stacklevel=2,
        )
        module, _, new_name = replacement.rpartition(".")
        return getattr(import_module(module), new_name)
    if name in _NAMESPACES:
        return import_module(f"secondpass.{name}")
    return load_public_name(__name__, _MODULES, name)


def __dir__() -> list[str]:
    return sorted([*__all__, *_NAMESPACES])
