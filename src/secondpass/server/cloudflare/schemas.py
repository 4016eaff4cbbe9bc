"""The settings of an instance, as clients send them.

Bodies and queries checked against typed descriptions of what may stand in them.

What may be said of an endpoint that needs no key.

What clients may say of a search.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from secondpass.inference.tokenizer import clean
from secondpass.server.http_errors import invalid

T = TypeVar("T")
_LONGEST = 1000


class Form(Generic[T]):
    """What a JSON object may hold: a TypedDict whose keys are all optional.

    Nothing is converted: "5" is no number. Unknown keys are left out, and so is null.
    """

    def __init__(self, kind: type[T]) -> None:
        self._adapter: Any = TypeAdapter(kind)
        self._names = tuple(kind.__annotations__)

    def read(self, found: Mapping[str, Any]) -> T:
        """Return what was sent; raises Problem (400), naming what cannot be used."""
        known = {name: found[name] for name in self._names if name in found}
        try:
            read: T = self._adapter.validate_python(_plain(known), strict=True)
        except ValidationError as error:
            told = "; ".join(f"{_place(one['loc'])}: {one['msg']}" for one in error.errors())
            raise invalid(clean(told)[:_LONGEST]) from None
        return read


def _plain(value: Any) -> Any:
    """Return the value without nulls in objects and without halves of characters."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {clean(k): _plain(v) for k, v in value.items() if v is not None}
    return value


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) if location else "the body"


def whole(
    query: Mapping[str, str], name: str, default: int, *, least: int = 1, most: int
) -> int:
    """Return a number of a query string, at most `most`; raises Problem (400)."""
    given = query.get(name)
    if given is None or given == "":
        return default
    if not (given.isascii() and given.isdigit()) or len(given) > 9 or int(given) < least:
        raise invalid(f"{name} must be a whole number from {least} up, not {given[:50]!r}")
    return min(int(given), most)


Host = Annotated[str, Field(min_length=1, max_length=253)]
Hosts = Annotated[list[Host], Field(max_length=50)]


class Mcp(TypedDict, total=False):
    """The endpoint for agents."""

    disabled: bool
    description: Annotated[str, Field(max_length=2000)]


class Switch(TypedDict, total=False):
    """One of the endpoints, which can be switched off by itself."""

    disabled: bool


class RateLimit(TypedDict, total=False):
    """How many requests a period may have; `period_ms` in milliseconds."""

    requests: Annotated[int, Field(ge=1, le=1_000_000)]
    period_ms: Annotated[int, Field(ge=1000, le=86_400_000)]
    technique: Literal["fixed", "sliding"]


class PublicEndpoint(TypedDict, total=False):
    """The endpoints of an instance or a namespace.

    `authorized_hosts`: whose pages browsers may ask from, all if there are none;
    `instances_allowed`: of a namespace only.
    """

    enabled: bool
    authorized_hosts: Hosts
    custom_domains: Hosts
    default_domain_enabled: bool
    search_endpoint: Switch
    chat_completions_endpoint: Switch
    mcp: Mcp
    rate_limit: RateLimit
    instances_allowed: Annotated[list[str], Field(max_length=10)]


class NamespaceForm(TypedDict, total=False):
    """What may be said of a namespace."""

    name: str
    description: Annotated[str, Field(max_length=256)]
    public_endpoint_params: PublicEndpoint


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=200)]
Prompt = Annotated[str, Field(max_length=20_000)]
FieldName = Annotated[str, Field(min_length=1, max_length=64)]
FusionName = Literal["rrf", "max"]
MatchMode = Literal["and", "or"]
Likeness = Literal["super_strict_match", "close_enough", "flexible_friend", "anything_goes"]
Lifetime = Literal[600, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 259200, 518400]
Interval = Literal[900, 1800, 3600, 7200, 14400, 21600, 43200, 86400]
Results = Annotated[int, Field(ge=1, le=50)]


class CustomField(TypedDict):
    """A field of metadata that filters and boosts can name."""

    field_name: FieldName
    data_type: Literal["text", "number", "boolean", "datetime"]


class IndexMethod(TypedDict):
    """Which halves of the index are searched."""

    vector: bool
    keyword: bool


class IndexingOptions(TypedDict, total=False):
    """How files are read and cut into words."""

    keyword_tokenizer: Literal["porter", "trigram"]
    use_ocr: bool


class BoostRule(TypedDict, total=False):
    """A field whose values let chunks stand higher."""

    field: FieldName
    direction: Literal["asc", "desc", "exists", "not_exists"]


Boosts = Annotated[list[BoostRule], Field(max_length=3)]


class RetrievalOptions(TypedDict, total=False):
    """What searches do that say nothing else."""

    keyword_match_mode: MatchMode
    boost_by: Boosts


class InstanceForm(TypedDict, total=False):
    """All settings of an instance."""

    id: str
    type: Literal["r2", "web-crawler"]
    source: str
    source_params: dict[str, Any]
    index_method: IndexMethod
    fusion_method: FusionName
    indexing_options: IndexingOptions
    retrieval_options: RetrievalOptions
    embedding_model: Name
    ai_search_model: Name
    rewrite_model: Name
    rewrite_query: bool
    reranking: bool
    reranking_model: Name
    chunk: bool
    chunk_size: Annotated[int, Field(ge=64, le=8192)]
    chunk_overlap: Annotated[int, Field(ge=0, le=30)]
    max_num_results: Results
    score_threshold: Share
    cache: bool
    cache_threshold: Likeness
    cache_ttl: Lifetime
    custom_metadata: Annotated[list[CustomField], Field(max_length=5)]
    sync_interval: Interval
    public_endpoint_params: PublicEndpoint
    metadata: dict[str, Any]
    token_id: Name
    ai_gateway_id: Name
    hybrid_search_enabled: bool
    paused: bool
    summarization: bool
    summarization_model: Name
    system_prompt_ai_search: Prompt
    system_prompt_rewrite_query: Prompt
    system_prompt_index_summarization: Prompt


NEW: InstanceForm = {
    "index_method": {"vector": True, "keyword": True},
    "fusion_method": "rrf",
    "indexing_options": {"keyword_tokenizer": "porter", "use_ocr": False},
    "retrieval_options": {},
    "rewrite_query": False,
    "reranking": False,
    "chunk": True,
    "chunk_size": 256,
    "chunk_overlap": 10,
    "max_num_results": 10,
    "score_threshold": 0.4,
    "cache": True,
    "cache_threshold": "close_enough",
    "cache_ttl": 86400,
    "custom_metadata": [],
    "sync_interval": 21600,
    "public_endpoint_params": {},
    "metadata": {},
    "paused": False,
}
"""What holds where nothing is said; settings that are not here are null."""


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
