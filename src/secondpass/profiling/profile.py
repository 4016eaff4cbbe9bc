"""One query, taken apart: tokens, layers, head, and what is left.

How many documents a second a reranker reads, and how long a query takes.

A question and texts to measure with, where the user gives none.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secondpass.errors import ModelError
from secondpass.inference.tokenizer import Tokenizer, Tokens
from secondpass.profiling.ort_events import Operator, Run, by_layer
from secondpass.profiling.record import Recorded, recording
from secondpass.registry import load_reranker
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.inputs import DocumentLike
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.folder import COMPRESS
from secondpass.types import RerankResponse

TOKENISE, ENGINE, OTHER = "tokenise", "between operators", "Python and other"
COMPRESSING, READING = "compress states", "read states"


@dataclass(frozen=True, slots=True)
class Phase:
    """One query: `parts` are seconds by name and add up to `seconds`.

    `operations` and `product_seconds` are those of the operators that hold matrix products,
    by "int8" and "fp32": the seconds include whatever the engine fuses with a product.
    `operators` is seconds by the engine's name of the operator.
    """

    name: str
    seconds: float
    documents: int
    windows: int
    tokens: int
    parts: Mapping[str, float]
    operations: Mapping[str, int]
    product_seconds: Mapping[str, float]
    operators: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Profile:
    """A model's queries: a cross-encoder has one phase, a reader new and known documents."""

    model: str
    architecture: str
    phases: Sequence[Phase]


def profile_model(
    model: str | Path,
    query: str,
    documents: Sequence[DocumentLike],
    *,
    max_length: int | None = None,
    threads: int | None = None,
) -> Profile:
    """Rank the documents and return where the time went, by the clocks of the engines.

    Those are ONNX Runtime's own profiler, which itself takes a little of the time, and that
    of our own machine code. Raises `ModelError` for a model that runs on another engine, and
    what `rerank` raises for bad input.
    """
    with recording() as sessions:
        reranker = load_reranker(model, threads=threads)
        if not sessions:
            raise ModelError(
                "Only models in ONNX format can be profiled, and not in OpenVINO",
                where=str(model),
                fix="Export it with: secondpass export SOURCE --out FOLDER, or leave"
                " SECONDPASS_RUNTIME unset.",
            )
        reranker.rerank("a question to warm up with", ["A text to warm up with."])
        known = isinstance(reranker.base, PrecomputedReranker)
        names = ("documents never read", "documents read before") if known else ("query",)
        clocks = []
        for turn in range(len(names)):
            # The query differs by a number, or its tokens would be taken from memory.
            clocks.append(_timed(reranker, f"{query} {turn}", documents, max_length, sessions))
        runs = {id(session): session.finish() for session in sessions}
    phases = []
    for name, clock in zip(names, clocks, strict=True):
        of = [
            (session.file, runs[id(session)][start:stop])
            for session, (start, stop) in zip(sessions, clock.calls, strict=True)
        ]
        phases.append(_phase(name, clock, of, reader=known))
    return Profile(reranker.model, "reader" if known else "cross-encoder", phases)


@dataclass(frozen=True, slots=True)
class _Clock:
    """A query's seconds, those of its tokens and sessions, and which calls were its own."""

    seconds: float
    tokenising: float
    inside: float
    calls: Sequence[tuple[int, int]]
    response: RerankResponse


def _timed(
    reranker: BaseReranker,
    query: str,
    documents: Sequence[DocumentLike],
    max_length: int | None,
    sessions: Sequence[Recorded],
) -> _Clock:
    before = [len(session.calls) for session in sessions]
    with _tokenising() as tokens:
        started = time.perf_counter()
        response = reranker.rerank(query, documents, max_length=max_length)
        seconds = time.perf_counter() - started
    calls = [(b, len(s.calls)) for b, s in zip(before, sessions, strict=True)]
    inside = sum(
        sum(s.calls[start:stop]) for s, (start, stop) in zip(sessions, calls, strict=True)
    )
    return _Clock(seconds, sum(tokens), inside, calls, response)


