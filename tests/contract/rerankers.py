"""Every reranker that must pass the contract: add a new one here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from secondpass import BaseReranker, Blend, Reranker
from secondpass.rerank.late_interaction import KeptMaxSim
from secondpass.rerank.llm import Listwise, Pairwise, Pointwise, Setwise
from secondpass.rerank.policies.boost import Boost
from secondpass.rerank.policies.diverse import Diverse
from secondpass.rerank.policies.ensemble import Ensemble
from secondpass.rerank.policies.pin import Pinned
from secondpass.rerank.policies.recency import Recency
from secondpass.testing.overlap import OverlapLLM
from tests.tiny_models import tiny_cross_encoder, tiny_late_interaction, tiny_reader


def _tiny(folder: Path) -> BaseReranker:
    tiny_cross_encoder(folder, "bert", labels=2)
    return Reranker(folder)


def _tiny_reader(folder: Path) -> BaseReranker:
    tiny_reader(folder)
    return Reranker(folder)


def _tiny_late(folder: Path) -> BaseReranker:
    tiny_late_interaction(folder)
    return Reranker(folder)


FACTORIES: dict[str, Callable[[Path], BaseReranker]] = {
    "bundled": lambda folder: Reranker(),
    "bundled-tiny": lambda folder: Reranker("bundled-tiny"),
    "blend": lambda folder: Blend(Reranker()),
    "ensemble": lambda folder: Ensemble([Reranker(), Reranker("bundled-tiny")]),
    "boost": lambda folder: Boost(Reranker(), "kind", {"guide": 1.0}),
    "recency": lambda folder: Recency(Reranker(), "day"),
    "pinned": lambda folder: Pinned(Reranker(), first=["pinned"]),
    "diverse": lambda folder: Diverse(Reranker()),
    "listwise": lambda folder: Listwise(OverlapLLM(), window=70, stride=35),
    "tournament": lambda folder: Listwise(OverlapLLM(), window=70, strategy="tournament"),
    "setwise": lambda folder: Setwise(OverlapLLM(), depth=70, set_size=8),
    "pairwise": lambda folder: Pairwise(OverlapLLM(), concurrency=1),
    "pointwise": lambda folder: Pointwise(OverlapLLM(logprobs=True)),
    "grades": lambda folder: Pointwise(OverlapLLM()),
    "late-interaction": _tiny_late,
    "maxsim": lambda folder: KeptMaxSim(Reranker()),
    "torch": _tiny,
    "reader": _tiny_reader,
}
"""Name to factory; a factory gets an empty folder that lives as long as the session."""

SEPARATES_COPIES = {"diverse"}
"""Those that mean to put copies of one text apart: they stand in order, with scores apart."""
