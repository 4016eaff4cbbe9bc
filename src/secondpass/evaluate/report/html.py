"""A study as one HTML page: nothing is loaded, no script runs."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from secondpass._version import __version__
from secondpass.evaluate.calibration_check import Probabilities
from secondpass.evaluate.harmed_queries import Harm, Move
from secondpass.evaluate.report.figures import (
    bound_plot,
    depth_plot,
    latency_plot,
    record_plot,
    reliability_plot,
)
from secondpass.evaluate.report.number_format import plain, probability, signed
from secondpass.evaluate.report.svg import style
from secondpass.evaluate.report.text import agreement, headline, promises, sentences
from secondpass.evaluate.study import Result, Study


def page(study: Study) -> str:
    """Return the whole page."""
    title = escape(f"Does reranking pay? {study.collection.name}")
    body = [
        _head(study),
        _section(
            "How deep",
            f"Gain in {study.measure} over tuned fusion, and the band that holds the true mean"
            f" with 95 %. Order: {study.choice.family.order}.",
            depth_plot(study),
        ),
        _section(
            "How much there is to gain",
            "A perfect second pass puts every relevant candidate on top; no reranker can do"
            " better with these candidates.",
            bound_plot(study),
        ),
    ]
    if study.timed:
        body.append(
            _section(
                "What it costs",
                "Quality against the time of one search on this machine. Numbers at the marks"
                " are candidates; the broad line is the frontier that nothing beats in both.",
                latency_plot(study),
            )
        )
    body += [
        _section(
            "Which queries change",
            f"{study.measure} of each query less that of tuned fusion, best first.",
            record_plot(study),
        ),
        _harmed(study),
        *_probabilities(study),
        _table(study),
        _foot(study),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>\n{style()}</style></head>\n<body>"
        + "\n".join(body)
        + "</body></html>\n"
    )


def _head(study: Study) -> str:
    gain, best = study.honest, study.choice
    facts = [
        (
            "gain over tuned fusion",
            signed(gain.mean),
            f"95 %: {signed(gain.low)} to {signed(gain.high)}",
        ),
        ("chance", probability(gain.p), f"t-test {probability(gain.t)}; {agreement(gain)}"),
        (
            "effect size",
            "\N{EN DASH}" if gain.size is None else f"{gain.size:.2f}",
            "Cohen's d",
        ),
        (
            "smallest gain to be seen",
            "\N{EN DASH}" if gain.detectable is None else plain(gain.detectable),
            f"with {len(study.change)} queries",
        ),
    ]
    if study.timed:
        facts.append(("second pass", f"{best.added:.0f} ms", f"of {best.ms:.0f} ms a search"))
    cards = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(more)}</small></dd></div>"
        for name, value, more in facts
    )
    said = "".join(f"<li>{escape(line)}</li>" for line in sentences(study))
    notes = "".join(f"<li>{escape(note)}.</li>" for note in study.collection.notes)
    return (
        f'<header><p class="kind">Does reranking pay? {escape(study.collection.name)},'
        f" {len(study.change)} queries</p><h1>{_unbroken(headline(study))}</h1></header>"
        f'<dl class="facts">{cards}</dl><ul class="said">{said}{notes}</ul>'
    )


def _unbroken(text: str) -> str:
    """Return text in which "p = .013" and "+.041 nDCG@10" stay on one line."""
    kept = text.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
    return escape(kept.replace(" ms", "\N{NO-BREAK SPACE}ms"))


def _section(title: str, words: str, drawing: str) -> str:
    return (
        f"<section><h2>{escape(title)}</h2><p>{escape(words)}</p>"
        f"<figure>{drawing}</figure></section>"
    )


def _probabilities(study: Study) -> list[str]:
    found = study.probabilities.get(str(study.choice.family.model))
    if found is None:
        return []
    title, said = "Whether its probabilities hold", promises(found)
    if found.shipped is None and found.calibrated is None:
        return [f"<section><h2>{title}</h2><p>{escape(said)}</p></section>"]
    return [_section(title, f"{said} {_labels(found)}", reliability_plot(found))]


def _labels(found: Probabilities) -> str:
    return (
        f"The first {found.depth} candidates of {found.queries} queries; {found.unjudged} that"
        " nobody judged count as not relevant. Lines up and down are 95 % intervals (Wilson)."
        " A threshold (--min-probability) means what it says where the marks are on the"
        " broken line."
    )


def _harmed(study: Study) -> str:
    if not study.harmed:
        return "<section><h2>Queries it harms</h2><p>None.</p></section>"
    shown = "".join(_harm(harm, opened=i == 0) for i, harm in enumerate(study.harmed))
    return (
        f"<section><h2>Queries it harms most: {len(study.harmed)}</h2><p>The first five of"
        f" either order and every relevant document, with the rank before and after, under"
        " weights fitted without the query.</p>"
        f"{shown}</section>"
    )


def _harm(harm: Harm, *, opened: bool) -> str:
    moves = "".join(_move(move) for move in harm.moves)
    change = f"{plain(harm.before)} → {plain(harm.after)}"
    state = " open" if opened else ""
    return (
        f"<details{state}><summary><b>{change}</b>{escape(harm.text)}</summary>"
        f'<ol class="moves">{moves}</ol></details>'
    )


def _move(move: Move) -> str:
    relevant = move.grade is not None and move.grade > 0
    grade = "not judged" if move.grade is None else f"grade {move.grade}"
    ranks = " → ".join(
        "\N{EN DASH}" if r is None else str(r) for r in (move.before, move.after)
    )
    name = move.title if move.title else move.document
    return (
        f'<li class="{"relevant" if relevant else "other"}"><span class="rank">{ranks}<br>'
        f'<span class="tag">{grade}</span></span><span><strong>{escape(name)}</strong>'
        f' <span class="tag">{escape(move.document)}</span><br>{escape(move.text)}</span></li>'
    )


def _table(study: Study) -> str:
    heads = ["way to search", study.measure, "gain", "95 %", "p", "t", "d", "won/tied/lost"]
    heads += ["judged", *(["ms"] if study.timed else [])]
    top = "".join(f'<th class="{"n" if i else ""}">{h}</th>' for i, h in enumerate(heads))
    firsts = [r for r in study.firsts if r.family.label != study.baseline.family.label]
    rows = [_row(study, r) for r in (*firsts, study.baseline, *study.results)]
    return (
        "<section><h2>Every way that was tried</h2><p>Gains are over tuned fusion, cross-fitted"
        " on two halves. p is of the randomisation test and t of the paired t-test, both"
        f" corrected by Holm for {len(study.results)} second passes; d is Cohen's.</p>"
        f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{"".join(rows)}'
        "</tbody></table></div></section>"
    )


def _row(study: Study, result: Result) -> str:
    gain = result.effect
    own = result is study.baseline
    cells = [result.family.label, plain(result.mean)]
    cells += [
        "" if own else signed(gain.mean),
        "" if own else f"{signed(gain.low)} to {signed(gain.high)}",
        "" if own else _p(result.p),
        "" if own else _p(result.t),
        "" if own or gain.size is None else f"{gain.size:.2f}",
        "" if own else f"{gain.won}/{gain.tied}/{gain.lost}",
        f"{result.judged:.0%}",
    ]
    if study.timed:
        cells.append(f"{result.ms:.0f}")
    kind = ' class="chosen"' if result is study.choice else ""
    return f"<tr{kind}>{''.join(_cells(cells))}</tr>"


def _cells(cells: Sequence[str]) -> list[str]:
    return [
        f'<td class="{"n" if i else ""}">{escape(cell)}</td>' for i, cell in enumerate(cells)
    ]


def _p(p: float) -> str:
    return probability(p).removeprefix("p = ").removeprefix("p ")


def _foot(study: Study) -> str:
    judged = sum(len(grades) for grades in study.collection.qrels.values())
    made = f"secondpass {__version__}. {judged} judgements; first pass: {study.mode}."
    return (
        f"<footer>{escape(made)}"
        " Weights are fitted on one half of the queries and judged on the other, ten times"
        " over, and so is the choice of model, depth and order that the first line states."
        " Intervals: percentile bootstrap, 10,000 resamples. Documents that nobody"
        " judged count as wrong.</footer>"
    )
