"""The reranker of a command, within the policies that its options ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from secondpass.rerank.base import BaseReranker


def second_pass(
    model: str,
    *,
    base_url: str | None = None,
    chain: Sequence[str] = (),
    fallback: bool = False,
    timeout: float | None = None,
    budget_ms: float | None,
    cascade: bool,
    cache: bool,
    exits: bool = False,
    calibration: Path | None = None,
) -> BaseReranker:
    """Load the model and what `--cascade` needs; raises what those and the policies raise."""
    from secondpass.index.compose import CHEAP, compose, default_cache
    from secondpass.registry import load_reranker
    from secondpass.rerank.policies.calibration import Calibrated
    from secondpass.reranker import Reranker

    reranker = compose(
        Reranker(
            model,
            base_url=base_url,
            chain=chain,
            on_failure="fallback" if fallback else "raise",
            timeout=timeout,
            exits=exits,
        ),
        cheap=load_reranker(CHEAP) if cascade else None,
        budget_ms=budget_ms,
        cache=default_cache() if cache else None,
    )
    return reranker if calibration is None else Calibrated(reranker, calibration)
