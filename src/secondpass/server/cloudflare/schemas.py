"""Schemas of request bodies and query parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict, is_typeddict

from secondpass.inference.unicode import clean
from secondpass.server.http_errors import invalid
from secondpass.server.request_fields import Honored, NoEffect, RequestField, RequestFields

T = TypeVar("T")
_MAX_MESSAGE = 1000


def typed_fields(kind: type, prefix: str = "") -> dict[str, RequestField]:
    """Return the declared fields of a TypedDict and of those inside it, by path.

    Each key has a declaration in its annotation. Raises TypeError for one without.
    """
    fields: dict[str, RequestField] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        bare, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        inner, path = bare, f"{prefix}{name}"
        if get_origin(bare) is list:
            (inner,), path = get_args(bare), f"{path}[]"
        declared = [one for one in extras if isinstance(one, RequestField)]
        if declared:
            fields[f"{prefix}{name}"] = declared[0]
        elif is_typeddict(inner):
            fields |= typed_fields(inner, f"{path}.")
        else:
            raise TypeError(f"{kind.__name__}.{name} is not declared as a request field")
    return fields


class Schema(Generic[T]):
    """Validates a JSON object against a TypedDict whose keys are all optional.

    Nothing is converted: "5" is not a number. Unknown keys and nulls are dropped.
    """

    def __init__(self, kind: type[T]) -> None:
        self._adapter: Any = TypeAdapter(kind)
        self._names = tuple(kind.__annotations__)

    def parse(self, body: Mapping[str, Any]) -> T:
        """Return the known keys of a body; raises HttpError (400) that names invalid ones."""
        known = {name: body[name] for name in self._names if name in body}
        try:
            parsed: T = self._adapter.validate_python(_normalize(known), strict=True)
        except ValidationError as error:
            message = "; ".join(
                f"{_location(detail['loc'])}: {detail['msg']}" for detail in error.errors()
            )
            raise invalid(clean(message)[:_MAX_MESSAGE]) from None
        return parsed


def _normalize(value: Any) -> Any:
    """Return the value without nulls in objects and without lone surrogates in text."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_normalize(element) for element in value]
    if isinstance(value, Mapping):
        return {clean(k): _normalize(v) for k, v in value.items() if v is not None}
    return value


def _location(path: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in path) if path else "the body"


def query_int(
    query: Mapping[str, str], name: str, default: int, *, minimum: int = 1, maximum: int
) -> int:
    """Return an integer query parameter, at most `maximum`; raises HttpError (400)."""
    text = query.get(name)
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) < minimum:
        raise invalid(f"{name} must be a whole number, {minimum} or more, but is {text[:50]!r}")
    return min(int(text), maximum)


UnitFloat = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=100_000)]
Prompt = Annotated[str, Field(max_length=20_000)]
FieldName = Annotated[str, Field(min_length=1, max_length=64)]
Host = Annotated[str, Field(min_length=1, max_length=253)]
Hosts = Annotated[list[Host], Field(max_length=50)]
ResultCount = Annotated[int, Field(ge=1, le=50)]
FusionMethod = Literal["rrf", "max"]
MatchMode = Literal["and", "or"]
RetrievalType = Literal["vector", "keyword", "hybrid"]
CacheThreshold = Literal[
    "super_strict_match", "close_enough", "flexible_friend", "anything_goes"
]
CacheTtl = Literal[600, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 259200, 518400]
SyncInterval = Literal[900, 1800, 3600, 7200, 14400, 21600, 43200, 86400]


class McpSettings(TypedDict, total=False):
    """The public MCP endpoint."""

    disabled: bool
    description: Annotated[str, Field(max_length=2000)]


class EndpointSwitch(TypedDict, total=False):
    """Whether one public endpoint is disabled."""

    disabled: bool


class RateLimit(TypedDict, total=False):
    """How many requests are allowed in a period of `period_ms` milliseconds."""

    requests: Annotated[int, Field(ge=1, le=1_000_000)]
    period_ms: Annotated[int, Field(ge=1000, le=86_400_000)]
    technique: Literal["fixed", "sliding"]


class PublicEndpointSettings(TypedDict, total=False):
    """The public endpoints of an instance or a namespace.

    `authorized_hosts`: the hosts whose pages may call it from a browser, any if empty;
    `instances_allowed`: the instances that a namespace shows.
    """

    enabled: bool
    authorized_hosts: Hosts
    custom_domains: Hosts
    default_domain_enabled: bool
    search_endpoint: EndpointSwitch
    chat_completions_endpoint: EndpointSwitch
    mcp: McpSettings
    rate_limit: RateLimit
    instances_allowed: Annotated[list[str], Field(max_length=10)]


class NamespaceBody(TypedDict, total=False):
    """The body that creates or updates a namespace."""

    name: str
    description: Annotated[str, Field(max_length=256)]
    public_endpoint_params: PublicEndpointSettings


class CustomField(TypedDict):
    """A metadata field that filters and boosts can name."""

    field_name: FieldName
    data_type: Literal["text", "number", "boolean", "datetime"]


class IndexMethod(TypedDict):
    """Whether vectors and keywords are searched."""

    vector: bool
    keyword: bool


