"""`secondpass search`: one query against an index."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondpass.cli import no_collection, options
from secondpass.cli.options import Config, read_config
from secondpass.cli.search_options import chosen_options, takes_options
from secondpass.options import SearchOptions

if TYPE_CHECKING:
    from secondpass.index.search import Search


@takes_options(SearchOptions)
def search(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="Query to search for.")],
    index: options.SearchedIndex = None,
    over: options.Over = None,
    model: options.Model = "bundled",
    base_url: options.BaseUrl = None,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Show first-stage and reranked order side by side."),
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the parts of each score.")
    ] = False,
    config: Config = None,
    as_json: options.AsJson = False,
    **typed: Any,
) -> None:
    """Search an index or a database: retrieve first-stage candidates, then rerank them.

    Example:  secondpass search "How do I change my password?" --index my-index --top-k 3
    """
    from secondpass.cli.command_clock import CommandClock
    from secondpass.cli.output import (
        print_comparison,
        print_json,
        print_response,
        response_object,
        working,
    )
    from secondpass.errors import InputError
    from secondpass.option_types import check_second_pass

    chosen: Any = chosen_options(SearchOptions, typed)
    chosen["rerank"] = model if chosen["rerank"] else False
    chosen |= read_config(config, context)
    if chosen["rerank"] is False:
        check_second_pass(SearchOptions, chosen, why="--no-rerank leaves it out")
        if base_url is not None:
            raise InputError(
                "--base-url is for the second pass", why="--no-rerank leaves it out"
            )
    elif base_url is not None:
        from secondpass.registry import load_reranker

        chosen["rerank"] = load_reranker(
            str(chosen["rerank"]), base_url=base_url, timeout=chosen["timeout"]
        )
    before: Any = {
        **{name: chosen[name] for name in ("mode", "candidates", "top_k", "filter", "version")},
        **{name: chosen[name] for name in ("fusion", "weights")},
        **{name: chosen[name] for name in ("query_variants", "like", "unlike")},
        "rerank": False,
    }
    clock = CommandClock()
    with _opening(index, over, config, query, chosen) as opened, working("Searching"):
        clock.opened()
        response = clock.add_to(opened.search(query, **chosen))
        first_stage = opened.search(query, **before) if compare else None
        found = [r.document for r in response.results if r.document is not None]
        terms = opened.term_scores(query, found) if explain and found else None
    if as_json:
        result = response_object(response)
        for entry, words in zip(result["results"], terms or (), strict=False):
            entry["terms"] = [asdict(word) for word in words]
        if first_stage is not None:
            result["before"] = response_object(first_stage)
        print_json(result)
    elif first_stage is not None:
        print_comparison(first_stage, response)
    else:
        print_response(response, explain=explain, terms=terms)


@contextmanager
def _opening(
    index: str | None,
    over: str | None,
    config: Path | None,
    query: str,
    chosen: dict[str, Any],
) -> Iterator[Search]:
    """Open what is searched, and load the bundled models if they are those chosen."""
    from secondpass.composition import Composer
    from secondpass.index.index import index_engine_loading
    from secondpass.models import BUNDLED
    from secondpass.option_values import RESCORE_AUTO
    from secondpass.registry import load_reranker
    from secondpass.rerank.question import is_question
    from secondpass.retrieve.backends.lance.search_import import without_other_packages

    if index is None or over is not None:
        with options.open_source(index, over, config) as opened:
            yield opened
        return
    bundled = chosen["rerank"] in BUNDLED
    # Models of others may use any package.
    own = bundled or chosen["rerank"] is False
    rescorers = {}
    with without_other_packages() if own else nullcontext():
        with no_collection(), index_engine_loading(only_search=own):
            # Only without options of the model: they are applied where it is loaded by name.
            loads = ("early_exit", "precision", "calibration_pairs")
            if bundled and not any(chosen[name] for name in loads):
                chosen["rerank"] = load_reranker(chosen["rerank"])
                if chosen["rescore"] == RESCORE_AUTO and is_question(query):
                    named = Composer().automatic_rescorer(chosen["rerank"], chosen)
                    rescorers = {} if named is None else {named: load_reranker(named)}
            opening = options.open_source(index, over, config)
        with opening as opened:
            if rescorers:
                opened.use_models(rescorers)
            yield opened
