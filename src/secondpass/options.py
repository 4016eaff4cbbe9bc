"""Options of searching and reranking, each declared once for every interface.

The library, the command line, configuration files, the HTTP interface and the reference are
generated from these declarations. CONTRIBUTING.md shows how to add an option.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict, Union

from secondpass.boost_rules import BoostLike
from secondpass.option_types import (
    Choice,
    Count,
    Flag,
    Names,
    Number,
    Option,
    Text,
)
from secondpass.option_values import (
    BLEND,
    BOOSTS,
    CACHE,
    RERANK,
    RESCORE_AUTO,
    RESCORE_WEIGHT,
    RESCORE_WINDOW,
    SPAN_FIELDS,
    SPANS,
    WEIGHTS,
)

if TYPE_CHECKING:
    from secondpass.rerank.base import BaseReranker
    from secondpass.rerank.calibration import Calibration
    from secondpass.rerank.spans import Spans
    from secondpass.rerank.windowing import PassageAggregation

MODES = ("hybrid", "bm25", "vector")
FUSIONS = ("rrf", "weighted", "weighted-z-score", "dbsf")

VARIANT_SCORES = ("first", "max")

BUDGET_TOKENS = 65_536
"""The default of `budget_tokens`; docs/explanation/long-texts.md says what it costs."""

Rerank = Union[bool, str, Path, "BaseReranker"]
"""True for the index's own reranker, False for none, else a model's name or a reranker."""
OnFailure = Literal["raise", "fallback"]
Precision = Literal["auto", "int8", "fp32"]
OnUnsupported = Literal["raise", "ignore"]

_LOCAL = {"http": "the server's own setting, not a client's"}
_OF_ONE_QUERY = {"config": "it belongs to one query"}


class ResultOptions(TypedDict, total=False):
    """How documents are read, and which results are returned."""

    min_score: Annotated[
        float | None, Option(None, "Drop results with a lower score.", Number())
    ]
    min_probability: Annotated[
        float | None,
        Option(
            None,
            "Drop results with a lower probability of relevance, 0 to 1.",
            Number(minimum=0, maximum=1),
            second_pass=True,
        ),
    ]
    fields: Annotated[
        Sequence[str] | None,
        Option(
            None, 'Document fields to read, in order, as in "title,text".', Names("field names")
        ),
    ]
    template: Annotated[
        str | None,
        Option(
            None,
            'Template that turns fields into text, as in "{title} ({year}): {text}".',
            Text(),
        ),
    ]
    max_length: Annotated[
        int | None, Option(None, "Maximum tokens of a window, query included.", Count())
    ]
    passages: Annotated[
        str | PassageAggregation | None,
        Option(
            None,
            "How window scores of a document combine: max, mean, first or top-N-mean.",
            Text(),
        ),
    ]
    max_tokens_per_doc: Annotated[
        int | None,
        Option(
            None,
            "Tokens of a document, from its beginning, that are read at most.",
            Count(),
        ),
    ]
    max_query_tokens: Annotated[
        int | None,
        Option(
            None,
            "Tokens of the query, from its two ends, that are read at most.",
            Count(),
        ),
    ]
    budget_tokens: Annotated[
        int,
        Option(
            BUDGET_TOKENS,
            "Tokens of documents that a local model reads for one query.",
            Count(),
        ),
    ]
    truncate: Annotated[
        bool,
        Option(
            True,
            "Whether to read a part of texts that are too long, or refuse them.",
            Flag(),
            flags=("--truncate/--no-truncate",),
        ),
    ]
    spans: Annotated[
        bool | Mapping[str, Any] | Spans,
        Option(
            False,
            f"Whether results have the sentences that answer, or {', '.join(SPAN_FIELDS)} "
            "of those.",
            SPANS,
            second_pass=True,
            flags=("--spans/--no-spans",),
        ),
    ]
    instructions: Annotated[
        str | None,
        Option(
            None,
            'What the model should prefer, as in "prefer recent and internal documents".',
            Text(),
            second_pass=True,
        ),
    ]
    on_unsupported: Annotated[
        OnUnsupported,
        Option(
            "raise",
            "If the model cannot follow instructions: raise an error, or ignore them.",
            Choice(("raise", "ignore")),
        ),
    ]
    return_documents: Annotated[
        bool,
        Option(
            True,
            "Whether results include their documents.",
            Flag(),
            absent={"cli": "documents are printed", "config": "set by each request"},
        ),
    ]
    early_exit_at: Annotated[
        int | None,
        Option(
            None,
            "Stop reading candidates that cannot be among the first N, and return them "
            "unscored (precomputed rerankers).",
            Count(),
            second_pass=True,
        ),
    ]


class RerankOptions(ResultOptions, total=False):
    """The keyword arguments of `BaseReranker.rerank`."""

    top_k: Annotated[int | None, Option(None, "Number of results to return.", Count())]


class GroupOptions(TypedDict, total=False):
    """How many candidates of one document are reranked, and which documents are not."""

    group_by: Annotated[
        str | None,
        Option(
            None,
            'Return few results of one document ("document"), or of one value of this field.',
            Text("the name of a field"),
        ),
    ]
    group_size: Annotated[int, Option(1, "Results of one group, with group_by.", Count())]
    hide: Annotated[
        Sequence[str],
        Option(
            (),
            "Ids of documents and passages that are not returned.",
            Names("ids", minimum=0),
            repeated=True,
        ),
    ]


class BoostOptions(TypedDict, total=False):
    """Rules that change the ranking after the second pass."""

    boost: Annotated[
        Sequence[BoostLike],
        Option(
            (),
            'What is added to scores, in standard deviations, as in "year >= 2024: +0.3".',
            BOOSTS,
            second_pass=True,
            repeated=True,
        ),
    ]
    diversity: Annotated[
        float | None,
        Option(
            None,
            "Trade relevance for diversity, from 0 to 1 (maximal marginal relevance).",
            Number(minimum=0, maximum=1),
            second_pass=True,
        ),
    ]
    pin: Annotated[
        Sequence[str],
        Option(
            (),
            "Ids of documents and passages that come first, found or not.",
            Names("ids", minimum=0),
            repeated=True,
        ),
    ]


class PlacementOptions(GroupOptions, BoostOptions, total=False):
    """How results are grouped, boosted, pinned and hidden."""


class PolicyOptions(BoostOptions, total=False):
    """Policies around a reranker: the options of `compose`."""

    cascade: Annotated[
        bool,
        Option(
            False,
            "Let bundled-tiny rule out weak candidates before the reranker scores the rest.",
            Flag(),
            second_pass=True,
            flags=("--cascade/--no-cascade",),
        ),
    ]
    rescore: Annotated[
        str | Path | BaseReranker | None,
        Option(
            RESCORE_AUTO,
            "Model that reads the candidates ranked first once more; auto (bundled-full after "
            "bundled, for questions, where the blend is the default one) or none.",
            Text('the name of a model, "auto" or "none"'),
            second_pass=True,
            nullable=True,
        ),
    ]
    rescore_window: Annotated[
        int,
        Option(
            RESCORE_WINDOW, "Candidates that are read with rescore, from the first.", Count(2)
        ),
    ]
    rescore_weight: Annotated[
        float,
        Option(
            RESCORE_WEIGHT,
            "What a standard deviation of rescored scores adds at most, in those before.",
            Number(above=0),
        ),
    ]
    budget_ms: Annotated[
        float | None,
        Option(
            None,
            "Milliseconds for reranking; candidates beyond it are left unscored.",
            Number(above=0),
            second_pass=True,
        ),
    ]
    cache: Annotated[
        bool | str | Path,
        Option(
            False,
            "Cache scores on disk, and reuse those of earlier runs.",
            CACHE,
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
    precision: Annotated[
        Precision | None,
        Option(
            None,
            "Load a cross-encoder in int8 (made once), fp32, or auto: int8 if it ranks alike.",
            Choice(("auto", "int8", "fp32")),
            second_pass=True,
            absent=_LOCAL,
        ),
    ]
    calibration_pairs: Annotated[
        str | Path | None,
        Option(
            None,
            "File of pairs to calibrate int8 on; those of the package if absent.",
            Text("the path of a file"),
            second_pass=True,
            absent=_LOCAL,
        ),
    ]
    calibration: Annotated[
        str | Path | Calibration | None,
        Option(
            None,
            "Calibration file that `secondpass calibrate` wrote for this model.",
            Text("the path of a file"),
            second_pass=True,
            absent=_LOCAL,
        ),
    ]
    chain: Annotated[
        Sequence[str | Path | BaseReranker],
        Option(
            (),
            "Models to try in order if the first one fails.",
            Names("names of models"),
            second_pass=True,
            absent=_LOCAL,
        ),
    ]
    on_failure: Annotated[
        OnFailure,
        Option(
            "raise",
            "If reranking fails: raise an error, or fallback to first-stage order.",
            Choice(("raise", "fallback")),
            flags=("--fallback/--no-fallback",),
        ),
    ]
    timeout: Annotated[
        float | None,
        Option(
            None,
            "Seconds allowed for each model; for a provider 30 if absent.",
            Number(above=0),
        ),
    ]


class FirstStageOptions(GroupOptions, total=False):
    """How the first stage retrieves candidates, and how many."""

    mode: Annotated[
        str,
        Option("hybrid", "First-stage search: hybrid, bm25 or vector.", Choice(MODES)),
    ]
    candidates: Annotated[int, Option(50, "Number of first-stage candidates.", Count())]
    filter: Annotated[
        str | None,
        Option(None, 'SQL condition on metadata, as in "year >= 2015".', Text()),
    ]
    fusion: Annotated[
        str,
        Option(
            "rrf",
            f"How hybrid search merges its rankings: {', '.join(FUSIONS)}.",
            Choice(FUSIONS),
        ),
    ]
    weights: Annotated[
        Sequence[float] | None,
        Option(
            None,
            "Fusion weights of BM25 and vector search, two numbers.",
            WEIGHTS,
        ),
    ]
    version: Annotated[
        int | None,
        Option(None, "Search an earlier version of the index.", Count()),
    ]


class ExpansionOptions(TypedDict, total=False):
    """What a search looks for besides its query, and what it finds while it reads."""

    query_variants: Annotated[
        Sequence[str],
        Option(
            (),
            "Other wordings of the query, whose first stages are fused with its own.",
            Names("texts", minimum=0),
            repeated=True,
            flags=("--query-variant",),
            absent=_OF_ONE_QUERY,
        ),
    ]
    variant_scores: Annotated[
        str,
        Option(
            "first",
            "Read candidates with the first query, or with all, the best score counting: max.",
            Choice(VARIANT_SCORES),
            second_pass=True,
        ),
    ]
    like: Annotated[
        Sequence[str],
        Option(
            (),
            "Ids of documents that results should be like.",
            Names("ids of documents", minimum=0),
            repeated=True,
            absent=_OF_ONE_QUERY,
        ),
    ]
    unlike: Annotated[
        Sequence[str],
        Option(
            (),
            "Ids of documents that results should not be like; they are left out.",
            Names("ids of documents", minimum=0),
            repeated=True,
            absent=_OF_ONE_QUERY,
        ),
    ]
    feedback: Annotated[
        int | None,
        Option(
            None,
            "Search again for words and vectors of so many of the best documents, once half "
            "of the candidates are read.",
            Count(),
            second_pass=True,
        ),
    ]
    adaptive: Annotated[
        bool,
        Option(
            False,
            "Read neighbors of the best documents instead of the last candidates.",
            Flag(),
            second_pass=True,
            flags=("--adaptive/--no-adaptive",),
        ),
    ]


class RerankingOptions(TypedDict, total=False):
    """Whether and how candidates are reranked, and how many results are returned."""

    top_k: Annotated[int | None, Option(5, "Number of results to return.", Count())]
    rerank: Annotated[
        Rerank,
        Option(
            True,
            "Whether to rerank, or the name of the reranker.",
            RERANK,
            flags=("--rerank/--no-rerank",),
        ),
    ]
    blend: Annotated[
        bool | Mapping[str, float],
        Option(
            True,
            "Whether to blend first-stage scores in, or the weights of rerank, vector, bm25 "
            "and neighbors.",
            BLEND,
            flags=("--blend/--no-blend",),
        ),
    ]


class SearchOptions(
    FirstStageOptions,
    ExpansionOptions,
    RerankingOptions,
    ResultOptions,
    PolicyOptions,
    total=False,
):
    """The keyword arguments of `Index.search`."""
