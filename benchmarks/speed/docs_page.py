"""The generated block of docs/explanation/speed.md."""

from __future__ import annotations

from pathlib import Path

from beir import ROOT

from speed.plot import plot
from speed.report import Report
from speed.targets import main_collection

PAGE = ROOT / "docs" / "explanation" / "speed.md"


def write(report: Report) -> Path:
    """Draw the plot and write the report between the page's markers for these kernels."""
    collection = main_collection(report.workloads)
    sizes = [w.candidates for w in report.workloads if w.collection == collection]
    candidates = 100 if 100 in sizes else max(sizes)
    kernels = str(report.machine["own kernels"])
    page = PAGE.read_text("utf-8")
    picture = f"speed-{kernels}.svg"
    page = replace_block(page, kernels, report.markdown(picture))
    plot(report.done.results, collection, candidates, PAGE.with_name(picture))
    PAGE.write_text(page, "utf-8")
    return PAGE


def markers(kernels: str) -> tuple[str, str]:
    """Return what is in front of and behind the results with some kernels."""
    return f"<!-- measured, {kernels}: begin -->", f"<!-- measured, {kernels}: end -->"


def replace_block(page: str, kernels: str, text: str) -> str:
    """Return the page with `text` between its markers; raises ValueError without them."""
    begin, end = markers(kernels)
    if begin not in page or end not in page:
        raise ValueError(f"the page has no {begin} or no {end}")
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{text}\n{end}{after}"
