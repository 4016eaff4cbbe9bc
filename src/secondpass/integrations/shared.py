"""Shared parts of the integrations: a reranker with options, and what metadata records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from secondpass.errors import InputError, nearest
from secondpass.options import RerankOptions
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.inputs import DocumentLike
from secondpass.reranker import Reranker
from secondpass.types import FirstStageScores, RankedDocument, RerankResponse, ScoreKind, Status

RerankerLike = BaseReranker | str | Path
"""A reranker, or the name of one (see `Reranker`)."""

OPTIONS = frozenset(RerankOptions.__annotations__) - {"top_k", "return_documents"}
"""The arguments of `BaseReranker.rerank` that an integration passes on."""

_TEXT_ONLY = {"fields": ("text",)}


class RerankerAdapter:
    """A reranker with fixed options.

    A reranker given by name is loaded at once. Without `fields` and `template` only the text
    is read: a title in metadata, which rerankers read by default, is often a file name.
    """

    def __init__(self, reranker: RerankerLike, options: Mapping[str, Any]) -> None:
        check_reranker(reranker)
        loaded = reranker if isinstance(reranker, BaseReranker) else Reranker(reranker)
        self.reranker: BaseReranker = loaded
        self._options = dict(options) if selects_fields(options) else {**options, **_TEXT_ONLY}

    def rerank(
        self, query: str, documents: Iterable[DocumentLike | None], top_k: int | None
    ) -> RerankResponse:
        """Rerank the documents; raises what the reranker raises.

        None is a document without text (see `missing_text`). Those are ranked last, unscored,
        and `reason` has their number; with `min_score` or `min_probability` they are dropped
        like all that is not scored.
        """
        given = list(documents)
        texts = [document for document in given if document is not None]
        response = self.reranker.rerank(query, texts, top_k=top_k, **self._options)
        return self._rank_textless_last(response, given, top_k)

    async def arerank(
        self, query: str, documents: Iterable[DocumentLike | None], top_k: int | None
    ) -> RerankResponse:
        """Do as `rerank`, without blocking the event loop."""
        given = list(documents)
        texts = [document for document in given if document is not None]
        response = await self.reranker.arerank(query, texts, top_k=top_k, **self._options)
        return self._rank_textless_last(response, given, top_k)

    def missing_text(self, text: object) -> bool:
        """Return whether a document cannot be read: its text is None and no field is named."""
        return text is None and self._options.get("fields") == _TEXT_ONLY["fields"]

    def _rank_textless_last(
        self, response: RerankResponse, given: list[DocumentLike | None], top_k: int | None
    ) -> RerankResponse:
        positions = [p for p, document in enumerate(given) if document is not None]
        textless = [p for p, document in enumerate(given) if document is None]
        if not textless:
            return response
        results = [replace(r, index=positions[r.index]) for r in response.results]
        thresholds = [self._options.get(name) for name in ("min_score", "min_probability")]
        dropped = response.status != Status.FALLBACK and thresholds != [None, None]
        lowest = min((result.score for result in results), default=0.0)
        last = [
            RankedDocument(
                index=position,
                rank=len(results) + number,
                score=lowest - number,
                score_kind=ScoreKind.RANK,
                first_stage=FirstStageScores(position + 1),
                windows=0,
                scored=False,
            )
            for number, position in enumerate(textless, 1)
        ]
        where = "were left out" if dropped else "are ranked last"
        reason = f"{len(textless)} of {len(given)} documents have no text and {where}"
        return replace(
            response,
            results=tuple([*results, *([] if dropped else last)][:top_k]),
            usage=replace(response.usage, documents=len(given)),
            reason=reason
            if response.reason is None or not positions
            else f"{response.reason}; {reason}",
        )


def check_reranker(reranker: object) -> None:
    """Raise `InputError` unless it is a reranker or the name of one."""
    if not isinstance(reranker, RerankerLike):
        raise InputError(
            f"reranker must be a reranker or a name, not {type(reranker).__name__}",
            fix="Pass for example 'bundled', or Reranker('bundled').",
        )


def check_options(
    options: Mapping[str, Any] | None, *, no_spans_in: str | None = None
) -> dict[str, Any]:
    """Return a copy of the options; raises `InputError` for an unknown one.

    `no_spans_in` names results that have no place for spans, in which `spans` is an error.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise InputError(f"options must be a mapping, not {type(options).__name__}")
    for name in options:
        if name not in OPTIONS:
            raise InputError(f"There is no option {name!r}", fix=nearest(str(name), OPTIONS))
    if no_spans_in is not None and options.get("spans", False) is not False:
        raise InputError(
            "spans cannot be returned", why=f"{no_spans_in} have no place for them"
        )
    return dict(options)


def selects_fields(options: Mapping[str, Any]) -> bool:
    """Return whether the options name the fields to read."""
    return options.get("fields") is not None or options.get("template") is not None


def add_rerank_metadata(
    metadata: Mapping[str, Any], response: RerankResponse, result: RankedDocument
) -> dict[str, Any]:
    """Return a copy of a document's metadata with the outcome of the reranking.

    Adds `rerank_status` ("fallback" after one), `rerank_scored`, `rerank_score_kind`, and
    where they are known `rerank_model`, `rerank_reason`, `rerank_probability` (0 to 1),
    `rerank_unread` (the number of characters that were not read) and `rerank_spans` (objects
    with `start`, `end`, `score` and `probability`, see `Span`). Replaces those of an earlier
    reranking.
    """
    outcome = {
        "rerank_status": response.status.value,
        "rerank_scored": result.scored,
        "rerank_score_kind": result.score_kind.value,
        "rerank_model": response.model,
        "rerank_reason": response.reason,
        "rerank_probability": result.probability,
        "rerank_unread": result.unread if result.truncated else None,
        "rerank_spans": [span._asdict() for span in result.spans] or None,
    }
    other = {name: value for name, value in metadata.items() if name not in outcome}
    return other | {name: value for name, value in outcome.items() if value is not None}
