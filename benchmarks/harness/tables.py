"""The results as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.comparison import Difference
from harness.fusions import STANDARD
from harness.results import (
    ALONE,
    CONTROL,
    DEFAULT,
    FIRST,
    FUSED,
    READ_AGAIN,
    WITH_NEIGHBORS,
    QualityResults,
    mean,
    union,
)
from harness.suite import SETTINGS
from harness.targets import published
from secondpass.evaluate.score_matrix import COLUMNS, NEIGHBORS
from secondpass.evaluate.significance import holm_correction, randomization_test, win_tie_loss

ANCHORS = (
    "For scale, not measured here: ms-marco-MiniLM-L6-v2, of the same size and trained on MS"
    " MARCO, is published with .688 on SciFact and .349 on NFCorpus over the first 100 of BM25"
    " (.676 and .318), by the public model card"
    " [juanluisdb/MiniLM-L-6-rerank-m3](https://huggingface.co/juanluisdb/MiniLM-L-6-rerank-m3)."
)


def quality_table(results: QualityResults, setting: str) -> list[str]:
    """Return every system's nDCG@10 on each collection, with the tests of the fused one."""
    values, names = results.values[setting], results.names
    order = (FIRST, ALONE, FUSED, READ_AGAIN, WITH_NEIGHBORS, CONTROL)
    systems = [system for system in order if system in values]
    subject = FUSED if FUSED in values else CONTROL
    others = [other for other in (FIRST, CONTROL) if other != subject]
    header = ["collection", *systems]
    for other in others:
        header += [f"over {other}", "p", "won/tied/lost"]
    corrected = {
        other: holm_correction(
            [randomization_test(values[subject][n] - values[other][n]) for n in names]
        )
        for other in others
    }
    lines = [_row(header), _row(["---"] * len(header))]
    for i, name in enumerate(names):
        cells = [f"{name} ({len(values[FIRST][name])})"]
        cells += [f"{values[system][name].mean():.3f}" for system in systems]
        for other in others:
            change = values[subject][name] - values[other][name]
            cells += [f"{change.mean():+.3f}", format_p(corrected[other][i]), _record(change)]
        lines.append(_row(cells))
    groups: list[tuple[str, Sequence[str]]] = [(f"mean of {len(names)}", names)]
    if 0 < len(results.out_of_domain) < len(names):
        unlike = results.out_of_domain
        groups.append((f"mean of the {len(unlike)} unlike the training data", unlike))
    if setting == "hybrid" and 0 < len(results.searched) < len(names):
        groups.append((f"mean of the {len(results.searched)} searched", results.searched))
    for title, group in groups if len(names) > 1 else []:
        cells = [f"**{title}**", *(f"{mean(values[s], group):.3f}" for s in systems)]
        for other in others:
            gain = mean(values[subject], group) - mean(values[other], group)
            change = union(values[subject], group) - union(values[other], group)
            cells += [f"{gain:+.3f}", format_p(randomization_test(change)), _record(change)]
        lines.append(_row(cells))
    return lines


def weights_table(results: QualityResults) -> list[str]:
    """Return the fitted weights by held-out collection."""
    named = {FUSED: "", CONTROL: "no reranker: ", WITH_NEIGHBORS: "with neighbors: "}
    fits = [results.fits[system] for system in named if system in results.fits]
    columns = (*COLUMNS, NEIGHBORS)
    header = ["left out"]
    for system, title in named.items():
        if system in results.fits:
            fitted = results.fits[system].on_all_collections
            first, *rest = [column for column in columns if column in fitted]
            header += [f"{title}{first}", *rest]
    lines = [_row(header), _row(["---"] * len(header))]
    names: Sequence[str | None] = [*(results.names if len(results.names) > 1 else ()), None]
    for name in names:
        cells = ["none: all of them" if name is None else name]
        for fit in fits:
            weights = fit.on_all_collections if name is None else fit.held_out[name]
            cells += [f"{weights[column]:.3f}" for column in columns if column in weights]
        lines.append(_row(cells))
    return lines


