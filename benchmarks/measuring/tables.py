"""What was measured, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from measuring.bars import published
from measuring.comparison import Difference
from measuring.fusions import STANDARD
from measuring.suite import SETTINGS
from measuring.values import ALONE, CONTROL, DEFAULT, FIRST, FUSED, Measured, mean, union
from secondpass.evaluate.score_matrix import COLUMNS
from secondpass.evaluate.significance import holm_correction, randomization_test, win_tie_loss

ANCHORS = (
    "For scale, not measured here: ms-marco-MiniLM-L6-v2, of the same size and trained on MS"
    " MARCO, is published with .688 on SciFact and .349 on NFCorpus over the first 100 of BM25"
    " (.676 and .318), by the public model card"
    " [juanluisdb/MiniLM-L-6-rerank-m3](https://huggingface.co/juanluisdb/MiniLM-L-6-rerank-m3)."
)


def quality_table(measured: Measured, setting: str) -> list[str]:
    """Return every system's nDCG@10 on each collection, with the tests of the fused one."""
    values, names = measured.values[setting], measured.names
    systems = [s for s in (FIRST, ALONE, FUSED, CONTROL) if s in values]
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
            cells += [f"{change.mean():+.3f}", shown(corrected[other][i]), _record(change)]
        lines.append(_row(cells))
    groups: list[tuple[str, Sequence[str]]] = [(f"mean of {len(names)}", names)]
    if 0 < len(measured.unfamiliar) < len(names):
        strange = measured.unfamiliar
        groups.append((f"mean of the {len(strange)} unlike the training data", strange))
    if setting == "hybrid" and 0 < len(measured.searched) < len(names):
        groups.append((f"mean of the {len(measured.searched)} searched", measured.searched))
    for title, group in groups if len(names) > 1 else []:
        cells = [f"**{title}**", *(f"{mean(values[s], group):.3f}" for s in systems)]
        for other in others:
            gain = mean(values[subject], group) - mean(values[other], group)
            change = union(values[subject], group) - union(values[other], group)
            cells += [f"{gain:+.3f}", shown(randomization_test(change)), _record(change)]
        lines.append(_row(cells))
    return lines


def weights_table(measured: Measured) -> list[str]:
    """Return the fitted weights, by the collection that was left out."""
    with_reranker, without = measured.fits.get(FUSED), measured.fits[CONTROL]
    header = ["left out", *(COLUMNS if with_reranker else ()), "no reranker: vector", "bm25"]
    lines = [_row(header), _row(["---"] * len(header))]
    fits = [f for f in (with_reranker, without) if f is not None]
    names: Sequence[str | None] = [*(measured.names if len(measured.names) > 1 else ()), None]
    for name in names:
        cells = ["none: to ship" if name is None else name]
        for fit in fits:
            found = fit.everywhere if name is None else fit.held[name]
            cells += [f"{found[column]:.3f}" for column in COLUMNS if column in found]
        lines.append(_row(cells))
    return lines


def fusions_table(measured: Measured) -> list[str]:
    """Return what the other ways to fuse reach, held out, next to z-scores."""
    header = ["fusion, held out", *SETTINGS.values(), "p against z-scores", "weights on all"]
    lines = [_row(header), _row(["---"] * len(header))]
    ways = {STANDARD: {s: measured.values[s][FUSED] for s in SETTINGS}, **measured.fusions}
    for way, values in ways.items():
        fit = measured.fits[FUSED] if way == STANDARD else measured.others[way]
        cells = [way, *(f"{mean(values[s], measured.names):.4f}" for s in SETTINGS)]
        cells.append("-" if way == STANDARD else shown(_against_standard(measured, way)))
        cells.append(", ".join(f"{n} {w:g}" for n, w in fit.everywhere.items()))
        lines.append(_row(cells))
    cells = [f"{STANDARD}, default weights (not held out)"]
    cells += [f"{measured.mean(s, DEFAULT):.4f}" for s in SETTINGS]
    return [*lines, _row([*cells, "", ""])]


def fusion_verdict(measured: Measured) -> str:
    """Return whether another way to fuse clearly beats z-scores.

    Clearly: a better mean in both settings, and p < .01 over the union of questions.
    """
    better = [
        way
        for way, values in measured.fusions.items()
        if all(mean(values[s], measured.names) > measured.mean(s, FUSED) for s in SETTINGS)
        and _against_standard(measured, way) < 0.01
    ]
    return f"Clearly better than z-scores: {', '.join(better) if better else 'none'}."


def first_stage_table(measured: Measured, depth: int) -> list[str]:
    """Return nDCG@10 and recall of the first stages alone."""
    stages = [("bm25", "BM25"), ("vector", "vector"), ("hybrid", "hybrid")]
    header = ["first stage", *(title for _, title in stages)]
    header += [f"recall@{depth} {SETTINGS[s]}" for s in SETTINGS]
    header += [f"published {title}" for _, title in stages[:2]]
    lines = [_row(header), _row(["---"] * len(header))]
    for name in measured.names:
        cells = [name]
        for stage, _ in stages:
            of_stage = measured.vector if stage == "vector" else measured.values[stage][FIRST]
            cells.append(f"{of_stage[name].mean():.3f}" if name in of_stage else "-")
        cells += [f"{measured.recall[s][name]:.3f}" for s in SETTINGS]
        cells += [published(name, stage) or "-" for stage, _ in stages[:2]]
        lines.append(_row(cells))
    return lines


def comparison_table(differences: Sequence[Difference], one: str, other: str) -> list[str]:
    """Return how two models differ on the same candidates."""
    header = ["candidates", "system", one, other, "difference", "p", "RBO of the top 10"]
    lines = [_row(header), _row(["---"] * len(header))]
    for d in differences:
        cells = [SETTINGS[d.setting], d.system, f"{d.one:.4f}", f"{d.other:.4f}"]
        cells += [f"{d.other - d.one:+.4f}", shown(d.p), f"{d.overlap:.4f}"]
        lines.append(_row(cells))
    return lines


def document(measured: Measured, depth: int, made_by: str) -> str:
    """Return all tables with what they need to be read."""
    parts: list[str] = []
    for setting, title in SETTINGS.items():
        parts += [f"**First stage: the first {depth} of {title}**", ""]
        parts += [*quality_table(measured, setting), ""]
    parts += ["**The first stages alone**", "", *first_stage_table(measured, depth), ""]
    if len(measured.names) > 1:
        parts += ["**The weights, fitted on all other collections**", ""]
        parts += [*weights_table(measured), ""]
        if measured.fusions:
            parts += ["**Ways to fuse**", "", *fusions_table(measured), ""]
            parts += [fusion_verdict(measured), ""]
    return "\n".join([*parts, made_by, "", ANCHORS])


def shown(p: float) -> str:
    """Return a p-value as it is printed."""
    return f"{p:.3f}" if p >= 0.001 else "< .001"


def _against_standard(measured: Measured, way: str) -> float:
    changes = [
        union(measured.fusions[way][s], measured.names)
        - union(measured.values[s][FUSED], measured.names)
        for s in SETTINGS
    ]
    # One difference a question: the two settings of a question are not independent.
    return randomization_test(np.mean(changes, axis=0))


def _record(change: np.ndarray) -> str:
    return "/".join(str(n) for n in win_tie_loss(change))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
