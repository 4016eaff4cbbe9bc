"""The text of a report: the answer in one line, and sentences on what the figures mean."""

from __future__ import annotations

import numpy as np

from secondpass.evaluate.calibration_check import CalibrationCheck
from secondpass.evaluate.reliability import Reliability
from secondpass.evaluate.report.number_format import (
    format_difference,
    format_number,
    format_p_value,
)
from secondpass.evaluate.significance import (
    ALPHA,
    Effect,
    bootstrap_interval,
    estimate_effect,
    holm_correction,
    queries_needed,
)
from secondpass.evaluate.study import (
    MIN_USEFUL_GAIN,
    Study,
    VariantResult,
    Verdict,
    verdict,
)
from secondpass.evaluate.variant_builders import WITH_NEIGHBORS
from secondpass.evaluate.variants import SearchVariant
from secondpass.option_values import RESCORE_AUTO

_MAX_QUERIES_TO_JUDGE = 5000
"""Nobody judges more queries to settle a gain, so no larger number is suggested."""


def headline(study: Study) -> str:
    """Return the answer: whether to rerank, what it gains and what it costs."""
    best, gain, decision = study.choice, study.gain, verdict(study)
    second_pass = f"{best.variant.depth} candidates with {best.variant.model}"
    if best.variant.order == "alone":
        second_pass += ", without the blend"
    elif best.variant.order == "tuned blend":
        second_pass += ", blended by fitted weights"
    elif best.variant.order == WITH_NEIGHBORS:
        second_pass += ", blended with neighbors by fitted weights"
    elif best.variant.rescorer is not None:
        weight = best.settings["rescore_weight"]
        of = "the first of questions" if _for_questions(best.variant) else "the first"
        second_pass += f", {of} read again by {best.variant.rescorer} (weight {weight:g})"
    cost = f", +{best.added_ms:.0f} ms" if study.timed else ""
    brings = (
        f"{format_difference(gain.mean)} {study.measure} ± {format_number(gain.margin)},"
        f" {format_p_value(gain.p)}"
    )
    if decision is Verdict.RERANK:
        return f"Rerank {second_pass}: {brings}{cost}; {describe_greater_depths(study)}."
    if decision is Verdict.DO_NOT:
        return (
            f"Do not rerank: {describe_variant(study.baseline)} reaches"
            f" {format_number(study.baseline.mean)} {study.measure}, and the best second pass"
            f" ({second_pass}) brings {brings}{cost}."
        )
    needed = queries_needed(gain.mean, float(study.gain_by_query.std(ddof=1)))
    advice = ""
    if needed is not None and needed <= _MAX_QUERIES_TO_JUDGE:
        advice = f"; to settle a gain of that size, judge about {needed}"
    return (
        f"Undecided: reranking {second_pass} brings {brings}{cost}, which"
        f" {len(study.gain_by_query)} queries cannot tell from chance{advice}."
    )


def describe_greater_depths(study: Study) -> str:
    """Return whether more candidates than the chosen depth pay, by paired tests (Holm)."""
    best = study.choice
    curve = study.curve(str(best.variant.model))
    deeper = [r for r in curve if r.variant.depth > best.variant.depth]
    if not deeper:
        return "deeper was not tried"
    effects = [estimate_effect(r.values - best.values) for r in deeper]
    ps = holm_correction([e.p for e in effects])
    significant = [i for i, p in enumerate(ps) if p < ALPHA]
    gains = [i for i in significant if effects[i].mean > 0]
    if not gains:
        harms = any(effects[i].mean < 0 for i in significant)
        return "deeper harms" if harms else "deeper does not pay"
    top = max(gains, key=lambda i: effects[i].mean)
    cost = f" for +{deeper[top].added_ms - best.added_ms:.0f} ms" if study.timed else ""
    gain = format_difference(effects[top].mean)
    return f"{deeper[top].variant.depth} bring {gain} more{cost}"


def describe_variant(result: VariantResult) -> str:
    """Return the label of a search variant, with fitted fusion weights."""
    settings = result.settings
    if result.variant.order == "fusion":
        bm25, vectors = settings["weights"]
        shares = f"BM25 {format_number(bm25)}, vectors {format_number(vectors)}"
        return f"tuned fusion ({settings['fusion']}, {shares})"
    return result.variant.label


