"""A study as one HTML page without scripts and network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from secondpass._version import __version__
from secondpass.evaluate.calibration_check import CalibrationCheck
from secondpass.evaluate.harmed_queries import HarmedQuery, RankChange
from secondpass.evaluate.report.figures import (
    bound_plot,
    depth_plot,
    latency_plot,
    record_plot,
    reliability_plot,
)
from secondpass.evaluate.report.number_format import (
    format_difference,
    format_number,
    format_p_value,
)
from secondpass.evaluate.report.svg import style_sheet
from secondpass.evaluate.report.text import (
    describe_calibration,
    describe_test_agreement,
    headline,
    summary_sentences,
)
from secondpass.evaluate.study import Study, VariantResult


def html_page(study: Study) -> str:
    """Return a self-contained HTML page."""
    title = escape(f"Does reranking pay? {study.collection.name}")
    body = [
        _head(study),
        _section(
            "How deep",
            f"Gain in {study.measure} over tuned fusion, and the band that holds the true mean"
            f" with 95 %. Order: {study.choice.variant.order}.",
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
                " are numbers of candidates; the broad line is the Pareto frontier.",
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
        f"<title>{title}</title><style>\n{style_sheet()}</style></head>\n<body>"
        + "\n".join(body)
        + "</body></html>\n"
    )


def _head(study: Study) -> str:
    gain, best = study.gain, study.choice
    facts = [
        (
            "gain over tuned fusion",
            format_difference(gain.mean),
            f"95 %: {format_difference(gain.low)} to {format_difference(gain.high)}",
        ),
        (
            "significance",
            format_p_value(gain.p),
            f"t-test {format_p_value(gain.t)}; {describe_test_agreement(gain)}",
        ),
        (
            "effect size",
            "\N{EN DASH}" if gain.size is None else f"{gain.size:.2f}",
            "Cohen's d",
        ),
        (
            "smallest detectable gain",
            "\N{EN DASH}" if gain.detectable is None else format_number(gain.detectable),
            f"with {len(study.gain_by_query)} queries",
        ),
    ]
    if study.timed:
        facts.append(
            ("second pass", f"{best.added_ms:.0f} ms", f"of {best.ms:.0f} ms a search")
        )
    cards = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(note)}</small></dd></div>"
        for name, value, note in facts
    )
    sentences = "".join(f"<li>{escape(line)}</li>" for line in summary_sentences(study))
    notes = "".join(f"<li>{escape(note)}.</li>" for note in study.collection.notes)
    return (
        f'<header><p class="kind">Does reranking pay? {escape(study.collection.name)},'
        f" {len(study.gain_by_query)} queries</p>"
        f"<h1>{_without_line_breaks(headline(study))}</h1></header>"
        f'<dl class="facts">{cards}</dl><ul class="said">{sentences}{notes}</ul>'
    )


def _without_line_breaks(text: str) -> str:
    """Return text in which "p = .013" and "12 ms" stay on one line."""
    text = text.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
    return escape(text.replace(" ms", "\N{NO-BREAK SPACE}ms"))


def _section(title: str, text: str, figure: str) -> str:
    return (
        f"<section><h2>{escape(title)}</h2><p>{escape(text)}</p>"
        f"<figure>{figure}</figure></section>"
    )


def _probabilities(study: Study) -> list[str]:
    check = study.probabilities.get(str(study.choice.variant.model))
    if check is None:
        return []
    title, sentence = "Whether its probabilities hold", describe_calibration(check)
    if check.shipped is None and check.calibrated is None:
        return [f"<section><h2>{title}</h2><p>{escape(sentence)}</p></section>"]
    return [_section(title, f"{sentence} {_legend(check)}", reliability_plot(check))]


def _legend(check: CalibrationCheck) -> str:
    return (
        f"The first {check.depth} candidates of {check.queries} queries; {check.unjudged} that"
        " nobody judged count as not relevant. Vertical lines are 95 % intervals (Wilson)."
        " A threshold (--min-probability) means what it says where the marks are on the"
        " broken line."
    )


def _harmed(study: Study) -> str:
    if not study.harmed:
        return "<section><h2>Queries it harms</h2><p>None.</p></section>"
    details = "".join(_harmed_query(q, opened=i == 0) for i, q in enumerate(study.harmed))
    return (
        f"<section><h2>Queries it harms most: {len(study.harmed)}</h2><p>The first five of"
        f" either order and every relevant document, with the rank before and after, under"
        " weights fitted without the query.</p>"
        f"{details}</section>"
    )


def _harmed_query(query: HarmedQuery, *, opened: bool) -> str:
    rank_changes = "".join(_rank_change(change) for change in query.moves)
    values = f"{format_number(query.before)} → {format_number(query.after)}"
    state = " open" if opened else ""
    return (
        f"<details{state}><summary><b>{values}</b>{escape(query.text)}</summary>"
        f'<ol class="moves">{rank_changes}</ol></details>'
    )


def _rank_change(change: RankChange) -> str:
    relevant = change.grade is not None and change.grade > 0
    grade = "not judged" if change.grade is None else f"grade {change.grade}"
    ranks = " → ".join(
        "\N{EN DASH}" if rank is None else str(rank) for rank in (change.before, change.after)
    )
    name = change.title if change.title else change.document
    return (
        f'<li class="{"relevant" if relevant else "other"}"><span class="rank">{ranks}<br>'
        f'<span class="tag">{grade}</span></span><span><strong>{escape(name)}</strong>'
        f' <span class="tag">{escape(change.document)}</span><br>{escape(change.text)}</span>'
        "</li>"
    )


def _table(study: Study) -> str:
    headers = ["variant", study.measure, "gain", "95 %", "p", "t", "d", "won/tied/lost"]
    headers += ["judged", *(["ms"] if study.timed else [])]
    header = "".join(f'<th class="{"n" if i else ""}">{h}</th>' for i, h in enumerate(headers))
    baseline = study.baseline
    first_stages = [r for r in study.first_stages if r.variant.label != baseline.variant.label]
    rows = [_row(study, r) for r in (*first_stages, baseline, *study.results)]
    return (
        "<section><h2>All search variants</h2><p>Gains are over tuned fusion, cross-fitted"
        " on two halves. p is of the randomization test and t of the paired t-test, both"
        f" corrected by Holm for {len(study.results)} second passes; d is Cohen's.</p>"
        f'<div class="wide"><table><thead><tr>{header}</tr></thead><tbody>{"".join(rows)}'
        "</tbody></table></div></section>"
    )


def _row(study: Study, result: VariantResult) -> str:
    gain = result.effect
    is_baseline = result is study.baseline
    cells = [result.variant.label, format_number(result.mean)]
    cells += [
        "" if is_baseline else format_difference(gain.mean),
        ""
        if is_baseline
        else f"{format_difference(gain.low)} to {format_difference(gain.high)}",
        "" if is_baseline else _p_value(result.p_holm),
        "" if is_baseline else _p_value(result.t_holm),
        "" if is_baseline or gain.size is None else f"{gain.size:.2f}",
        "" if is_baseline else f"{gain.won}/{gain.tied}/{gain.lost}",
        f"{result.judged_at_10:.0%}",
    ]
    if study.timed:
        cells.append(f"{result.ms:.0f}")
    css_class = ' class="chosen"' if result is study.choice else ""
    return f"<tr{css_class}>{''.join(_cells(cells))}</tr>"


def _cells(cells: Sequence[str]) -> list[str]:
    return [
        f'<td class="{"n" if i else ""}">{escape(cell)}</td>' for i, cell in enumerate(cells)
    ]


def _p_value(p: float) -> str:
    return format_p_value(p).removeprefix("p = ").removeprefix("p ")


def _foot(study: Study) -> str:
    judged = sum(len(grades) for grades in study.collection.qrels.values())
    summary = f"secondpass {__version__}. {judged} judgments; first pass: {study.mode}."
    return (
        f"<footer>{escape(summary)}"
        " Weights are fitted on one half of the queries and evaluated on the other, ten times"
        " over, and so is the choice of model, depth and order that the first line states."
        " Intervals: percentile bootstrap, 10,000 resamples. Documents that nobody"
        " judged count as not relevant.</footer>"
    )
