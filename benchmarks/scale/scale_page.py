"""The measured part of docs/explanation/scale.md: tables, the plot and the cost model."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from beir import ROOT

from scale.cost_model import (
    BEYOND,
    BYTE_PARTS,
    COMMIT_ROWS,
    HOURS_A_MONTH,
    MEASURED_FROM,
    CostModel,
    Curve,
    estimate,
    fit_model,
    span,
    write_model,
)
from scale.log_plot import Series, log_plot

PAGE = ROOT / "docs" / "explanation" / "scale.md"
PICTURE = "scale.svg"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
SIZES = (1e4, 1e5, 1e6, 1e7, 1e8, 1e9)
TOKENS = 133
CODES, DIMENSION = 128, 384
STATE_BYTES = {
    "full": TOKENS * (CODES + 2) + 4 * DIMENSION + 40,
    "compact": TOKENS * (CODES / 4 + 2) + DIMENSION + 40,
    "none": 0,
}
"""Of a passage of `TOKENS` tokens, with its key and checksum; see `record_formats`."""
SCENARIOS = (
    ("a team's handbook and tickets", 1e5, "full", 5, (2, 8, 50)),
    ("a publisher's archive", 5e6, "compact", 20, (8, 32, 500)),
    ("a crawl of the web", 1e9, "compact", 20, (16, 128, 4000)),
)
ORDER = ("embed", "states", "commit", "text index", "vector index", "merge")

Rows = Sequence[Mapping[str, Any]]


def write_page(rows: Rows) -> Path:
    """Write the tables, the plot and the fitted model; return the page."""
    model = fit_model(rows, STATE_BYTES)
    write_model(model)
    PAGE.with_name(PICTURE).write_text(plot(rows, model), "utf-8")
    PAGE.write_text(replace_block(PAGE.read_text("utf-8"), render(rows, model)), "utf-8")
    return PAGE


def replace_block(page: str, text: str) -> str:
    """Return the page with `text` between its markers; raises ValueError without them."""
    if BEGIN not in page or END not in page:
        raise ValueError(f"the page has no {BEGIN} or no {END}")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}"


def render(rows: Rows, model: CostModel) -> str:
    """Return the measured part of the page as Markdown."""
    built, found = of_kind(rows, "build"), of_kind(rows, "search")
    busiest = max(float(r["load"]) for r in found)
    cores = int(built[0]["cores"])
    encoded = max(int(r["encoded"]) for r in built)
    states = max(int(r["states"]) for r in built)
    parts = [
        busy(busiest, cores)
        + f" {encoded:,} passages came from the real encoder; up to {states:,} have stored "
        "states.",
        "### Ingestion",
        "Milliseconds of the processor a passage, by part, with 5,000 passages a commit. "
        "Embedding, with splitting, was measured once, for the encoded passages. "
        f"`Index.add` commits {COMMIT_ROWS} documents at a time: what that takes, lookups and "
        "text index included, is in rows of its own.",
        *table(ingestion(built)),
        "### Bytes",
        "Bytes a passage by part, after `optimize` and without older versions.",
        *table(byte_rows([r for r in built if r["place"] == "local"], model)),
        "### Searches",
        "Milliseconds of a warm search: of the processor, and in brackets elapsed, median and "
        "95th percentile. Peak memory is that of this process.",
        *table(search_rows(found)),
        "Milliseconds of a fresh process that loads the models, opens the index and searches "
        "once for 50 candidates: of the processor, and in brackets elapsed, the medians. "
        "*Cold* is with no file of the index in the system's memory; *fetched* with no local "
        "copy of an index in object storage, all of which is fetched and checked first.",
        *table(fresh_rows(found)),
        f"![Time of a search by the number of passages]({PICTURE})",
        "### The model",
        "The largest error is that of the measured sizes. A forecast is what a curve that is "
        "fitted without the largest size says of it: so far was it off where the answer is "
        "known.",
        *table(model_rows(model)),
        f"Beyond {model.measured:,} passages in one index everything is **extrapolated**. "
        "Where there are two times of a search, or two numbers of machines, the first is that "
        "of the formula; the second is as if the time grew in proportion to the passages, the "
        "worst case:",
        *table(extrapolated(model)),
    ]
    if model.knows_searches:
        parts += [
            "### Three scenarios",
            *table(scenarios(model)),
            f"A price is that of the machines: 4 of them at 0.40 an hour are "
            f"{4 * 0.4 * HOURS_A_MONTH:,.0f} a month of {HOURS_A_MONTH} hours.",
        ]
    else:
        parts.append(
            f"Times of searches, and machines, are not extrapolated from {model.measured:,} "
            f"passages: that takes {MEASURED_FROM:,}."
        )
    return "\n\n".join(group(parts))


def busy(load: float, cores: int) -> str:
    """Return how busy the machine was."""
    if load <= cores + 1:
        return f"Measured on {cores} cores."
    return (
        f"**Measured on a busy machine**: {cores} cores, which other programs used as well (a "
        f"load average of up to {load:.0f}), so that elapsed times are too long where the load "
        "was. Times of the processor are near those of a quiet machine; the model uses only "
        "them."
    )


def group(parts: Iterable[str]) -> Iterator[str]:
    """Join the rows of each table to one block."""
    block: list[str] = []
    for part in parts:
        if part.startswith("|"):
            block.append(part)
            continue
        if block:
            yield "\n".join(block)
            block = []
        yield part
    if block:
        yield "\n".join(block)


def of_kind(rows: Rows, kind: str) -> list[Mapping[str, Any]]:
    """Return the rows of one kind by place and size."""
    chosen = (r for r in rows if r["kind"] == kind)
    return sorted(chosen, key=lambda r: (r["place"], r["passages"]))


def table(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a Markdown table, the first row of which is its head."""
    for number, row in enumerate(rows):
        yield f"| {' | '.join(row)} |"
        if not number:
            yield "|---" + "|--:" * (len(row) - 1) + "|"