class IndexingOptions(TypedDict, total=False):
    """How files are read and tokenized."""

    keyword_tokenizer: Literal["porter", "trigram"]
    use_ocr: bool


class BoostRule(TypedDict, total=False):
    """A metadata field that raises the scores of chunks."""

    field: FieldName
    direction: Literal["asc", "desc", "exists", "not_exists"]


Boosts = Annotated[list[BoostRule], Field(max_length=3)]


class RetrievalDefaults(TypedDict, total=False):
    """Retrieval options of an instance, for searches that do not set them."""

    keyword_match_mode: MatchMode
    boost_by: Boosts


class InstanceSettings(TypedDict, total=False):
    """All settings of an instance."""

    id: str
    type: Literal["r2", "web-crawler"]
    source: str
    source_params: dict[str, Any]
    index_method: IndexMethod
    fusion_method: FusionMethod
    indexing_options: IndexingOptions
    retrieval_options: RetrievalDefaults
    embedding_model: Name
    ai_search_model: Name
    rewrite_model: Name
    rewrite_query: bool
    reranking: bool
    reranking_model: Name
    chunk: bool
    chunk_size: Annotated[int, Field(ge=64, le=8192)]
    chunk_overlap: Annotated[int, Field(ge=0, le=30)]
    max_num_results: ResultCount
    score_threshold: UnitFloat
    cache: bool
    cache_threshold: CacheThreshold
    cache_ttl: CacheTtl
    custom_metadata: Annotated[list[CustomField], Field(max_length=5)]
    sync_interval: SyncInterval
    public_endpoint_params: PublicEndpointSettings
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


DEFAULT_SETTINGS: InstanceSettings = {
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
"""The settings of a new instance; those that are not here are null."""


class RetrievalOptions(TypedDict, total=False):
    """The first stage of a search."""

    retrieval_type: Annotated[RetrievalType, Honored("vector, keyword or hybrid")]
    max_num_results: Annotated[ResultCount, Honored("how many chunks are returned, 1 to 50")]
    match_threshold: Annotated[UnitFloat, Honored("the lowest score that is returned, 0 to 1")]
    filters: Annotated[dict[str, Any], Honored("conditions on metadata")]
    fusion_method: Annotated[FusionMethod, Honored("how results are merged: rrf or max")]
    keyword_match_mode: Annotated[
        MatchMode, Honored("whether keyword results have all words (and) or any (or)")
    ]
    context_expansion: Annotated[
        int, Field(ge=0, le=3), Honored("how many neighboring chunks are added to the text")
    ]
    boost_by: Annotated[Boosts, Honored("metadata fields that raise scores")]
    return_on_failure: Annotated[bool, Honored("whether partial results may be returned")]
    metadata_only: Annotated[bool, Honored("whether chunks come without their text")]


class RerankingOptions(TypedDict, total=False):
    """The second stage of a search."""

    enabled: Annotated[bool, Honored("whether this stage runs")]
    model: Annotated[Name, Honored("the reranker, by name; the default one for @cf names")]
    match_threshold: Annotated[UnitFloat, Honored("the lowest score that is returned, 0 to 1")]


class QueryRewriteOptions(TypedDict, total=False):
    """Whether and how a follow-up query is rewritten before the search."""

    enabled: Annotated[bool, Honored("whether this stage runs")]
    model: Annotated[Name, NoEffect("the server has one language model", checked=True)]
    rewrite_prompt: Annotated[Prompt, Honored("the instruction of the rewriting")]


class CacheOptions(TypedDict, total=False):
    """Whether a cached answer to a similar query may be returned."""

    enabled: Annotated[bool, Honored("whether this stage runs")]
    cache_threshold: Annotated[
        CacheThreshold, Honored("how similar the query of a cached answer must be")
    ]


class SearchOptions(TypedDict, total=False):
    """All options of a search; `instance_ids` is for searches of a namespace."""

    retrieval: RetrievalOptions
    reranking: RerankingOptions
    query_rewrite: QueryRewriteOptions
    cache: CacheOptions
    custom_metadata: Annotated[
        dict[str, str | float | bool],
        Field(max_length=2),
        NoEffect("these are labels for Cloudflare's logs", checked=True),
    ]
    instance_ids: Annotated[
        list[str],
        Field(min_length=1, max_length=10),
        Honored("which instances of a namespace are searched"),
    ]


class Message(TypedDict, total=False):
    """A message of a conversation; `content` is text or a list of content parts."""

    role: Annotated[
        Literal["system", "developer", "user", "assistant", "tool"], Honored("who speaks")
    ]
    content: Annotated[Text | list[dict[str, Any]], Honored("a text, or parts of type `text`")]


class SearchBody(TypedDict, total=False):
    """The body of a search or a chat completion: a query, or the messages of a conversation."""

    query: Annotated[Text, Honored("the query, where there are no `messages`")]
    messages: Annotated[list[Message], Field(max_length=500)]
    model: Annotated[Name, Honored("the name of the answer's model in the reply")]
    stream: Annotated[bool, Honored("whether an answer is streamed")]
    ai_search_options: SearchOptions


SEARCH_FIELDS = RequestFields(
    "Cloudflare AI Search, searches and chat completions",
    "/cloudflare/{endpoint}/search",
    typed_fields(SearchBody),
    lenient=False,
)
