"""The answer in one line, and the numbers as they are written."""

from __future__ import annotations

import numpy as np

from secondpass.evaluate.calibration_check import Probabilities
from secondpass.evaluate.reliability import Reliability
from secondpass.evaluate.report.number_format import plain, probability, signed
from secondpass.evaluate.significance import (
    ALPHA,
    Effect,
    effect,
    holm,
    interval,
    queries_needed,
)
from secondpass.evaluate.study import WORTH, Result, Study, Verdict, verdict

MOST_QUERIES = 5000
"""Nobody judges more to settle a gain, so no larger number is named."""


def headline(study: Study) -> str:
    """Return the answer: what to do, what it brings and what it costs."""
    best, gain, found = study.choice, study.honest, verdict(study)
    how = f"{best.family.depth} candidates with {best.family.model}"
    if best.family.order == "alone":
        how += ", without the blend"
    elif best.family.order == "tuned blend":
        how += ", blended by fitted weights"
    cost = f", +{best.added:.0f} ms" if study.timed else ""
    brings = (
        f"{signed(gain.mean)} {study.measure} ± {plain(gain.margin)}, {probability(gain.p)}"
    )
    if found is Verdict.RERANK:
        return f"Rerank {how}: {brings}{cost}; {deeper(study)}."
    if found is Verdict.DO_NOT:
        return (
            f"Do not rerank: {told(study.baseline)} reaches {plain(study.baseline.mean)}"
            f" {study.measure}, and the best second pass ({how}) brings {brings}{cost}."
        )
    deviation = float(study.change.std(ddof=1))
    wanted = queries_needed(gain.mean, deviation)
    more = ""
    if wanted is not None and wanted <= MOST_QUERIES:
        more = f"; to settle a gain of that size, judge about {wanted}"
    return (
        f"Undecided: reranking {how} brings {brings}{cost}, which {len(study.change)} queries"
        f" cannot tell from chance{more}."
    )


def deeper(study: Study) -> str:
    """Return whether more candidates than the chosen depth pay, by paired tests (Holm)."""
    best = study.choice
    more = [
        r for r in study.curve(str(best.family.model)) if r.family.depth > best.family.depth
    ]
    if not more:
        return "deeper was not tried"
    effects = [effect(r.values - best.values) for r in more]
    ps = holm([e.p for e in effects])
    gains = [i for i, e in enumerate(effects) if e.mean > 0 and ps[i] < ALPHA]
    if not gains:
        harm = [i for i, e in enumerate(effects) if e.mean < 0 and ps[i] < ALPHA]
        return "deeper harms" if harm else "deeper does not pay"
    top = max(gains, key=lambda i: effects[i].mean)
    cost = f" for +{more[top].added - best.added:.0f} ms" if study.timed else ""
    return f"{more[top].family.depth} bring {signed(effects[top].mean)} more{cost}"


def told(result: Result) -> str:
    """Return a way to search in words, with what was fitted."""
    settings = result.settings
    if result.family.order == "fusion":
        words, meaning = settings["weights"]
        shares = f"BM25 {plain(words)}, vectors {plain(meaning)}"
        return f"tuned fusion ({settings['fusion']}, {shares})"
    return result.family.label


def sentences(study: Study) -> list[str]:
    """Return what the numbers mean, one thing a sentence."""
    gain, best = study.honest, study.choice
    n = len(study.change)
    lines = [
        f"Against tuned fusion, {gain.won} queries win, {gain.tied} tie, {gain.lost} lose.",
        _bound(study),
    ]
    lines += _shallower(study)
    if gain.detectable is not None:
        lines.append(
            f"With {n} queries that differ as these do, a true gain below"
            f" {plain(gain.detectable)} would be missed more often than one time in five."
        )
    unjudged = 1 - best.judged
    lines.append(
        f"{unjudged:.0%} of its first ten are documents that nobody judged, and count as"
        f" wrong ({1 - study.baseline.judged:.0%} for tuned fusion)."
    )
    first = next((r for r in study.firsts if r.family.mode == study.mode), None)
    if first is not None and study.baseline.family.order == "fusion":
        free = effect(study.baseline.values - first.values)
        lines.append(
            f"Tuning the fusion alone brings {signed(free.mean)} ± {plain(free.margin)} over"
            f" the first pass as it is, and costs nothing."
        )
    checked = study.probabilities.get(str(best.family.model))
    if checked is not None:
        lines.append(promises(checked))
    return lines


def promises(one: Probabilities) -> str:
    """Return how far the probabilities of a model are from the truth, in a sentence."""
    if one.shipped is None and one.calibrated is None:
        return f"The probabilities of {one.model} were not checked: {one.note}."
    own, fitted = one.shipped, one.calibrated
    errors = ["the model gives none" if own is None else f"{_off(own)} as they are"]
    if fitted is not None:
        errors.append(f"{_off(fitted)} calibrated on other queries of this collection")
    told = f"; {one.note}" if one.note is not None else ""
    labels = f"{one.relevant} relevant and {one.irrelevant} other candidates"
    said = f"{', '.join(errors)} ({labels}){told}"
    return f"Expected calibration error of its probabilities: {said}."


def _off(found: Reliability) -> str:
    return f"{plain(found.error)} ({plain(found.error_low)} to {plain(found.error_high)})"


def agreement(gain: Effect) -> str:
    """Return whether the two tests say the same at 5 %."""
    same = (gain.p < ALPHA) == (gain.t < ALPHA)
    return "both tests agree" if same else "the two tests disagree: read it as undecided"


def _shallower(study: Study) -> list[str]:
    """Return the shallowest depth that surely loses less than WORTH against the choice."""
    best = study.choice
    for result in study.curve(str(best.family.model)):
        if result.family.depth >= best.family.depth:
            break
        if interval(result.values - best.values)[0] > -WORTH:
            saved = f", and save {best.added - result.added:.0f} ms" if study.timed else ""
            return [
                f"{result.family.depth} candidates in place of {best.family.depth} surely lose"
                f" less than {plain(WORTH)}{saved}."
            ]
    return []


def _bound(study: Study) -> str:
    depth = study.choice.family.depth
    bound = next(b for b in study.bounds if b.depth == depth)
    room = bound.perfect - study.baseline.mean
    gain = float(np.mean(study.change))
    part = f", of which this takes {max(0.0, gain) / room:.0%}" if room > 1e-9 else ""
    return (
        f"A perfect second pass over the first {depth} would reach {plain(bound.perfect)}:"
        f" {signed(room)} over tuned fusion{part}."
    )