def heads(rows: Rows) -> list[str]:
    """Return the titles of columns."""
    return [
        f"{r['passages']:,}" + ("" if r["place"] == "local" else ", object storage")
        for r in rows
    ]


def ingestion(built: Rows) -> Iterator[Sequence[str]]:
    """Yield milliseconds a passage by part and size."""
    yield ["", *heads(built)]
    for part in ORDER:
        cells = []
        for r in built:
            if part == "embed":
                seconds, count = r["encoding"]["processor"], r["encoding"]["passages"]
            else:
                seconds = r["processor"].get(part)
                count = r["states"] if part == "states" else r["passages"]
            cells.append("-" if not seconds or not count else f"{1000 * seconds / count:.2f}")
        yield [part, *cells]
    commits = [1000 * r["small_commit"] for r in built]
    yield [f"commits of {COMMIT_ROWS}, instead", *(f"{ms / COMMIT_ROWS:.2f}" for ms in commits)]
    yield [f"one commit of {COMMIT_ROWS}, in all", *(f"{ms:,.0f}" for ms in commits)]
    yield ["peak memory, MB", *(f"{r['peak_bytes'] / 1e6:,.0f}" for r in built)]


def byte_rows(built: Rows, model: CostModel) -> Iterator[Sequence[str]]:
    """Yield bytes a passage by part and size."""
    yield ["", *heads(built)]
    for part in BYTE_PARTS:
        yield [part, *(f"{r['bytes'][part] / r['passages']:,.0f}" for r in built)]
    cells = []
    for r in built:
        measured = r["bytes"]["states"] / r["states"] if r["states"] else 0.0
        cells.append(f"{measured:,.0f}" if measured else "-")
    yield ["states, full, of those stored", *cells]
    for name in ("full", "compact"):
        value = f"{model.state_bytes[name]:,.0f}"
        yield [f"states, {name}, of {TOKENS} tokens by the formula", *[value] * len(built)]


def search_rows(found: Rows) -> Iterator[Sequence[str]]:
    """Yield milliseconds of searches by mode and size."""
    yield ["", *heads(found)]
    for name in found[-1]["warm"]:
        mode, candidates = name.rsplit(" ", 1)
        cells = [
            "{2:,.0f} ({0:,.0f}, {1:,.0f})".format(*r["warm"][name])
            if name in r["warm"]
            else "-"
            for r in found
        ]
        yield [f"{mode}, {candidates} candidates", *cells]
    yield ["peak memory, MB", *(f"{r['peak_bytes'] / 1e6:,.0f}" for r in found)]
    yield ["load average at the end", *(f"{r['load']:.0f}" for r in found)]
    yield ["of the nearest 10, among 50 candidates", *(f"{r['recall']:.1%}" for r in found)]


