"""Rerankers built from other rerankers, hosted services and language models.

    >>> from secondpass import Reranker
    >>> from secondpass.policies import Boost, Budgeted, compose
    >>> reranker = Boost(Budgeted(Reranker(), budget_ms=80), "kind", {"faq": 1.0})
    >>> same_budget = compose("bundled", budget_ms=80)

A policy takes a reranker and is one, so policies nest. `compose` builds the usual stack from
options. Names are imported at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from secondpass._lazy import load_public_name

if TYPE_CHECKING:
    from secondpass.composition import compose
    from secondpass.rerank.hosted.model import HostedReranker
    from secondpass.rerank.late_interaction import PrecomputedMaxSim
    from secondpass.rerank.llm.listwise import Listwise
    from secondpass.rerank.llm.pairwise import Pairwise
    from secondpass.rerank.llm.pointwise import Pointwise
    from secondpass.rerank.llm.setwise import Setwise
    from secondpass.rerank.policies.blend import Blend
    from secondpass.rerank.policies.boost import Boost
    from secondpass.rerank.policies.budget import Budgeted
    from secondpass.rerank.policies.calibration import Calibrated
    from secondpass.rerank.policies.cascade import Cascade, fit_margin
    from secondpass.rerank.policies.early_stopping import EarlyStopping
    from secondpass.rerank.policies.ensemble import Ensemble
    from secondpass.rerank.policies.fallback import Fallback
    from secondpass.rerank.policies.mmr import MMR
    from secondpass.rerank.policies.pinned import Pinned
    from secondpass.rerank.policies.recency import Recency
    from secondpass.rerank.policies.rescore import Rescored
    from secondpass.rerank.policies.score_cache import Cached

_MODULES = {
    "Blend": "rerank.policies.blend",
    "Boost": "rerank.policies.boost",
    "Budgeted": "rerank.policies.budget",
    "Cached": "rerank.policies.score_cache",
    "Calibrated": "rerank.policies.calibration",
    "Cascade": "rerank.policies.cascade",
    "EarlyStopping": "rerank.policies.early_stopping",
    "Ensemble": "rerank.policies.ensemble",
    "Fallback": "rerank.policies.fallback",
    "HostedReranker": "rerank.hosted.model",
    "PrecomputedMaxSim": "rerank.late_interaction",
    "Listwise": "rerank.llm.listwise",
    "MMR": "rerank.policies.mmr",
    "Pairwise": "rerank.llm.pairwise",
    "Pinned": "rerank.policies.pinned",
    "Pointwise": "rerank.llm.pointwise",
    "Recency": "rerank.policies.recency",
    "Rescored": "rerank.policies.rescore",
    "Setwise": "rerank.llm.setwise",
    "compose": "composition",
    "fit_margin": "rerank.policies.cascade",
}

__all__ = [
    "MMR",
    "Blend",
    "Boost",
    "Budgeted",
    "Cached",
    "Calibrated",
    "Cascade",
    "EarlyStopping",
    "Ensemble",
    "Fallback",
    "HostedReranker",
    "Listwise",
    "Pairwise",
    "Pinned",
    "Pointwise",
    "PrecomputedMaxSim",
    "Recency",
    "Rescored",
    "Setwise",
    "compose",
    "fit_margin",
]


def __getattr__(name: str) -> object:
    return load_public_name(__name__, _MODULES, name)


def __dir__() -> list[str]:
    return __all__
