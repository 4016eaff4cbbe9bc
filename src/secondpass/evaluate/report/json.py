"""All figures of a study as one JSON object."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from secondpass.evaluate.report.text import headline, sentences
from secondpass.evaluate.significance import Effect
from secondpass.evaluate.study import Result, Study, verdict


def as_object(study: Study) -> dict[str, Any]:
    """Return every figure; values of single queries by query id."""
    names = list(study.collection.queries)
    return {
        "headline": headline(study),
        "verdict": str(verdict(study)),
        "sentences": sentences(study),
        "collection": study.collection.name,
        "queries": len(names),
        "notes": list(study.collection.notes),
        "measure": study.measure,
        "mode": study.mode,
        "depths": list(study.depths),
        "models": list(study.models),
        "blend_weights": {model: dict(w) for model, w in study.blends.items()},
        "timed": study.timed,
        "gain": _effect(study.honest),
        "gain_by_query": dict(zip(names, study.change.tolist(), strict=True)),
        "choice": _result(study.choice, names),
        "baseline": _result(study.baseline, names),
        "first_stages": [_result(r, names) for r in study.firsts],
        "results": [_result(r, names) for r in study.results],
        "bounds": [asdict(bound) for bound in study.bounds],
        "probabilities": {m: asdict(one) for m, one in study.probabilities.items()},
        "harmed": [asdict(harm) for harm in study.harmed],
    }


def _effect(effect: Effect) -> dict[str, Any]:
    return {**asdict(effect), "margin": effect.margin}


def _result(result: Result, names: list[str]) -> dict[str, Any]:
    family = result.family
    return {
        "label": family.label,
        "model": family.model,
        "mode": family.mode,
        "depth": family.depth,
        "order": family.order,
        "settings": dict(result.settings),
        "mean": result.mean,
        "effect": _effect(result.effect),
        "p_holm": result.p,
        "t_holm": result.t,
        "judged_at_10": result.judged,
        "ms": result.ms,
        "added_ms": result.added,
        "by_query": dict(zip(names, result.values.tolist(), strict=True)),
    }
