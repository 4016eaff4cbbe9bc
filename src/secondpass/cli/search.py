"""`secondpass search`: one question to an index."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from secondpass.cli import options
from secondpass.cli.options import Config, configured


def search(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="What to look for.")],
    index: options.IndexFolder,
    mode: Annotated[str, typer.Option(help="hybrid, bm25 or vector.")] = "hybrid",
    candidates: Annotated[int, typer.Option(help="How many the first pass hands over.")] = 50,
    top_k: options.TopK = 5,
    rerank: Annotated[
        bool, typer.Option("--rerank/--no-rerank", help="Whether the second pass runs.")
    ] = True,
    model: options.Model = "bundled",
    filter: Annotated[  # noqa: A002 - the name of the option
        str | None, typer.Option(help='An SQL condition on metadata, as in "year >= 2015".')
    ] = None,
    fusion: Annotated[
        str, typer.Option(help="How hybrid merges its halves: rrf, weighted or dbsf.")
    ] = "rrf",
    blend: Annotated[
        bool,
        typer.Option("--blend/--no-blend", help="Whether the first pass's scores still count."),
    ] = True,
    min_score: options.MinScore = None,
    calibration: options.CalibrationFile = None,
    min_probability: options.MinProbability = None,
    fields: options.Fields = None,
    template: options.Template = None,
    max_length: options.MaxLength = None,
    passages: options.PassagesOption = "max",
    base_url: options.BaseUrl = None,
    chain: options.Chain = None,
    fallback: options.FallbackFlag = False,
    timeout: options.Timeout = None,
    budget_ms: options.BudgetMs = None,
    cascade: options.CascadeOption = False,
    cache: options.CacheOption = False,
    exits: options.ExitsOption = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Show the order before and after, side by side.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what each stage added to a score.")
    ] = False,
    config: Config = None,
    as_json: options.AsJson = False,
) -> None:
    """Search an index: many candidates from the first pass, the best of the second on top.

    Example:  secondpass search "How do I change my password?" --index my-index --top-k 3
    """
    from secondpass.cli.output import (
        print_comparison,
        print_json,
        print_response,
        response_object,
        working,
    )
    from secondpass.errors import InputError
    from secondpass.index.composition import second_pass
    from secondpass.index.index import Index, SearchOptions
    from secondpass.retrieve.bm25 import term_scores

    chosen: SearchOptions = {
        "mode": mode,
        "candidates": candidates,
        "top_k": top_k,
        "rerank": model if rerank else False,
        "filter": filter,
        "fusion": fusion,
        "blend": blend,
        "cascade": cascade,
        "calibration": calibration,
        "min_score": min_score,
        "min_probability": min_probability,
        "fields": options.split_names(fields),
        "template": template,
        "max_length": max_length,
        "passages": passages,
        "chain": options.split_names(chain) or (),
        "on_failure": "fallback" if fallback else "raise",
        "timeout": timeout,
    }
    set_by_file: Any = configured(config, context)
    chosen |= set_by_file
    around = budget_ms is not None or cache or exits or base_url is not None
    if (around or chosen["cascade"]) and chosen["rerank"] is False:
        raise InputError(
            "--budget-ms, --cascade, --cache, --exits and --base-url are for the second pass",
            why="--no-rerank leaves it out",
        )
    if around:
        with working("Loading the models"):
            chosen["rerank"] = second_pass(
                "bundled" if chosen["rerank"] is True else str(chosen["rerank"]),
                base_url=base_url,
                timeout=timeout,
                budget_ms=budget_ms,
                cascade=chosen["cascade"],
                cache=cache,
                exits=exits,
            )
        chosen["cascade"] = False
    alone: SearchOptions = {"rerank": False, "calibration": None, "cascade": False}
    unlimited: SearchOptions = {"min_score": None, "min_probability": None}
    unranked: SearchOptions = {**chosen, **alone, **unlimited}
    with Index.open(index, create=False) as opened, working("Searching"):
        response = opened.search(query, **chosen)
        before = opened.search(query, **unranked) if compare else None
        names = [r.id for r in response.results if r.id is not None]
        terms = term_scores(opened.store, query, names) if explain and names else {}
    if as_json:
        result = response_object(response)
        for one in result["results"] if explain else ():
            one["terms"] = [asdict(term) for term in terms.get(one["id"], ())]
        if before is not None:
            result["before"] = response_object(before)
        print_json(result)
    elif before is not None:
        print_comparison(before, response)
    else:
        print_response(response, explain=explain, terms=terms)