def fusions_table(results: QualityResults) -> list[str]:
    """Return nDCG@10 of the other fusions, held out, beside z-scores."""
    header = ["fusion, held out", *SETTINGS.values(), "p against z-scores", "weights on all"]
    lines = [_row(header), _row(["---"] * len(header))]
    fusions = {STANDARD: {s: results.values[s][FUSED] for s in SETTINGS}, **results.fusions}
    for fusion, values in fusions.items():
        fit = results.fits[FUSED] if fusion == STANDARD else results.others[fusion]
        cells = [fusion, *(f"{mean(values[s], results.names):.4f}" for s in SETTINGS)]
        cells.append(
            "-" if fusion == STANDARD else format_p(_against_standard(results, fusion))
        )
        cells.append(", ".join(f"{n} {w:g}" for n, w in fit.on_all_collections.items()))
        lines.append(_row(cells))
    cells = [f"{STANDARD}, default weights (not held out)"]
    cells += [f"{results.mean(s, DEFAULT):.4f}" for s in SETTINGS]
    return [*lines, _row([*cells, "", ""])]


def fusion_verdict(results: QualityResults) -> str:
    """Return whether another fusion clearly beats z-scores.

    Clearly: a better mean in both settings, and p < .01 over the union of questions.
    """
    better = [
        fusion
        for fusion, values in results.fusions.items()
        if all(mean(values[s], results.names) > results.mean(s, FUSED) for s in SETTINGS)
        and _against_standard(results, fusion) < 0.01
    ]
    return f"Clearly better than z-scores: {', '.join(better) if better else 'none'}."


def first_stage_table(results: QualityResults, depth: int) -> list[str]:
    """Return nDCG@10 and recall of the first stages alone."""
    stages = [("bm25", "BM25"), ("vector", "vector"), ("hybrid", "hybrid")]
    header = ["first stage", *(title for _, title in stages)]
    header += [f"recall@{depth} {SETTINGS[s]}" for s in SETTINGS]
    header += [f"published {title}" for _, title in stages[:2]]
    lines = [_row(header), _row(["---"] * len(header))]
    for name in results.names:
        cells = [name]
        for stage, _ in stages:
            of_stage = results.vector if stage == "vector" else results.values[stage][FIRST]
            cells.append(f"{of_stage[name].mean():.3f}" if name in of_stage else "-")
        cells += [f"{results.recall[s][name]:.3f}" for s in SETTINGS]
        cells += [published(name, stage) or "-" for stage, _ in stages[:2]]
        lines.append(_row(cells))
    return lines


def comparison_table(differences: Sequence[Difference], one: str, other: str) -> list[str]:
    """Return the differences of two models on the same candidates."""
    header = ["candidates", "system", one, other, "difference", "p", "RBO of the top 10"]
    lines = [_row(header), _row(["---"] * len(header))]
    for d in differences:
        cells = [SETTINGS[d.setting], d.system, f"{d.one:.4f}", f"{d.other:.4f}"]
        cells += [f"{d.other - d.one:+.4f}", format_p(d.p), f"{d.overlap:.4f}"]
        lines.append(_row(cells))
    return lines


def render_report(results: QualityResults, depth: int, made_by: str) -> str:
    """Return all tables with their captions."""
    parts: list[str] = []
    for setting, title in SETTINGS.items():
        parts += [f"**First stage: the first {depth} of {title}**", ""]
        parts += [*quality_table(results, setting), ""]
    parts += ["**The first stages alone**", "", *first_stage_table(results, depth), ""]
    if len(results.names) > 1:
        parts += ["**The weights, fitted on all other collections**", ""]
        parts += [*weights_table(results), ""]
        if results.fusions:
            parts += ["**Ways to fuse**", "", *fusions_table(results), ""]
            parts += [fusion_verdict(results), ""]
    return "\n".join([*parts, made_by, "", ANCHORS])


def format_p(p: float) -> str:
    """Format a p-value."""
    return f"{p:.3f}" if p >= 0.001 else "< .001"


def _against_standard(results: QualityResults, fusion: str) -> float:
    changes = [
        union(results.fusions[fusion][s], results.names)
        - union(results.values[s][FUSED], results.names)
        for s in SETTINGS
    ]
    # One difference for each question: its two settings are not independent.
    return randomization_test(np.mean(changes, axis=0))


def _record(change: np.ndarray) -> str:
    return "/".join(str(n) for n in win_tie_loss(change))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
