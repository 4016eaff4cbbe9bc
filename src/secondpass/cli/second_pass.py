"""The reranker of a command, within the policies that its options ask for."""

from __future__ import annotations

from pathlib import Path

from secondpass.rerank.base import BaseReranker


def second_pass(
    model: str,
    *,
    budget_ms: float | None,
    cascade: bool,
    cache: bool,
    calibration: Path | None = None,
) -> BaseReranker:
    """Load the model and what `--cascade` needs; raises what those and the policies raise."""
    from secondpass.registry import load_reranker
    from secondpass.rerank.policies.calibration import Calibrated
    from secondpass.rerank.policies.compose import CHEAP, compose, default_cache

    reranker = compose(
        load_reranker(model),
        cheap=load_reranker(CHEAP) if cascade else None,
        budget_ms=budget_ms,
        cache=default_cache() if cache else None,
    )
    return reranker if calibration is None else Calibrated(reranker, calibration)
