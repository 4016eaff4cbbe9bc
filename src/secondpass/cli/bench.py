"""`secondpass bench`: reranking speed on this machine, with a profile of one query."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondpass.cli import options
from secondpass.errors import InputError

if TYPE_CHECKING:
    from secondpass.profiling import Profile


def bench(
    file: Annotated[
        str | None,
        typer.Argument(
            help="Documents, one a line, or JSONL; - is standard input. Generated if absent.",
            show_default=False,
        ),
    ] = None,
    query: Annotated[str | None, typer.Option(help="Query to rank for.")] = None,
    model: options.Model = "bundled",
    max_length: options.MaxLength = None,
    candidates: Annotated[int, typer.Option(min=1, help="Number of generated documents.")] = 50,
    words: Annotated[int, typer.Option(min=1, help="Words of a generated document.")] = 100,
    rounds: Annotated[int, typer.Option(min=1, help="Number of measurements.")] = 5,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Threads for one batch; the runtime's choice if absent."),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Show the time of each part of one query.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure how fast a model ranks on this machine.

    --profile also shows the shares of tokenization, layers and head in one query, and
    compares matrix products, including operations fused to them, with the peak of ONNX
    Runtime on large matrices and with what the processor's instructions allow.

    Example:  secondpass bench --candidates 20 --words 50 --profile
    """
    from secondpass.cli.doctor import cpu_features
    from secondpass.cli.output import counting, print_json, working
    from secondpass.cli.rerank import read_documents
    from secondpass.profiling import measure_rates, profile_model
    from secondpass.profiling.peak import measure_instructions, measure_peak
    from secondpass.profiling.profile import QUESTION, sample_texts
    from secondpass.reranker import Reranker

    documents: list[Any] = (
        list(sample_texts(candidates, words)) if file is None else read_documents(file)
    )
    if not documents:
        raise InputError("There are no documents to rank", where=str(file))
    query = QUESTION if query is None else query
    measured: Profile | None = None
    peaks: dict[str, float] = {}
    limits: dict[str, float | None] = {}
    if profile:
        with working("Profiling one query"):
            measured = profile_model(
                model, query, documents, max_length=max_length, threads=threads
            )
            peaks = {
                name: measure_peak(integer=name == "int8", threads=threads)
                for name in ("int8", "fp32")
            }
            limits = {
                name: measure_instructions(integer=name == "int8", threads=threads)
                for name in ("int8", "fp32")
            }
    reranker = Reranker(model, threads=threads)
    with counting("Ranking", "queries") as progress:
        rates = measure_rates(
            reranker, query, documents, rounds=rounds, max_length=max_length, progress=progress
        )
    report: dict[str, Any] = {
        "model": reranker.model,
        "cpu_features": cpu_features(),
        "threads": threads,
        "rates": asdict(rates),
        "peak_operations_per_second": peaks or None,
        "instruction_operations_per_second": limits or None,
        "profile": None if measured is None else asdict(measured),
    }
    if as_json:
        print_json(report)
    else:
        _print(report, measured, peaks, limits)


def _print(
    report: dict[str, Any],
    profile: Profile | None,
    peaks: dict[str, float],
    limits: dict[str, float | None],
) -> None:
    rates = report["rates"]
    features = ", ".join(report["cpu_features"]) or "unknown"
    typer.echo(f"{report['model']}, instructions: {features}")
    typer.echo(
        f"{rates['documents']} documents: {rates['p50']:.1f} ms a query (median of "
        f"{rates['rounds']}), p95 {rates['p95']:.1f} ms, "
        f"{rates['documents_per_second']:.0f} documents a second"
    )
    typer.echo(f"the first query, with an empty cache: {rates['first']:.1f} ms")
    for phase in () if profile is None else profile.phases:
        typer.echo("")
        typer.echo(f"{phase.name}: {phase.seconds * 1000:.1f} ms, {phase.tokens} tokens")
        for part, seconds in phase.parts.items():
            share = seconds / phase.seconds
            typer.echo(f"  {part:<24} {seconds * 1000:9.1f} ms {share:7.1%}")
        for kind, peak in peaks.items():
            seconds = phase.product_seconds[kind]
            if seconds > 0:
                reached = phase.operations[kind] / seconds
                typer.echo(
                    f"  products in {kind}: {reached / 1e9:.0f} of {peak / 1e9:.0f} billion "
                    f"operations a second, {reached / peak:.0%}"
                )
                limit = limits[kind]
                if limit is not None:
                    typer.echo(
                        f"    the instructions allow {limit / 1e9:.0f}: {reached / limit:.0%}"
                    )