def fresh_rows(found: Rows) -> Iterator[Sequence[str]]:
    """Yield milliseconds of fresh processes by mode and size; only what was measured."""
    yield ["", *heads(found)]
    for kind, title in (("fresh", ""), ("cold", ", cold"), ("fetch", ", fetched")):
        for mode in dict.fromkeys(mode for r in found for mode in r.get(kind, ())):
            cells = [
                "{1:,.0f} ({0:,.0f})".format(*r[kind][mode]) if mode in r.get(kind, ()) else "-"
                for r in found
            ]
            yield [mode + title, *cells]


def formula(curve: Curve, unit: float = 1.0) -> str:
    """Return a curve as a formula of n."""
    grown = "n" if curve.form == "linear" else "ln n"
    return f"{curve.a / unit:.3g} + {curve.b / unit:.3g} · {grown}"


def model_rows(model: CostModel) -> Iterator[Sequence[str]]:
    """Yield the formulas."""
    yield ["n passages", "formula", "largest error", "error of a forecast"]
    for name, of_states in model.state_bytes.items():
        each = model.table_bytes + of_states
        yield [f"bytes on disk, states {name}", f"{each:,.0f} · n", "", ""]
    total = sum(model.seconds.values())
    yield ["seconds of the processor, ingestion, states full", f"{total:.3g} · n", "", ""]
    yield [
        f"ms of the processor, a commit of {COMMIT_ROWS}",
        formula(model.commit, 1e-3),
        f"{model.commit.error:.0%}",
        "",
    ]
    if not model.knows_searches:
        return
    yield ["peak MB of a search", formula(model.memory, 1e6), f"{model.memory.error:.0%}", ""]
    for name, curve in model.milliseconds.items():
        if name.endswith(" 50"):
            yield [
                f"ms of the processor, {name} candidates",
                formula(curve),
                f"{curve.error:.0%}",
                f"{model.missed[name]:+.0%}",
            ]


def extrapolated(model: CostModel) -> Iterator[Sequence[str]]:
    """Yield what one index of each size takes; sizes that were not measured are marked."""
    yield [
        "passages",
        "disk, full",
        "disk, compact",
        "ingestion, core hours",
        "search, core ms",
    ]
    for size in SIZES:
        full, compact = (
            estimate(model, size, states=name, disk=1e30, memory=1e30)
            for name in ("full", "compact")
        )
        most = estimate(model, size, disk=1e30, memory=1e30, bound=True)
        mark = " (extrapolated)" if size > model.measured else ""
        known = not mark or (model.knows_searches and size <= BEYOND * model.measured)
        yield [
            f"{size:,.0f}{mark}",
            *(f"{e.disk_bytes / 1e9:,.1f} GB" for e in (full, compact)),
            f"{full.ingest_hours:,.1f}",
            span(full.search_ms, most.search_ms) if known else "-",
        ]


def scenarios(model: CostModel) -> Iterator[Sequence[str]]:
    """Yield the machines of three scenarios."""
    yield [
        "",
        "passages",
        "states",
        "searches a second",
        "a machine",
        "indexes",
        "machines",
        "disk of a copy",
        "ingestion, core hours",
    ]
    for name, passages, states, rate, (cores, memory, disk) in SCENARIOS:
        machine = {"cores": cores, "memory": memory * 1e9, "disk": disk * 1e9}
        e, most = (
            estimate(model, passages, states=states, rate=rate, bound=bound, **machine)
            for bound in (False, True)
        )
        yield [
            name + (" (extrapolated)" if e.extrapolated else ""),
            f"{passages:,.0f}",
            states,
            str(rate),
            f"{cores} cores, {memory} GB, {disk:,} GB disk",
            f"{e.indexes:,}",
            span(e.machines, most.machines),
            f"{e.disk_bytes / 1e9:,.0f} GB",
            f"{e.ingest_hours:,.0f}" if e.ingest_hours >= 10 else f"{e.ingest_hours:.1f}",
        ]


def plot(rows: Rows, model: CostModel) -> str:
    """Return the plot of median times by size, measured and fitted."""
    found = [r for r in of_kind(rows, "search") if r["place"] == "local"]
    series = [
        Series(
            name,
            [(r["passages"], r["warm"][name][2]) for r in found],
            [
                (size, model.milliseconds[name].at(size))
                for size in SIZES
                if size <= model.measured * (BEYOND if model.knows_searches else 1)
            ],
        )
        for name in model.milliseconds
        if name.endswith(" 50")
    ]
    return log_plot(
        series, "passages in one index", "ms of the processor a search, 50 candidates"
    )
