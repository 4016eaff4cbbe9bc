"""Every reranker that must pass the contract: add a new one here and nowhere else."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from secondpass import BaseReranker, Reranker
from secondpass.composition import Composer
from secondpass.policies import (
    Blend,
    Budgeted,
    Cached,
    Calibrated,
    Cascade,
    EarlyStopping,
    Fallback,
)
from secondpass.rerank.calibration import Calibration
from secondpass.rerank.late_interaction import PrecomputedMaxSim
from secondpass.rerank.llm import Listwise, Pairwise, Pointwise, Setwise
from secondpass.rerank.policies.boost import Boost
from secondpass.rerank.policies.calibration import model_identity
from secondpass.rerank.policies.cascade import Margin
from secondpass.rerank.policies.ensemble import Ensemble
from secondpass.rerank.policies.mmr import MMR
from secondpass.rerank.policies.pinned import Pinned
from secondpass.rerank.policies.recency import Recency
from secondpass.rerank.policies.rescore import Rescored
from secondpass.server.scheduler.queue import WorkQueue
from secondpass.server.scheduler.scheduled_models import ScheduledReranker
from secondpass.testing.llm import OverlapLLM
from tests.loopback.clients import MODELS, client
from tests.loopback.server import Loopback, running
from tests.tiny_language_models import tiny_language_model
from tests.tiny_models import tiny_cross_encoder, tiny_late_interaction, tiny_reader


def _tiny(folder: Path) -> BaseReranker:
    tiny_cross_encoder(folder, "bert", labels=2)
    return Reranker(folder)


def _tiny_decoder(folder: Path) -> BaseReranker:
    tiny_language_model(folder, "qwen3")
    parts = ["Query: {query}", "\n", "Document: {document}", "\n"]
    prompt = {"parts": parts, "positive": "yes", "negative": "no"}
    (folder / "secondpass.json").write_text(json.dumps({"prompt": prompt}))
    return Reranker(folder)


def _tiny_precomputed(folder: Path) -> BaseReranker:
    tiny_reader(folder)
    return Reranker(folder)


@cache
def _server() -> Loopback:
    """One server for the session; its threads end with the program."""
    serving = running()
    _running.append(serving)
    return serving.__enter__()


_running: list[object] = []


def _hosted(folder: Path, *, name: str) -> BaseReranker:
    return client(name, _server())


@cache
def _inner() -> BaseReranker:
    """The model inside of every policy, which reads each text once for all of them.

    No test changes it, and what it keeps of a text changes no score, as "bundled-tiny" itself
    shows.
    """
    return Reranker("bundled-tiny")


@cache
def _larger() -> BaseReranker:
    """The other model of a policy that has two."""
    return Reranker()


def _composed(folder: Path) -> BaseReranker:
    options = {"cascade": True, "budget_ms": 600_000, "cache": folder / "scores.sqlite"}
    return Composer().compose("bundled", options, margin=ALL)


BREAD = "Bread needs flour, water, salt and time."
"""A text of the contract tests that a policy moves."""

# Policies that leave candidates out are held to the contract where they leave out none;
# what holds where they do is in tests/rerank/policies/test_partial_scoring.py.
ALL = Margin(math.inf, k=1)


def _calibrated(folder: Path) -> BaseReranker:
    inner = _inner()
    steps = ((-4.0, 0.01), (-1.0, 0.2), (0.0, 0.2), (5.0, 0.9))
    made = Calibration("isotonic", inner.model, model_identity(inner), steps=steps, spread=3.0)
    return Calibrated(inner, made)


def _tiny_late(folder: Path) -> BaseReranker:
    tiny_late_interaction(folder)
    return Reranker(folder)


FACTORIES: dict[str, Callable[[Path], BaseReranker]] = {
    "bundled": lambda folder: Reranker(),
    "bundled-tiny": lambda folder: Reranker("bundled-tiny"),
    "bundled-full": lambda folder: Reranker("bundled-full"),
    "blend": lambda folder: Blend(_inner()),
    "early stopping": lambda folder: EarlyStopping(_inner(), batch=5, patience=1000),
    "budgeted": lambda folder: Budgeted(_inner(), 600_000),
    "queued": lambda folder: ScheduledReranker(
        _inner(), WorkQueue(10**9, max_batch_work=2000), tokens_at_once=500
    ),
    "cached": lambda folder: Cached(_inner(), folder / "scores.sqlite"),
    "cascade": lambda folder: Cascade(_inner(), _larger(), ALL),
    "composed": _composed,
    "early exit": lambda folder: Reranker(early_exit=True),
    "calibrated": _calibrated,
    "ensemble": lambda folder: Ensemble([_larger(), _inner()]),
    "boost": lambda folder: Boost(_inner(), "kind", {"guide": 1.0}),
    "boost by text": lambda folder: Boost(_inner(), "text", {BREAD: -0.5}),
    "recency": lambda folder: Recency(_inner(), "day"),
    "rescored": lambda folder: Rescored(_inner(), _larger(), window=70),
    "pinned": lambda folder: Pinned(_inner(), first=["pinned"]),
    "mmr": lambda folder: MMR(_inner()),
    "listwise": lambda folder: Listwise(OverlapLLM(), window=70, stride=35),
    "tournament": lambda folder: Listwise(OverlapLLM(), window=70, strategy="tournament"),
    "setwise": lambda folder: Setwise(OverlapLLM(), depth=70, set_size=8),
    "pairwise": lambda folder: Pairwise(OverlapLLM(), concurrency=1),
    "pointwise": lambda folder: Pointwise(OverlapLLM(logprobs=True)),
    "grades": lambda folder: Pointwise(OverlapLLM()),
    "late-interaction": _tiny_late,
    "precomputed maxsim": lambda folder: PrecomputedMaxSim(_inner()),
    "torch": _tiny,
    "decoder": _tiny_decoder,
    "precomputed": _tiny_precomputed,
    "fallback": lambda folder: Fallback(_inner(), timeout=60.0),
    **{name: partial(_hosted, name=name) for name in MODELS},
}
"""Name to factory; a factory gets an empty folder that lives as long as the session."""

SEPARATES_COPIES = {"mmr"}
"""Those that separate copies of one text: their scores differ."""
