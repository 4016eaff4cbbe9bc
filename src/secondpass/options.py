"""The options of searching and reranking, each declared once for every interface.

The library, the command line, configuration files, the HTTP interface and the reference are
made from these declarations. CONTRIBUTING.md shows how an option is added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict, Union

from secondpass.errors import nearest
from secondpass.option_types import Choice, Count, Custom, Flag, Names, Number, Option, Text

if TYPE_CHECKING:
    from secondpass.rerank.base import BaseReranker
    from secondpass.rerank.calibration import Calibration
    from secondpass.rerank.windowing import PassageAggregation

MODES = ("hybrid", "bm25", "vector")
FUSIONS = ("rrf", "weighted", "weighted-z-score", "dbsf")

BLENDED = ("rerank", "vector", "bm25")
"""The scores that a blend adds up, and the names of their weights."""

Rerank = Union[bool, str, Path, "BaseReranker"]
"""True for the index's own reranker, False for none, else a model's name or a reranker."""
OnFailure = Literal["raise", "fallback"]

_LOCAL = {"http": "the server's own setting, not a client's"}


_WEIGHT = {"type": "number", "minimum": 0}


def _rerank_problem(value: object) -> str | None:
    right = isinstance(value, bool) or (isinstance(value, str) and value != "")
    return None if right else "it must be true, false or the name of a model"


def _cache_problem(value: object) -> str | None:
    right = isinstance(value, bool) or (isinstance(value, str) and value != "")
    return None if right else "it must be true, false or the path of a file"


def _weights_problem(value: Any) -> str | None:
    weight = Number(minimum=0)
    right = isinstance(value, list | tuple) and len(value) == 2
    right = right and not any(map(weight.problem, value))
    return None if right and any(value) else "it must be two numbers from 0 up, not both 0"


def _blend_problem(value: object) -> str | None:
    if isinstance(value, bool):
        return None
    weight = Number(minimum=0)
    if not isinstance(value, dict) or any(map(weight.problem, value.values())):
        return "it must be true, false or a table of numbers from 0 up"
    for name in value:
        if name not in BLENDED:
            return f"There is no score {name!r} to blend. {nearest(name, BLENDED)}"
    return None if any(value.values()) else "At least one weight of a blend must be above 0"


class ResultOptions(TypedDict, total=False):
    """What is read of documents, and which results are returned."""

    min_score: Annotated[float | None, Option(None, "Drop results that score lower.", Number())]
    min_probability: Annotated[
        float | None,
        Option(
            None,
            "Drop results that are less likely to be relevant, 0 to 1.",
            Number(minimum=0, maximum=1),
            second_pass=True,
        ),
    ]
    fields: Annotated[
        Sequence[str] | None,
        Option(None, 'Fields to read, in order, as in "title,text".', Names("field names")),
    ]
    template: Annotated[
        str | None,
        Option(None, 'How fields become text, as in "{title} ({year}): {text}".', Text()),
    ]
    max_length: Annotated[
        int | None, Option(None, "Tokens of one window, query included.", Count())
    ]
    passages: Annotated[
        str | PassageAggregation | None,
        Option(None, "Long documents: max, mean, first or top-N-mean.", Text()),
    ]
    return_documents: Annotated[
        bool,
        Option(
            True,
            "Whether results hold their documents.",
            Flag(),
            absent={"cli": "documents are printed", "config": "a matter of each request"},
        ),
    ]


class RerankOptions(ResultOptions, total=False):
    """The keyword arguments of `BaseReranker.rerank`."""

    top_k: Annotated[int | None, Option(None, "How many results to return.", Count())]


class PolicyOptions(TypedDict, total=False):
    """What surrounds a reranker: the options of `compose`."""

    cascade: Annotated[
        bool,
        Option(
            False,
            "Let bundled-tiny rule out what cannot reach the top, for less work.",
            Flag(),
            second_pass=True,
            flags=("--cascade/--no-cascade",),
        ),
    ]
    budget_ms: Annotated[
        float | None,
        Option(
            None,
            "Milliseconds for the second pass; what does not fit is left unscored.",
            Number(above=0),
            second_pass=True,
        ),
    ]
    cache: Annotated[
        bool | str | Path,
        Option(
            False,
            "Keep scores on disk, and reuse those of earlier runs.",
            Custom({"type": ["boolean", "string"]}, _cache_problem),
            second_pass=True,
            flags=("--cache",),
            absent=_LOCAL,
        ),
    ]
    early_exit: Annotated[
        bool,
        Option(
            False,
            "Stop reading candidates that cannot be among the top k (precomputed rerankers).",
            Flag(),
            second_pass=True,
            flags=("--early-exit", "--exits"),
            absent=_LOCAL,
        ),
    ]
    calibration: Annotated[
        str | Path | Calibration | None,
        Option(
            None,
            "What `secondpass calibrate` wrote for this model.",
            Text("the path of a file"),
            second_pass=True,
            absent=_LOCAL,
        ),
    ]
    chain: Annotated[
        Sequence[str | Path | BaseReranker],
        Option(
            (),
            "Models to ask if the first one fails, in order.",
            Names("names of models"),
            second_pass=True,
            absent=_LOCAL,
        ),
    ]
    on_failure: Annotated[
        OnFailure,
        Option(
            "raise",
            "What a failing reranker does: raise, or fallback to the first pass's order.",
            Choice(("raise", "fallback")),
            flags=("--fallback/--no-fallback",),
        ),
    ]
    timeout: Annotated[
        float | None,
        Option(
            None,
            "Seconds that each model has; 30 for a provider.",
            Number(above=0),
        ),
    ]


class FirstPassOptions(TypedDict, total=False):
    """How many candidates are found, and by what."""

    mode: Annotated[
        str,
        Option("hybrid", "How the first pass searches: hybrid, bm25 or vector.", Choice(MODES)),
    ]
    candidates: Annotated[
        int, Option(50, "How many candidates the first pass hands to the second.", Count())
    ]
    filter: Annotated[
        str | None,
        Option(None, 'An SQL condition on metadata, as in "year >= 2015".', Text()),
    ]
    fusion: Annotated[
        str,
        Option(
            "rrf", f"How hybrid merges its rankings: {', '.join(FUSIONS)}.", Choice(FUSIONS)
        ),
    ]
    weights: Annotated[
        Sequence[float] | None,
        Option(
            None,
            "The weights of BM25 and of vectors in the fusion, two numbers.",
            Custom(
                {"type": "array", "items": _WEIGHT, "minItems": 2, "maxItems": 2},
                _weights_problem,
            ),
        ),
    ]
    version: Annotated[
        int | None,
        Option(None, "Search the index as it was after an earlier write.", Count()),
    ]


class SecondPassOptions(TypedDict, total=False):
    """Whether and how the second pass runs, and how many results are returned."""

    top_k: Annotated[int | None, Option(5, "How many results to return.", Count())]
    rerank: Annotated[
        Rerank,
        Option(
            True,
            "Whether the second pass runs, or the name of the model that it runs.",
            Custom({"type": ["boolean", "string"]}, _rerank_problem),
            flags=("--rerank/--no-rerank",),
        ),
    ]
    blend: Annotated[
        bool | Mapping[str, float],
        Option(
            True,
            "Whether the first pass's scores still count, or the weights of rerank, vector "
            "and bm25.",
            Custom(
                {"type": ["boolean", "object"], "additionalProperties": _WEIGHT},
                _blend_problem,
            ),
            flags=("--blend/--no-blend",),
        ),
    ]


class SearchOptions(
    FirstPassOptions, SecondPassOptions, ResultOptions, PolicyOptions, total=False
):
    """The keyword arguments of `Index.search`."""
