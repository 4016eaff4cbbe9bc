"""What clients may say of a search."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from secondpass.server.cloudflare.schemas import (
    Boosts,
    FusionName,
    Likeness,
    MatchMode,
    Name,
    Prompt,
    Results,
    Share,
)

Text = Annotated[str, Field(max_length=100_000)]
RetrievalType = Literal["vector", "keyword", "hybrid"]


class RetrievalForm(TypedDict, total=False):
    """What is found, before it is reranked."""

    retrieval_type: RetrievalType
    max_num_results: Results
    match_threshold: Share
    filters: dict[str, Any]
    fusion_method: FusionName
    keyword_match_mode: MatchMode
    context_expansion: Annotated[int, Field(ge=0, le=3)]
    boost_by: Boosts
    return_on_failure: bool
    metadata_only: bool


class RerankingForm(TypedDict, total=False):
    """Whether and with what is reranked."""

    enabled: bool
    model: Name
    match_threshold: Share


class RewriteForm(TypedDict, total=False):
    """Whether and how the question is rewritten first."""

    enabled: bool
    model: Name
    rewrite_prompt: Prompt


class CacheForm(TypedDict, total=False):
    """Whether an answer to a question like this one will do."""

    enabled: bool
    cache_threshold: Likeness


class OptionsForm(TypedDict, total=False):
    """All options of a search; `instance_ids` is for namespaces."""

    retrieval: RetrievalForm
    reranking: RerankingForm
    query_rewrite: RewriteForm
    cache: CacheForm
    custom_metadata: Annotated[dict[str, str | float | bool], Field(max_length=2)]
    instance_ids: Annotated[list[str], Field(min_length=1, max_length=10)]


class MessageForm(TypedDict, total=False):
    """A message of a conversation; `content` is a text or a list of parts."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | list[dict[str, Any]]


class SearchForm(TypedDict, total=False):
    """A question, or a conversation whose last message of the user is one."""

    query: Text
    messages: Annotated[list[MessageForm], Field(max_length=500)]
    model: Name
    stream: bool
    ai_search_options: OptionsForm