@contextmanager
def _tokenising() -> Iterator[list[float]]:
    """Keep the seconds of each call of `Tokenizer.encode`."""
    times: list[float] = []
    plain = Tokenizer.encode

    def timed(self: Tokenizer, texts: Sequence[str], limit: int) -> list[Tokens]:
        started = time.perf_counter()
        found = plain(self, texts, limit)
        times.append(time.perf_counter() - started)
        return found

    Tokenizer.encode = timed  # type: ignore[method-assign]
    try:
        yield times
    finally:
        Tokenizer.encode = plain  # type: ignore[method-assign]


def _phase(
    name: str, clock: _Clock, of: Sequence[tuple[Path, Sequence[Run]]], *, reader: bool
) -> Phase:
    parts: dict[str, float] = {TOKENISE: clock.tokenising}
    every: list[Operator] = []
    for file, runs in of:
        for run in runs:
            every += run.operators
            for part, operators in _parts(file, run, reader).items():
                parts[part] = parts.get(part, 0.0) + sum(o.seconds for o in operators)
    parts[ENGINE] = max(0.0, clock.inside - sum(o.seconds for o in every))
    parts[OTHER] = max(0.0, clock.seconds - clock.tokenising - clock.inside)
    operations, seconds, kinds = {}, {}, dict[str, float]()
    for label, integer in (("int8", True), ("fp32", False)):
        products = [o for o in every if o.operations and o.integer is integer]
        operations[label] = sum(o.operations for o in products)
        seconds[label] = sum(o.seconds for o in products)
    for operator in every:
        kinds[operator.kind] = kinds.get(operator.kind, 0.0) + operator.seconds
    usage = clock.response.usage
    return Phase(
        name,
        clock.seconds,
        usage.documents,
        usage.pairs,
        usage.tokens,
        parts,
        operations,
        seconds,
        dict(sorted(kinds.items(), key=lambda item: -item[1])),
    )


def _parts(file: Path, run: Run, reader: bool) -> Mapping[str, Sequence[Operator]]:
    if not reader:
        return by_layer(run.operators)
    if file.name == COMPRESS:
        return {COMPRESSING: run.operators}
    if (file.parent / COMPRESS).is_file():
        return {READING: run.operators}
    return {f"encoder {part}": found for part, found in by_layer(run.operators).items()}


@dataclass(frozen=True, slots=True)
class Rates:
    """Queries of so many documents: `p50`, `p95` are milliseconds a query.

    `documents_per_second` is that of the median query; `first` is the milliseconds of the
    first query, which a reader spends on documents that it has not read before.
    """

    documents: int
    rounds: int
    first: float
    p50: float
    p95: float
    documents_per_second: float


def measure_rates(
    reranker: BaseReranker,
    query: str,
    documents: Sequence[DocumentLike],
    *,
    rounds: int = 5,
    max_length: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Rates:
    """Rank the documents once and then `rounds` times more, for queries that differ.

    The query gets a number, so that nothing made for it before can be used again.
    """
    reranker.rerank("a question to warm up with", ["A text to warm up with."])
    times = []
    for turn in range(rounds + 1):
        started = time.perf_counter()
        reranker.rerank(f"{query} {turn}", documents, max_length=max_length)
        times.append((time.perf_counter() - started) * 1000)
        if progress is not None:
            progress(turn + 1, rounds + 1)
    later = times[1:]
    median = float(np.median(later))
    return Rates(
        documents=len(documents),
        rounds=rounds,
        first=times[0],
        p50=median,
        p95=float(np.percentile(later, 95)),
        documents_per_second=1000 * len(documents) / median,
    )


QUESTION = "Which engine crossed the river?"
_WORDS = (
    *("river", "engine", "treaty", "carbon", "teacher", "market", "cell", "orbit", "bridge"),
    *("winter", "language", "museum", "protein", "harbour", "senate", "violin", "desert"),
    *("railway", "theory", "garden", "the", "of", "and", "in", "to", "was", "for"),
)


def sample_texts(count: int, words: int) -> list[str]:
    """Return `count` different texts of `words` words, the same ones each time.

    They mean nothing: how long a model takes depends on lengths alone.
    """
    chooser = random.Random(0)
    return [" ".join(chooser.choices(_WORDS, k=words)) for _ in range(count)]
