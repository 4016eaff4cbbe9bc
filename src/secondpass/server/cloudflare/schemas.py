"""The settings of an instance, as clients send them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from secondpass.server.cloudflare.public_form import PublicEndpoint

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