def summary_sentences(study: Study) -> list[str]:
    """Return what the numbers mean, one thing a sentence."""
    gain, best = study.gain, study.choice
    lines = [
        f"Against tuned fusion, {gain.won} queries win, {gain.tied} tie, {gain.lost} lose.",
        _describe_bound(study),
    ]
    lines += _describe_smaller_depth(study)
    lines += _describe_second_readings(study)
    if gain.detectable is not None:
        lines.append(
            f"With {len(study.gain_by_query)} queries that differ as these do, a true gain"
            f" below {format_number(gain.detectable)} would be missed more often than one time"
            " in five."
        )
    lines.append(
        f"{1 - best.judged_at_10:.0%} of its first ten are documents that nobody judged, and"
        f" count as not relevant ({1 - study.baseline.judged_at_10:.0%} for tuned fusion)."
    )
    first_stage = next((r for r in study.first_stages if r.variant.mode == study.mode), None)
    if first_stage is not None and study.baseline.variant.order == "fusion":
        fusion_gain = estimate_effect(study.baseline.values - first_stage.values)
        lines.append(
            f"Tuning the fusion alone brings {format_difference(fusion_gain.mean)} ±"
            f" {format_number(fusion_gain.margin)} over the first pass as it is, and costs"
            " nothing."
        )
    check = study.probabilities.get(str(best.variant.model))
    if check is not None:
        lines.append(describe_calibration(check))
    return lines


def describe_calibration(check: CalibrationCheck) -> str:
    """Return how far the probabilities of a model are from relevance, in a sentence."""
    if check.shipped is None and check.calibrated is None:
        return f"The probabilities of {check.model} were not checked: {check.note}."
    errors = ["the model gives none"]
    if check.shipped is not None:
        errors = [f"{_format_error(check.shipped)} as they are"]
    if check.calibrated is not None:
        errors.append(
            f"{_format_error(check.calibrated)} calibrated on other queries of this collection"
        )
    note = f"; {check.note}" if check.note is not None else ""
    labels = f"{check.relevant} relevant and {check.irrelevant} other candidates"
    return (
        f"Expected calibration error of its probabilities: {', '.join(errors)}"
        f" ({labels}){note}."
    )


def _format_error(reliability: Reliability) -> str:
    error, low, high = (
        format_number(value)
        for value in (reliability.error, reliability.error_low, reliability.error_high)
    )
    return f"{error} ({low} to {high})"


def describe_test_agreement(gain: Effect) -> str:
    """Return whether the two tests agree at 5 %."""
    agree = (gain.p < ALPHA) == (gain.t < ALPHA)
    return "both tests agree" if agree else "the two tests disagree: read it as undecided"


def _describe_smaller_depth(study: Study) -> list[str]:
    """Return the smallest depth that surely loses less than a useful gain, if any does."""
    best = study.choice
    for result in study.curve(str(best.variant.model)):
        if result.variant.depth >= best.variant.depth:
            break
        if bootstrap_interval(result.values - best.values)[0] > -MIN_USEFUL_GAIN:
            saved = (
                f", and save {best.added_ms - result.added_ms:.0f} ms" if study.timed else ""
            )
            return [
                f"{result.variant.depth} candidates in place of {best.variant.depth} surely"
                f" lose less than {format_number(MIN_USEFUL_GAIN)}{saved}."
            ]
    return []


def _for_questions(variant: SearchVariant) -> bool:
    """Return whether its rescorer reads for questions alone."""
    return variant.settings[0].get("rescore") == RESCORE_AUTO


def _describe_second_readings(study: Study) -> list[str]:
    """Return what each rescorer adds to the default blend of the chosen depth and model."""
    lines = []
    for result in study.second_readings:
        variant = result.variant
        (blend,) = (
            r
            for r in study.results
            if r.variant.order == "blend"
            and (r.variant.model, r.variant.depth) == (variant.model, variant.depth)
        )
        added = estimate_effect(result.values - blend.values)
        cost = f", +{result.added_ms - blend.added_ms:.0f} ms" if study.timed else ""
        where = " for questions" if _for_questions(variant) else ""
        lines.append(
            f"Read again by {variant.rescorer}{where}, the first of the default blend of"
            f" {variant.depth} bring {format_difference(added.mean)} ±"
            f" {format_number(added.margin)} more, {format_p_value(added.p)}{cost}."
        )
    return lines


def _describe_bound(study: Study) -> str:
    depth = study.choice.variant.depth
    bound = next(b for b in study.bounds if b.depth == depth)
    headroom = bound.perfect - study.baseline.mean
    gain = float(np.mean(study.gain_by_query))
    reached = ""
    if headroom > 1e-9:
        reached = f", of which this reaches {max(0.0, gain) / headroom:.0%}"
    return (
        f"A perfect second pass over the first {depth} would reach"
        f" {format_number(bound.perfect)}: {format_difference(headroom)} over tuned"
        f" fusion{reached}."
    )
