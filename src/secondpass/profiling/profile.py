"""Profile of a query by part (tokenizer, layers, head, Python), and throughput of a model."""

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

TOKENIZE, ENGINE, OTHER = "tokenise", "between operators", "Python and other"
COMPRESSING, READING = "compress states", "read states"


@dataclass(frozen=True, slots=True)
class Phase:
    """One query: `parts` are seconds by name, and their sum is `seconds`.

    `operations` and `product_seconds` are of the operators with matrix products, by "int8"
    and "fp32"; the seconds include what the engine fuses with a product. `operators` are
    seconds by the engine's operator name.
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
    """A model's queries: one phase, or two (new and known documents) if it precomputes."""

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
    """Rank the documents and return the time of each part, as measured by the engine.

    ONNX Runtime's profiler adds a small overhead. Raises `ModelError` for a model that runs
    in another engine than ONNX Runtime or the native one, and what `rerank` raises.
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
        precomputes = isinstance(reranker.base, PrecomputedReranker)
        names = ("documents never read", "documents read before") if precomputes else ("query",)
        clocks = []
        for turn in range(len(names)):
            # The query differs by a number, or its encoding would come from the cache.
            clocks.append(_time(reranker, f"{query} {turn}", documents, max_length, sessions))
        runs = {id(session): session.finish() for session in sessions}
    phases = []
    for name, clock in zip(names, clocks, strict=True):
        own_runs = [
            (session.file, runs[id(session)][start:stop])
            for session, (start, stop) in zip(sessions, clock.calls, strict=True)
        ]
        phases.append(_phase(name, clock, own_runs, precomputes=precomputes))
    return Profile(reranker.model, "reader" if precomputes else "cross-encoder", phases)


@dataclass(frozen=True, slots=True)
class _Clock:
    """Seconds of a query, of its tokenizer and its sessions, and its range of calls in each."""

    seconds: float
    tokenizing: float
    in_sessions: float
    calls: Sequence[tuple[int, int]]
    response: RerankResponse


def _time(
    reranker: BaseReranker,
    query: str,
    documents: Sequence[DocumentLike],
    max_length: int | None,
    sessions: Sequence[Recorded],
) -> _Clock:
    before = [len(session.calls) for session in sessions]
    with _time_tokenizer() as times:
        started = time.perf_counter()
        response = reranker.rerank(query, documents, max_length=max_length)
        seconds = time.perf_counter() - started
    calls = [(b, len(s.calls)) for b, s in zip(before, sessions, strict=True)]
    in_sessions = sum(
        sum(s.calls[start:stop]) for s, (start, stop) in zip(sessions, calls, strict=True)
    )
    return _Clock(seconds, sum(times), in_sessions, calls, response)


@contextmanager
def _time_tokenizer() -> Iterator[list[float]]:
    """Record the seconds of each call of `Tokenizer.encode`."""
    times: list[float] = []
    encode = Tokenizer.encode

    def timed(self: Tokenizer, texts: Sequence[str], limit: int) -> list[Tokens]:
        started = time.perf_counter()
        tokens = encode(self, texts, limit)
        times.append(time.perf_counter() - started)
        return tokens

    Tokenizer.encode = timed  # type: ignore[method-assign]
    try:
        yield times
    finally:
        Tokenizer.encode = encode  # type: ignore[method-assign]


def _phase(
    name: str,
    clock: _Clock,
    runs_by_file: Sequence[tuple[Path, Sequence[Run]]],
    *,
    precomputes: bool,
) -> Phase:
    parts: dict[str, float] = {TOKENIZE: clock.tokenizing}
    all_operators: list[Operator] = []
    for file, runs in runs_by_file:
        for run in runs:
            all_operators += run.operators
            for part, operators in _parts(file, run, precomputes).items():
                parts[part] = parts.get(part, 0.0) + sum(o.seconds for o in operators)
    parts[ENGINE] = max(0.0, clock.in_sessions - sum(o.seconds for o in all_operators))
    parts[OTHER] = max(0.0, clock.seconds - clock.tokenizing - clock.in_sessions)
    operations, seconds, kinds = {}, {}, dict[str, float]()
    for label, integer in (("int8", True), ("fp32", False)):
        products = [o for o in all_operators if o.operations and o.integer is integer]
        operations[label] = sum(o.operations for o in products)
        seconds[label] = sum(o.seconds for o in products)
    for operator in all_operators:
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


def _parts(file: Path, run: Run, precomputes: bool) -> Mapping[str, Sequence[Operator]]:
    if not precomputes:
        return by_layer(run.operators)
    if file.name == COMPRESS:
        return {COMPRESSING: run.operators}
    if (file.parent / COMPRESS).is_file():
        return {READING: run.operators}
    layers = by_layer(run.operators)
    return {f"encoder {part}": operators for part, operators in layers.items()}


@dataclass(frozen=True, slots=True)
class Rates:
    """Latency of queries with so many documents: `p50`, `p95` in milliseconds.

    `documents_per_second` is that of the median query; `first` is the milliseconds of the
    first query, in which a precomputed reranker reads the documents for the first time.
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
    """Rank the documents once and then `rounds` times more, with different queries.

    A number is appended to the query, so that nothing is cached for it.
    """
    reranker.rerank("a question to warm up with", ["A text to warm up with."])
    times = []
    for turn in range(rounds + 1):
        started = time.perf_counter()
        reranker.rerank(f"{query} {turn}", documents, max_length=max_length)
        times.append((time.perf_counter() - started) * 1000)
        if progress is not None:
            progress(turn + 1, rounds + 1)
    warm = times[1:]
    median = float(np.median(warm))
    return Rates(
        documents=len(documents),
        rounds=rounds,
        first=times[0],
        p50=median,
        p95=float(np.percentile(warm, 95)),
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

    They are meaningless: the time of a model depends only on their lengths.
    """
    chooser = random.Random(0)
    return [" ".join(chooser.choices(_WORDS, k=words)) for _ in range(count)]
