"""The generated block of docs/explanation/speed.md."""

from __future__ import annotations

from pathlib import Path

from beir import ROOT

from speed.plot import plot
from speed.report import Report
from speed.targets import main_collection

PAGE = ROOT / "docs" / "explanation" / "speed.md"
PICTURE = "speed.svg"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def write(report: Report) -> Path:
    """Draw the plot and write the report between the page's markers."""
    collection = main_collection(report.workloads)
    sizes = [w.candidates for w in report.workloads if w.collection == collection]
    candidates = 100 if 100 in sizes else max(sizes)
    plot(report.done.results, collection, candidates, PAGE.with_name(PICTURE))
    PAGE.write_text(replace_block(PAGE.read_text("utf-8"), report.markdown(PICTURE)), "utf-8")
    return PAGE


def replace_block(page: str, text: str) -> str:
    """Return the page with `text` between its markers; raises ValueError without them."""
    if BEGIN not in page or END not in page:
        raise ValueError(f"the page has no {BEGIN} or no {END}")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{text}\n{END}{after}"
