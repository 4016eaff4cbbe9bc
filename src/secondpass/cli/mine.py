"""`secondpass mine`: mine negatives for training pairs."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondpass.cli import options

if TYPE_CHECKING:
    from secondpass.train.mining.mine import MineReport


def mine(
    pairs: Annotated[
        Path,
        typer.Argument(
            help='JSON lines like {"query": "…", "positive": "…"}, with optional "title" and '
            '"negatives"; or a BEIR folder; or a folder that this command wrote.',
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.", show_default=False)],
    hard: Annotated[
        int, typer.Option(help="Negatives from the top of BM25 and of the embedder.")
    ] = 8,
    medium: Annotated[
        int, typer.Option(help="Negatives from ranks 100 to 1,000 of the embedder.")
    ] = 4,
    random: Annotated[int, typer.Option(help="Negatives from anywhere.")] = 4,
    depth: Annotated[int, typer.Option(help="Depth of the top for --hard.")] = 50,
    margin: Annotated[
        float,
        typer.Option(
            help="Reject passages whose cosine similarity to the query exceeds that of its "
            "nearest positive minus this: they may be unmarked answers."
        ),
    ] = 0.05,
    as_found: Annotated[
        bool,
        typer.Option(
            "--as-found",
            help="Instead, take positives and negatives from search results, the first "
            "--depth of BM25 and of the embedder. For collections with many judgments.",
        ),
    ] = False,
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="More passages: JSON lines with text and title, a BEIR folder, or any file "
            "that `secondpass index` reads."
        ),
    ] = None,
    index: options.SearchedIndex = None,
    over: options.Over = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    split: Annotated[
        str, typer.Option(help="Split of a BEIR folder: qrels/SPLIT.tsv.")
    ] = "train",
    force: Annotated[
        bool, typer.Option("--force", help="Replace the examples in --out.")
    ] = False,
    on: options.On = None,
    address: options.RayAddress = None,
    actors: options.Actors = None,
    as_json: options.AsJson = False,
) -> None:
    """Find hard, medium and random negatives for training pairs.

    With --over or --index, the first --depth candidates of that database or index take the
    place of BM25, and the passages to choose from are those that it finds for any query.

    Example:  secondpass mine pairs.jsonl --out mined --corpus corpus.jsonl
    """
    from secondpass.cli.output import print_json, stages
    from secondpass.train.data.files import GROUPS, read_examples, write_examples
    from secondpass.train.export.atomic_folder import check_replaceable
    from secondpass.train.mining.mine import MineSettings, mine, read_corpus

    settings = MineSettings(
        hard, medium, random, depth, margin=margin, as_found=as_found, seed=seed
    )
    # Fail before the work, not after it.
    check_replaceable(out, GROUPS, force=force)
    with ExitStack() as stack:
        runtime = stack.enter_context(options.working_on(on, address, actors))
        progress = stack.enter_context(stages())
        progress("read", 0, 0)
        examples = read_examples(pairs, split=split)
        extra = [] if corpus is None else read_corpus(corpus)
        source = embedder = None
        if index is not None or over is not None:
            source = stack.enter_context(options.open_source(index, over))
        if runtime is not None:
            from secondpass.cluster.bulk_rerank import ray_encoder

            embedder = stack.enter_context(ray_encoder(runtime, actors=actors))
        mined = mine(
            examples, settings, progress, corpus=extra, embedder=embedder, source=source
        )
    write_examples(mined.examples, out, force=force)
    options.print_notes(
        tuple(f"{note} ({count} queries)" for note, count in mined.report.notes.items())
    )
    if as_json:
        print_json({"path": str(out), **asdict(mined.report)})
    else:
        _print(mined.report, out)


def _print(report: MineReport, out: Path) -> None:
    added = f"{report.hard} hard, {report.medium} medium, {report.random} random"
    refused = f"{report.margin} too near, {report.same_text} with its text"
    typer.echo(f"{out}: {report.groups} queries, {report.passages} passages to choose from")
    if report.unfound or report.left_out:
        typer.echo(
            f"    not found by a search: {report.unfound} positives; "
            f"{report.left_out} queries left out"
        )
    typer.echo(f"    negatives: {report.given} given, {added}")
    typer.echo(f"    refused as answers: {refused}, {report.same_query} of the same query")
    if report.short:
        typer.echo(f"    {report.short} queries got fewer than asked for", err=True)
