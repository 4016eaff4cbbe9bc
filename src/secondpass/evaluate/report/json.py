"""All figures of a study as one JSON object."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from secondpass.evaluate.report.text import headline, summary_sentences
from secondpass.evaluate.significance import Effect
from secondpass.evaluate.study import Study, VariantResult, verdict


def as_object(study: Study) -> dict[str, Any]:
    """Return every figure; values of single queries by query id."""
    queries = list(study.collection.queries)
    return {
        "headline": headline(study),
        "verdict": str(verdict(study)),
        "sentences": summary_sentences(study),
        "collection": study.collection.name,
        "queries": len(queries),
        "notes": list(study.collection.notes),
        "measure": study.measure,
        "mode": study.mode,
        "depths": list(study.depths),
        "models": list(study.models),
        "blend_weights": {model: dict(w) for model, w in study.blend_weights.items()},
        "timed": study.timed,
        "gain": _effect(study.gain),
        "gain_by_query": dict(zip(queries, study.gain_by_query.tolist(), strict=True)),
        "choice": _result(study.choice, queries),
        "baseline": _result(study.baseline, queries),
        "first_stages": [_result(r, queries) for r in study.first_stages],
        "results": [_result(r, queries) for r in study.results],
        "bounds": [asdict(bound) for bound in study.bounds],
        "probabilities": {m: asdict(check) for m, check in study.probabilities.items()},
        "harmed": [asdict(query) for query in study.harmed],
    }


def _effect(effect: Effect) -> dict[str, Any]:
    return {**asdict(effect), "margin": effect.margin}


def _result(result: VariantResult, queries: list[str]) -> dict[str, Any]:
    variant = result.variant
    return {
        "label": variant.label,
        "model": variant.model,
        "mode": variant.mode,
        "depth": variant.depth,
        "order": variant.order,
        "settings": dict(result.settings),
        "mean": result.mean,
        "effect": _effect(result.effect),
        "p_holm": result.p_holm,
        "t_holm": result.t_holm,
        "judged_at_10": result.judged_at_10,
        "ms": result.ms,
        "added_ms": result.added_ms,
        "by_query": dict(zip(queries, result.values.tolist(), strict=True)),
    }
