"""What the integrations share: a reranker, by name or as an object, and its options.

What metadata says about a document that went through a reranker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from secondpass.errors import InputError, nearest
from secondpass.options import RerankOptions
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.inputs import DocumentLike
from secondpass.reranker import Reranker
from secondpass.types import RankedDocument, RerankResponse

RerankerLike = BaseReranker | str | Path
"""A reranker, or the name of one (see `Reranker`)."""

OPTIONS = frozenset(RerankOptions.__annotations__) - {"top_k", "return_documents"}
"""The arguments of `BaseReranker.rerank` that an integration hands on."""

_TEXT_ALONE = {"fields": ("text",)}


def check_reranker(reranker: object) -> None:
    """Raise `InputError` unless it is a reranker or the name of one."""
    if not isinstance(reranker, RerankerLike):
        raise InputError(
            f"reranker must be a reranker or a name, not {type(reranker).__name__}",
            fix="Pass for example 'bundled', or Reranker('bundled').",
        )


def check_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of the options, or raise `InputError` naming one that is not known."""
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise InputError(f"options must be a mapping, not {type(options).__name__}")
    for name in options:
        if name not in OPTIONS:
            raise InputError(f"There is no option {name!r}", fix=nearest(str(name), OPTIONS))
    return dict(options)


def names_fields(options: Mapping[str, Any]) -> bool:
    """Return whether the options say what to read."""
    return options.get("fields") is not None or options.get("template") is not None


class Adapted:
    """A reranker with the options that an integration was given.

    A reranker given by name is loaded at once. Without `fields` and `template` only the text
    is read: a title in metadata, which rerankers read by default, is often a file's name.
    """

    def __init__(self, reranker: RerankerLike, options: Mapping[str, Any]) -> None:
        check_reranker(reranker)
        loaded = reranker if isinstance(reranker, BaseReranker) else Reranker(reranker)
        self.reranker: BaseReranker = loaded
        self._options = dict(options) if names_fields(options) else {**options, **_TEXT_ALONE}

    def rerank(
        self, query: str, documents: Iterable[DocumentLike], top_k: int | None
    ) -> RerankResponse:
        """Return what the reranker makes of the documents; raises what it raises."""
        return self.reranker.rerank(query, documents, top_k=top_k, **self._options)

    async def arerank(
        self, query: str, documents: Iterable[DocumentLike], top_k: int | None
    ) -> RerankResponse:
        """Do as `rerank`, without blocking the event loop."""
        return await self.reranker.arerank(query, documents, top_k=top_k, **self._options)


def with_outcome(
    metadata: Mapping[str, Any], response: RerankResponse, result: RankedDocument
) -> dict[str, Any]:
    """Return a copy of the metadata that says what happened to one document.

    A fallback has `rerank_status` "fallback" and `rerank_scored` False. What there is nothing
    to say about is left out: `rerank_model`, `rerank_reason`, `rerank_probability` (0 to 1)
    and `rerank_unread` (characters that were not read). What an earlier reranker said under
    these names goes.
    """
    said = {
        "rerank_status": response.status.value,
        "rerank_scored": result.scored,
        "rerank_score_kind": result.score_kind.value,
        "rerank_model": response.model,
        "rerank_reason": response.reason,
        "rerank_probability": result.probability,
        "rerank_unread": result.unread if result.truncated else None,
    }
    kept = {name: value for name, value in metadata.items() if name not in said}
    return kept | {name: value for name, value in said.items() if value is not None}
