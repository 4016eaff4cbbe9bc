"""An explanation as one page that needs nothing else."""

from __future__ import annotations

from html import escape

from secondpass.explain.phrases import headline, ordinal, shades, trust, what_if
from secondpass.explain.types import Explanation

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


def html_page(one: Explanation) -> str:
    """Return a self-contained HTML page: no script, nothing from the network."""
    name = " · ".join(escape(n) for n in (one.document.id, one.document.title) if n)
    blocks = [
        f"<h1>“{escape(one.query)}”</h1>",
        f'<p class="name">{name}</p>' if name else "",
        f'<p class="lead">{escape(headline(one))}</p>',
        _stages(one),
        _terms(one),
        _windows(one),
        _text(one),
        _changes(one),
        "".join(f'<p class="note">{escape(note)}</p>' for note in one.notes),
        f'<p class="note">Reranker: {escape(one.model)}</p>',
    ]
    body = "\n".join(block for block in blocks if block)
    # A lone surrogate cannot be written as UTF-8.
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Why: {escape(one.query)}</title>\n<style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )
    return page.encode("utf-8", "replace").decode("utf-8")


def _stages(one: Explanation) -> str:
    places = one.places
    if places is None:
        return ""
    rows = []
    for name, place, value, part in (
        ("BM25", places.bm25, one.bm25, "bm25"),
        ("Cosine", places.vector, one.vector, "vector"),
        ("First pass", places.first, None, ""),
        ("Reranker", places.reranker, one.score, "rerank"),
        ("Result", places.final, one.final_score, ""),
    ):
        at = "not handed over" if place is None else ordinal(place)
        score = "" if value is None else f"{value:.3f}"
        added = f"{one.parts[part]:+.2f} in the sum" if part in one.parts else ""
        rows.append(
            f'<tr><th>{name}</th><td>{at}</td><td class="n">{score}</td><td>{added}</td></tr>'
        )
    heading = f"Where each stage puts it among {places.candidates} candidates"
    return f"<h2>{heading}</h2>\n<table>{''.join(rows)}</table>"


def _terms(one: Explanation) -> str:
    if not one.terms:
        return ""
    largest = max(t.score for t in one.terms)
    rows = []
    for term in one.terms:
        width = 100 * term.score / largest if largest > 0 else 0.0
        why = "" if term.score > 0 else "not in this text"
        said = why if term.indexed else "a stop word, or in no text"
        bar = (
            f'<span class="bar" style="width:{width:.1f}%"></span>' if term.score > 0 else said
        )
        times = f" \u00d7{term.count}" if term.count > 1 else ""
        rows.append(
            f'<tr><th>{escape(term.word)}{times}</th><td class="n">{term.score:.3f}</td>'
            f'<td style="width:60%">{bar}</td></tr>'
        )
    total = sum(t.score for t in one.terms)
    rows.append(f'<tr><th>sum</th><td class="n">{total:.3f}</td><td></td></tr>')
    return f"<h2>Words of the query, in BM25</h2>\n<table>{''.join(rows)}</table>"


def _windows(one: Explanation) -> str:
    if len(one.windows) < 2:
        return ""
    rows = "".join(
        f'<tr><th>characters {w.start} to {w.end}</th><td class="n">{w.score:.2f}</td></tr>'
        for w in one.windows
    )
    return f"<h2>What the reranker read</h2>\n<table>{rows}</table>"


def _text(one: Explanation) -> str:
    if not one.spans:
        return ""
    blocks = [_coloured(one, "query", one.query)]
    if one.document.title:
        blocks.append(_coloured(one, "title", one.document.title))
    blocks.append(_coloured(one, "text", one.document.text))
    found = one.faithfulness
    said = "" if found is None else f"<p>{escape(trust(found))}</p>"
    legend = '<p class="note">Green adds to the score, red takes away.</p>'
    return "\n".join(["<h2>What matters to the reranker</h2>", *blocks, legend, said])


def _coloured(one: Explanation, where: str, text: str) -> str:
    pieces = []
    for piece, strength in shades(text, where, one.spans):
        if abs(strength) < 0.05:
            pieces.append(escape(piece))
            continue
        colour = "40,150,80" if strength > 0 else "205,60,60"
        shade = f"background:rgba({colour},{0.75 * abs(strength):.2f})"
        pieces.append(f'<span style="{shade}">{escape(piece)}</span>')
    return f'<p class="text">{"".join(pieces)}</p>'


def _changes(one: Explanation) -> str:
    if not one.counterfactuals or one.places is None:
        return ""
    before = one.places.final
    items = "".join(f"<li>{escape(what_if(c, before))}</li>" for c in one.counterfactuals)
    return f"<h2>What would change its place</h2>\n<ul>{items}</ul>"
