"""The base class of every reranker."""

from __future__ import annotations

import asyncio
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

from secondpass.errors import InputError, TextTooLongError
from secondpass.inference.query_cut import QueryCut, cut_query, shared_tokenizer
from secondpass.observe import stage
from secondpass.options import BUDGET_TOKENS, OnUnsupported, RerankOptions
from secondpass.rerank.early_exit import early_exit_unsupported
from secondpass.rerank.inputs import (
    DocumentLike,
    check_count,
    check_fields,
    check_number,
    check_probability,
    check_query,
    require_count,
    to_candidates,
)
from secondpass.rerank.results import filter_by_probability, rank_results
from secondpass.rerank.score import Scored, ScoringJob, SpanSource
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.spans import (
    Sentences,
    Spans,
    add_spans,
    check_spans,
    parse_spans,
)
from secondpass.rerank.window_choice import token_share
from secondpass.rerank.windowing import PassageAggregation, parse_aggregation
from secondpass.types import (
    Candidate,
    RerankResponse,
    ScoreKind,
    Status,
    Usage,
)


class BaseReranker(ABC):
    """The base class of backends and policies; a subclass says how candidates are scored.

    A policy that wraps a reranker (blending, caching, a budget) is a reranker too, so that
    policies compose.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "score_together" in cls.__dict__ and "score_batch" not in cls.__dict__:
            warnings.warn(
                f"{cls.__name__}.score_together is deprecated: name it score_batch",
                DeprecationWarning,
                stacklevel=2,
            )
            cls.score_batch = cls.__dict__["score_together"]  # type: ignore[method-assign]

    runs_here: bool = True
    """Whether the model runs in this process; False for one behind a provider's interface."""
    max_length: int | None = None
    """Tokens that the model reads at once, unless told otherwise; None where unknown."""
    precision: str = "unknown"
    """The numeric precision that a local model runs in: "int8", "fp32" or "unknown"."""
    precision_reason: str = ""
    """Why it runs in that precision, and how int8 compares with full precision."""
    follows_instructions: bool = False
    """Whether the model reads `ScoringOptions.instructions`; of a backend, not of a policy."""
    exits_early: bool = False
    """Whether the model heeds `ScoringOptions.early_exit_at`; of a backend, not of a policy."""
    states_mark: str = ""
    """What tells scores over smaller stored states from the others; of a backend."""

    @property
    @abstractmethod
    def model(self) -> str:
        """The name of the model, as it appears in responses."""

    @property
    def base(self) -> BaseReranker:
        """The backend inside of all policies; a backend is its own."""
        return self

    @property
    def identity(self) -> str | None:
        """The fingerprint of the model for cache keys, or None where it has none.

        A text that changes with everything that can change the score of a pair: weights,
        precision, calibration, limits. The query, the texts and the `ScoringOptions` are not
        part of it. With None, the default, scores are never cached.
        """
        return None

    @property
    def blend_weights(self) -> Mapping[str, float] | None:
        """The weights for a `Blend` that were fitted for this model; None where none were."""
        return None

    @property
    def default_rescorer(self) -> str | None:
        """The model that reads the first results of this one again in a search, or None.

        It is used where the option `rescore` is "auto". Policies that change scores have none.
        """
        return None

    def map_base(self, function: Callable[[BaseReranker], BaseReranker]) -> BaseReranker:
        """Return this reranker with every backend inside replaced by `function(backend)`.

        A backend returns `function(self)`; a policy returns a copy of itself around what it
        wraps, and shares all else with it.
        """
        return function(self)

    def models_without_instructions(self) -> tuple[str, ...]:
        """Return the names of the models inside that do not follow instructions."""
        inner = self.base
        if inner is not self:
            return inner.models_without_instructions()
        return () if self.follows_instructions else (self.model,)

    def check_instructions(
        self, instructions: str | None, on_unsupported: OnUnsupported = "raise"
    ) -> str | None:
        """Return why instructions are ignored, or None where they are followed or not given.

        Raises `InputError` for a model that cannot follow them with `on_unsupported` "raise".
        """
        if on_unsupported not in ("raise", "ignore"):
            raise InputError(
                f'on_unsupported must be "raise" or "ignore", not {on_unsupported!r}'
            )
        if instructions is None:
            return None
        if not isinstance(instructions, str) or not instructions.strip():
            raise InputError(
                "instructions must be a text",
                why=f"they are {instructions!r:.80}",
                fix='Write what the model should prefer, as in "prefer recent documents".',
            )
        unable = " and ".join(dict.fromkeys(self.models_without_instructions()))
        if not unable:
            return None
        if on_unsupported == "ignore":
            return f"the instructions were ignored: {unable} cannot follow any"
        raise InputError(
            "The instructions cannot be followed",
            why=f"{unable} is not a model that follows instructions",
            fix="Use one that does, such as voyage/rerank-2.5 or a language model, or set "
            'on_unsupported="ignore".',
        )

    def cut_query(self, query: str, max_tokens: int | None) -> QueryCut:
        """Return what the model reads of a query: its two ends, where it is too long.

        `max_tokens` is the limit of the caller; None leaves it to the model. A backend that has
        no limit of its own counts tokens with the bundled embedder's tokenizer.
        """
        if self.base is not self:
            return self.base.cut_query(query, max_tokens)
        if max_tokens is None:
            return QueryCut(query, 0)
        return cut_query(shared_tokenizer(), query, max_tokens)

    @abstractmethod
    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Return the scores of at least one candidate for a query that is not empty.

        They must not depend on which other candidates are in the list unless the kind of score
        is `ScoreKind.RANK`. The candidates must not be changed, and several threads may call
        this at once. It is called with positional arguments.
        """

    @property
    def span_reranker(self) -> BaseReranker:
        """The reranker whose spans these are: the one that a policy wraps; a backend itself."""
        return self

    @property
    def spans_from(self) -> SpanSource | None:
        """Where spans come from: stored states, reading sentences as documents, or nowhere.

        With None, the default of a backend, `spans` is an error. Else `score_sentences` is
        implemented.
        """
        inner = self.span_reranker
        return None if inner is self else inner.spans_from

    def score_sentences(
        self,
        query: str,
        candidates: Sequence[Candidate],
        sentences: Sequence[Sentences],
        options: ScoringOptions,
    ) -> Scored:
        """Return the log-odds of the sentences of each candidate, all in one list, in order.

        The query is not empty, there is at least one sentence, and the text is the last field
        of `options`. A sentence of which nothing was read has `scored=False`. A score must not
        depend on other documents. Called only where `spans_from` is not None.
        """
        inner = self.span_reranker
        if inner is self:
            raise NotImplementedError(f"{type(self).__name__} gives no spans")
        return inner.score_sentences(query, candidates, sentences, options)

    def score_batch(self, jobs: Sequence[ScoringJob]) -> list[Scored]:
        """Return the scores of several queries, computed in shared batches where possible.

        Each query has the scores that `score` would give it alone.
        """
        return [self.score(*job) for job in jobs]

    def score_together(self, jobs: Sequence[ScoringJob]) -> list[Scored]:
        """Deprecated name of `score_batch`."""
        warnings.warn(
            "score_together is deprecated: call score_batch", DeprecationWarning, stacklevel=2
        )
        return self.score_batch(jobs)

    def rerank(
        self,
        query: str,
        documents: Iterable[DocumentLike],
        *,
        top_k: int | None = None,
        min_score: float | None = None,
        min_probability: float | None = None,
        fields: Sequence[str] | None = None,
        template: str | None = None,
        max_length: int | None = None,
        passages: str | PassageAggregation | None = None,
        max_tokens_per_doc: int | None = None,
        max_query_tokens: int | None = None,
        budget_tokens: int = BUDGET_TOKENS,
        truncate: bool = True,
        spans: bool | Mapping[str, Any] | Spans = False,
        instructions: str | None = None,
        on_unsupported: OnUnsupported = "raise",
        return_documents: bool = True,
        early_exit_at: int | None = None,
    ) -> RerankResponse:
        """Sort the documents by their relevance to the query.

        - `documents`: texts, mappings, `Document`s or `Candidate`s, best of the first
          stage first. An empty list gives an empty response with status "skipped".
        - `top_k`: the number of results, at least 1; None returns all.
        - `min_score`: drop results with a lower `score`; 0.0 is a value. Results that were not
          scored (see `RankedDocument.scored`) are dropped too. Nothing is dropped where a
          fallback stood in, whose scores are on another scale.
        - `min_probability`: drop results with a lower `probability`, 0 to 1, and those that
          were not scored. Where none is left, `reason` says so; where a fallback stood in,
          nothing is dropped. See `Calibrated` for probabilities that fit your data.
        - `fields`, `template`, `max_length`: what the model reads, see `ScoringOptions`.
        - `passages`: how the scores of a long document's windows are combined: "max", "mean",
          "first", "top-N-mean" or a `PassageAggregation`.
        - `max_tokens_per_doc`: how many tokens of a document are read at most, from its
          beginning; None reads on as far as `budget_tokens` allows.
        - `max_query_tokens`: how many tokens of the query are read at most, half of them from
          its end; None is the model's own limit.
        - `budget_tokens`: how many tokens of documents a model in this process reads for a
          query; what short documents leave is shared among the long ones, of which the
          windows that have the query's words are read.
        - `truncate`: False raises `TextTooLongError` where True reports a text as not read
          whole (`RerankResponse.warnings`, `RankedDocument.unread`).
        - `spans`: True, a `Spans` or a mapping with its arguments adds to each returned result
          the sentences that answer (`RankedDocument.spans`). `usage` counts what is read for
          it. Raises `InputError` for a reranker without `spans_from`.
        - `instructions`: what the model should prefer, in words, such as "prefer recent
          documents"; for models with `follows_instructions`. `on_unsupported`: "raise" refuses
          them for other models, "ignore" reads without them and says so in `reason`.
        - `return_documents`: False leaves `document` None in the results; ids stay.
        - `early_exit_at`: leave unscored what cannot be among so many first ones, at least 1;
          None scores all. Raises `InputError` for a reranker without `exits_early`.

        Raises `InputError` for invalid arguments and `ModelError` if the model fails.
        """
        started = time.perf_counter()
        query = check_query(query)
        top_k = check_count("top_k", top_k)
        min_score = check_number("min_score", min_score)
        min_probability = check_probability("min_probability", min_probability)
        reads_text = fields is None and template is None
        candidates = to_candidates(documents, text_needed=reads_text)
        budget_tokens = require_count("budget_tokens", budget_tokens)
        ignored = self.check_instructions(instructions, on_unsupported)
        options = make_scoring_options(
            fields=fields,
            template=template,
            max_length=max_length,
            passages=passages,
            max_tokens_per_doc=max_tokens_per_doc,
            max_query_tokens=max_query_tokens,
            instructions=instructions,
            top_k=top_k,
            early_exit_at=early_exit_at,
            started=started,
        )
        if early_exit_at is not None and not self.base.exits_early:
            raise early_exit_unsupported(self.model)
        wanted = parse_spans(spans)
        if wanted is not None:
            check_spans(self, options)
        read = self.cut_query(query, max_query_tokens)
        if not truncate and read.unread:
            raise too_long("query", len(query), read.unread)
        if candidates:
            options.check([c.document for c in candidates])
            share = token_share(options.texts(candidates), budget_tokens)
            options = replace(options, token_share=share)
            count = len(candidates)
            with stage(
                "rerank", query=query, model=self.model, documents=count, top_k=top_k
            ) as attributes:
                scored = self.score(read.text, candidates, options)
                attributes |= {"tokens": scored.tokens, "status": scored.status.value}
        else:
            scored = Scored(
                (), ScoreKind.RANK, status=Status.SKIPPED, reason="there were no documents"
            )
        if not truncate:
            _check_read_whole(candidates, scored, options)
        results = rank_results(candidates, scored, options, return_documents)
        if not scored.thresholds_apply:
            min_score = min_probability = None
        if min_score is not None:
            results = [r for r in results if r.scored and r.score >= min_score]
        reason = scored.reason
        if min_probability is not None:
            results, none_left = filter_by_probability(results, min_probability, self.model)
            reason = none_left if reason is None else reason
        results = results[:top_k]
        reason = "; ".join(part for part in (reason, ignored) if part) or None
        elapsed = (time.perf_counter() - started) * 1000
        timings = {"rerank": elapsed, "total": elapsed}
        sentences: Scored | None = None
        if wanted is not None:
            results, sentences = add_spans(
                self, read.text, candidates, results, options, wanted
            )
            total = (time.perf_counter() - started) * 1000
            timings = {"rerank": elapsed, "spans": total - elapsed, "total": total}
        if sentences is not None and sentences.reason is not None:
            reason = sentences.reason if reason is None else f"{reason}; {sentences.reason}"
        return RerankResponse(
            query=query,
            model=_model_of(self.model, scored),
            status=scored.status,
            results=tuple(results),
            timings=timings,
            usage=Usage(
                documents=len(candidates),
                scored=sum(s.scored for s in scored.scores),
                pairs=scored.pairs + (0 if sentences is None else sentences.pairs),
                tokens=scored.tokens + (0 if sentences is None else sentences.tokens),
                truncated=sum(s.unread > 0 for s in scored.scores),
                unread=sum(s.unread for s in scored.scores),
                requests=scored.requests,
                searches=scored.searches,
                cost=scored.cost,
            ),
            reason=reason,
            query_unread=read.unread,
        )

    async def arerank(
        self, query: str, documents: Iterable[DocumentLike], **options: Unpack[RerankOptions]
    ) -> RerankResponse:
        """Do as `rerank`, in a worker thread, without blocking the event loop."""
        return await asyncio.to_thread(self.rerank, query, documents, **options)


def make_scoring_options(
    *,
    fields: Sequence[str] | None = None,
    template: str | None = None,
    max_length: int | None = None,
    passages: str | PassageAggregation | None = None,
    max_tokens_per_doc: int | None = None,
    max_query_tokens: int | None = None,
    instructions: str | None = None,
    top_k: int | None = None,
    early_exit_at: int | None = None,
    started: float | None = None,
) -> ScoringOptions:
    """Return the options of `BaseReranker.rerank` as `score` takes them, or raise `InputError`.

    `token_share` is left to the caller, who knows the documents.
    """
    return ScoringOptions(
        check_fields(fields),
        template,
        max_length,
        parse_aggregation(passages),
        check_count("max_tokens_per_doc", max_tokens_per_doc),
        check_count("max_query_tokens", max_query_tokens),
        instructions=instructions,
        top_k=top_k,
        early_exit_at=check_count("early_exit_at", early_exit_at),
        started=started,
    )


def _check_read_whole(
    candidates: Sequence[Candidate], scored: Scored, options: ScoringOptions
) -> None:
    for position, score in enumerate(scored.scores):
        if score.unread:
            length = sum(map(len, options.texts([candidates[position]])[0]))
            raise too_long(f"document {position}", length, score.unread)


def too_long(what: str, length: int, unread: int) -> TextTooLongError:
    """Return the error for a text that `truncate=False` refuses, with counts of characters."""
    return TextTooLongError(
        f"The {what} is too long",
        why=f"{unread} of its {length} characters would not be read, and truncate is False",
        fix="Shorten it, or leave truncate out to have a part of it read.",
    )


def _model_of(model: str, scored: Scored) -> str | None:
    if scored.status is Status.FALLBACK:
        return None
    return model if scored.model is None else scored.model
