"""Explanations as a self-contained HTML page."""

from __future__ import annotations

from html import escape

from secondpass.explain.phrases import (
    describe_counterfactual,
    describe_faithfulness,
    headline,
    highlight_spans,
    mark_answers,
    stage_rows,
    term_label,
    term_note,
)
from secondpass.explain.types import Explanation

_MIN_STRENGTH = 0.05
_STYLE = """
:root { color-scheme: light dark; --ink: #1d1d1f; --soft: #6b6b70; --line: #e3e3e6;
  --paper: #fff; --bar: #3f7d58; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececee; --soft: #9b9ba1;
  --line: #38383c; --paper: #18181a; --bar: #63a880; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 46rem; margin: 2.5rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1rem; margin: 2.2rem 0 .6rem; }
.name, .note { color: var(--soft); } .lead { font-size: 1.1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line);
  text-align: left; font-weight: 400; } td.n { text-align: right; }
.bar { display: block; height: .7rem; border-radius: 2px; background: var(--bar); }
.text { border-left: 3px solid var(--line); padding-left: 1rem; white-space: pre-wrap;
  overflow-wrap: anywhere; } .text span { border-radius: 2px; }
ul { padding-left: 1.2rem; }
"""


def html_page(explanation: Explanation) -> str:
    """Return an HTML page without scripts that loads nothing from the network."""
    document = explanation.document
    name = " · ".join(escape(part) for part in (document.id, document.title) if part)
    blocks = [
        f"<h1>“{escape(explanation.query)}”</h1>",
        f'<p class="name">{name}</p>' if name else "",
        f'<p class="lead">{escape(headline(explanation))}</p>',
        _stages(explanation),
        _terms(explanation),
        _windows(explanation),
        _answers(explanation),
        _highlights(explanation),
        _counterfactuals(explanation),
        "".join(f'<p class="note">{escape(note)}</p>' for note in explanation.notes),
        f'<p class="note">Reranker: {escape(explanation.model)}</p>',
    ]
    body = "\n".join(block for block in blocks if block)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Why: {escape(explanation.query)}</title>\n<style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )
    # A lone surrogate cannot be written as UTF-8.
    return page.encode("utf-8", "replace").decode("utf-8")


def _stages(explanation: Explanation) -> str:
    ranks = explanation.places
    if ranks is None:
        return ""
    rows = "".join(
        f"<tr><th>{row.name[0].upper()}{row.name[1:]}</th><td>{row.rank}</td>"
        f'<td class="n">{row.score}</td><td>{row.added}</td></tr>'
        for row in stage_rows(explanation)
    )
    heading = f"Rank by stage, among {ranks.candidates} candidates"
    return f"<h2>{heading}</h2>\n<table>{rows}</table>"


def _terms(explanation: Explanation) -> str:
    terms = explanation.terms
    if not terms:
        return ""
    largest = max(term.score for term in terms)
    rows = []
    for term in terms:
        width = 100 * term.score / largest if largest > 0 else 0.0
        bar = f'<span class="bar" style="width:{width:.1f}%"></span>'
        rows.append(
            f'<tr><th>{escape(term_label(term))}</th><td class="n">{term.score:.3f}</td>'
            f'<td style="width:60%">{bar if term.score > 0 else term_note(term)}</td></tr>'
        )
    total = sum(term.score for term in terms)
    rows.append(f'<tr><th>sum</th><td class="n">{total:.3f}</td><td></td></tr>')
    return f"<h2>BM25 score by query term</h2>\n<table>{''.join(rows)}</table>"


def _windows(explanation: Explanation) -> str:
    if len(explanation.windows) < 2:
        return ""
    rows = "".join(
        f'<tr><th>characters {w.start} to {w.end}</th><td class="n">{w.score:.2f}</td></tr>'
        for w in explanation.windows
    )
    return f"<h2>Windows that the reranker read</h2>\n<table>{rows}</table>"


def _answers(explanation: Explanation) -> str:
    if not explanation.answers:
        return ""
    pieces = "".join(
        f"<mark>{escape(piece)}</mark>" if answers else escape(piece)
        for piece, answers in mark_answers(explanation)
    )
    return f'<h2>Sentences that answer</h2>\n<p class="text">{pieces}</p>'


def _highlights(explanation: Explanation) -> str:
    if not explanation.spans:
        return ""
    document, check = explanation.document, explanation.faithfulness
    blocks = [_colored(explanation, "query", explanation.query)]
    if document.title:
        blocks.append(_colored(explanation, "title", document.title))
    blocks.append(_colored(explanation, "text", document.text))
    faithfulness = "" if check is None else f"<p>{escape(describe_faithfulness(check))}</p>"
    legend = '<p class="note">Green adds to the score, red takes away.</p>'
    return "\n".join(["<h2>What matters to the reranker</h2>", *blocks, legend, faithfulness])


def _colored(explanation: Explanation, field: str, text: str) -> str:
    pieces = []
    for piece, strength in highlight_spans(text, field, explanation.spans):
        if abs(strength) < _MIN_STRENGTH:
            pieces.append(escape(piece))
            continue
        color = "40,150,80" if strength > 0 else "205,60,60"
        style = f"background:rgba({color},{0.75 * abs(strength):.2f})"
        pieces.append(f'<span style="{style}">{escape(piece)}</span>')
    return f'<p class="text">{"".join(pieces)}</p>'


def _counterfactuals(explanation: Explanation) -> str:
    ranks = explanation.places
    if not explanation.counterfactuals or ranks is None:
        return ""
    items = "".join(
        f"<li>{escape(describe_counterfactual(counterfactual, ranks.final))}</li>"
        for counterfactual in explanation.counterfactuals
    )
    return f"<h2>What would change its rank</h2>\n<ul>{items}</ul>"
