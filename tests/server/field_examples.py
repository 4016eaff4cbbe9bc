"""An example of every declared request field: what is sent, and to which path.

`test_served_fields.py` sends each: an honored field must change what comes back, a refused one
be an error, and one without effect change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

QUERY = "a river and the sea"
LONG_QUERY = f"{QUERY} " * 40
LONG_TEXT = "the sky is blue and the ship is slow on the river. " * 12 + "what a storm at sea"
# Longer than all that is read for a query; the end is what answers.
BEYOND_REACH = "a " * 70_000 + "what a storm at sea"
TEXTS = ["bread and water", "the river meets the sea", "a slow ship", LONG_TEXT]
OBJECTS = [
    {"text": text, "title": title}
    for text, title in zip(TEXTS, ["a storm", "my mail", "the sea", "you"], strict=True)
]
QUESTION = "What is the capital of France?"
TALK = [
    {"role": "user", "content": "Who made Paris the capital of France?"},
    {"role": "assistant", "content": "I do not know."},
    {"role": "user", "content": QUESTION},
]


@dataclass(frozen=True)
class Given:
    """A value of a field, where it needs a body or a path of its own to act."""

    value: Any
    body: Mapping[str, Any] = field(default_factory=dict)
    path: str | None = None


@dataclass(frozen=True)
class Wrong:
    """A value that is refused: the field acts, which another test shows at length."""

    value: Any


@dataclass(frozen=True)
class Api:
    """A path, a body that is answered there, and a value for each field."""

    path: str
    body: Mapping[str, Any]
    examples: Mapping[str, Any]


_LONG = {"query": LONG_QUERY}
_SHARED = {
    "query": "how do I reset my password",
    "documents": TEXTS[:2],
    "model": "other",
    "top_n": 1,
    "return_documents": True,
}
_MIXED = {
    **_SHARED,
    "rank_fields": ["title"],
    "max_tokens_per_doc": 17,
    "max_chunks_per_doc": 1,
    "truncation": Given(False, _LONG),
    "instruction": "Prefer ships.",
    "priority": 5,
    "user": "me",
    "raw_scores": True,
}
_SPANS = {
    "documents": ["Why a slow ship? The river is slow. The sea is blue."],
    "relevant_spans": {"mode": "enabled", "threshold": 0.0},
}
_RERANK = {"query": QUERY, "documents": OBJECTS, "model": "m"}
_POOLING = {
    "model": "other",
    "user": "me",
    "truncate_prompt_tokens": 17,
    "truncation_side": "left",
    "max_tokens_per_query": 2,
    "max_tokens_per_doc": 17,
    "use_activation": False,
    "activation": False,
    "softmax": False,
    "priority": 1,
    "instruction": "Prefer ships.",
    "chat_template": "{{ query }}",
    "mm_processor_kwargs": {"a": 1},
    "padding": "max_length",
    "request_id": "r",
    "cache_salt": "s",
}


def pick(*names: str) -> dict[str, Any]:
    return {name: _MIXED[name] for name in names}


_OPTIONS = "ai_search_options"
_RETRIEVAL, _RERANKING = f"{_OPTIONS}.retrieval", f"{_OPTIONS}.reranking"
_REWRITE, _CACHE = f"{_OPTIONS}.query_rewrite", f"{_OPTIONS}.cache"
_NAMESPACE = "/client/v4/accounts/acc/ai-search/namespaces/default"
_INSTANCE = f"{_NAMESPACE}/instances/shelf"
_CHAT = f"{_INSTANCE}/chat/completions"
_AUTORAG = "/client/v4/accounts/acc/autorag/rags/shelf"


def searching(**stages: Any) -> dict[str, Any]:
    """Return the options of a Cloudflare search that finds everything and caches nothing."""
    retrieval = {"match_threshold": 0, **stages.pop("retrieval", {})}
    return {_OPTIONS: {"retrieval": retrieval, "cache": {"enabled": False}, **stages}}


def talking(**stages: Any) -> dict[str, Any]:
    return {"query": None, "messages": TALK, **searching(**stages)}


_SEARCH_OPTIONS = {
    f"{_RETRIEVAL}.retrieval_type": "keyword",
    f"{_RETRIEVAL}.max_num_results": 1,
    f"{_RETRIEVAL}.filters": {"year": 2020},
    f"{_RETRIEVAL}.match_threshold": 0.5,
    f"{_RETRIEVAL}.fusion_method": "max",
    f"{_RETRIEVAL}.keyword_match_mode": "or",
    f"{_RETRIEVAL}.context_expansion": 1,
    f"{_RETRIEVAL}.boost_by": [{"field": "year"}],
    f"{_RETRIEVAL}.metadata_only": True,
    f"{_RETRIEVAL}.return_on_failure": False,
    f"{_RERANKING}.enabled": False,
    f"{_RERANKING}.model": "bundled-tiny",
    f"{_RERANKING}.match_threshold": 0.5,
    f"{_REWRITE}.enabled": False,
    f"{_REWRITE}.model": "x",
    f"{_REWRITE}.rewrite_prompt": "x",
    _CACHE: {"enabled": True},
}
_LONG_INPUT = "the river " * 300 + "a slow ship"
_EMBED = {
    "texts": ["why"],
    "images": ["data:"],
    "model": Wrong(7),
    "input_type": Wrong("poem"),
    "embedding_types": ["int8"],
    "truncate": Given("START", {"texts": [_LONG_INPUT]}),
}
_PAIR = {"source_sentence": "the sea", "sentences": TEXTS[:2]}
_LONG_PAIR = {"source_sentence": "the sea", "sentences": [_LONG_INPUT]}
_SOURCES = [{"inlineDocumentSource": {"textDocument": {"text": text}}} for text in TEXTS]
_BEDROCK = "rerankingConfiguration.bedrockRerankingConfiguration"
_CONTEXTS = [{"text": text} for text in TEXTS]
APIS: Mapping[str, Api] = {
    "Cohere, version 1": Api(
        "/cohere/v1/rerank",
        _RERANK,
        {**_SHARED, **pick("rank_fields", "max_chunks_per_doc", "max_tokens_per_doc")},
    ),
    "Cohere, version 2": Api(
        "/cohere/v2/rerank",
        _RERANK,
        {
            **_SHARED,
            **pick("rank_fields", "max_tokens_per_doc", "priority"),
            "relevant_spans.mode": "enabled",
            "relevant_spans.threshold": Given(1.0, _SPANS),
            "relevant_spans.max_spans": Given(1, _SPANS),
        },
    ),
    "Shared path": Api(
        "/v1/rerank",
        _RERANK,
        {
            **_SHARED,
            **pick("max_tokens_per_doc", "max_chunks_per_doc", "truncation", "instruction"),
            **pick("priority", "user"),
            "overlap_tokens": 80,
            "return_len": "true",
        },
    ),
    "Jina": Api(
        "/jina/v1/rerank",
        _RERANK,
        {
            **_SHARED,
            **pick("truncation"),
            "return_documents": False,
            "max_doc_length": 17,
            "max_query_length": 2,
            "return_embeddings": True,
        },
    ),
    "Voyage AI": Api(
        "/voyage/v1/rerank",
        {"query": QUERY, "documents": TEXTS, "model": "m"},
        {
            **pick("query", "documents", "model", "return_documents", "truncation"),
            "top_k": 1,
        },
    ),
    "Mixedbread": Api(
        "/mixedbread/v1/reranking",
        {"query": QUERY, "input": OBJECTS, "model": "m"},
        {
            **pick("query", "model", "rank_fields"),
            "input": TEXTS[:2],
            "top_k": 1,
            "return_input": True,
            "rewrite_query": True,
        },
    ),
    "Pinecone": Api(
        "/pinecone/rerank",
        _RERANK,
        {
            **_SHARED,
            **pick("rank_fields"),
            "return_documents": False,
            "parameters.truncate": Given("NONE", _LONG),
        },
    ),
    "Text Embeddings Inference": Api(
        "/tei/rerank",
        {"query": QUERY, "texts": TEXTS},
        {
            **pick("query", "raw_scores", "model", "top_n"),
            "texts": TEXTS[:2],
            "truncate": Given(False, _LONG),
            "truncation_direction": Given("Left", {"texts": [BEYOND_REACH]}),
            "return_text": True,
        },
    ),
    "Infinity": Api("/infinity/rerank", _RERANK, {**_SHARED, **pick("raw_scores")}),
    "vLLM": Api("/vllm/rerank", _RERANK, {**_SHARED, **_POOLING}),
    "vLLM, scores": Api(
        "/vllm/score",
        {"text_1": QUERY, "text_2": TEXTS},
        {
            **_POOLING,
            "text_1": "why",
            "text_2": TEXTS[:2],
            **{
                left: Given("why", {"text_1": None, "text_2": None, left: QUERY, right: TEXTS})
                for left, right in (("queries", "documents"), ("data_1", "data_2"))
            },
            **{
                right: Given(
                    TEXTS[:2], {"text_1": None, "text_2": None, left: QUERY, right: TEXTS}
                )
                for left, right in (
                    ("queries", "documents"),
                    ("queries", "items"),
                    ("data_1", "data_2"),
                )
            },
        },
    ),
    "Weaviate's reranker container": Api(
        "/weaviate-reranker/rerank",
        {"query": QUERY, "documents": TEXTS, "property": ""},
        {
            "query": "why",
            "documents": TEXTS[:2],
            "property": Given("a ship", {"documents": None, "property": "the sea"}),
        },
    ),
    "OpenAI, embeddings": Api(
        "/v1/embeddings",
        {"input": ["the sea"], "model": "m"},
        {
            "input": "bread",
            "model": "other",
            "encoding_format": "base64",
            "dimensions": 7,
            "user": "me",
        },
    ),
    "OpenAI, chat completions": Api(
        "/v1/chat/completions",
        {"model": "docs", "messages": TALK},
        {
            "model": "other",
            "messages[].role": "assistant",
            "messages[].content": "What is rice?",
            **{
                f"messages[].{name}": "x"
                for name in ("name", "tool_call_id", "refusal", "audio", "annotations")
            },
            "messages[].tool_calls": [{"id": "x"}],
            "messages[].function_call": {"name": "x"},
            "stream": True,
            "stream_options.include_usage": Given(True, {"stream": True}),
            "stream_options.include_obfuscation": Given(True, {"stream": True}),
            "max_tokens": 7,
            "max_completion_tokens": 7,
            "stop": "x",
            "temperature": 0.5,
            "top_p": 0.5,
            "seed": 7,
            "n": 2,
            "response_format": {"type": "json_object"},
            "tools": [{"type": "function"}],
            "tool_choice": "required",
            "functions": [{"name": "x"}],
            "function_call": {"name": "x"},
            "parallel_tool_calls": True,
            "web_search_options": {"a": 1},
            "logprobs": True,
            "top_logprobs": 2,
            "logit_bias": {"1": 1},
            "frequency_penalty": 1,
            "presence_penalty": 0.5,
            "verbosity": "low",
            "reasoning_effort": "low",
            "modalities": ["audio"],
            "audio": {"voice": "x"},
            "prediction": {"type": "content"},
            "store": True,
            "metadata": {"a": "b"},
            "service_tier": "flex",
            "user": "me",
            "safety_identifier": "me",
            "prompt_cache_key": "k",
            "prompt_cache_retention": "24h",
            "prompt_cache_options": {"mode": "implicit"},
            "moderation": {"model": "m"},
            **_SEARCH_OPTIONS,
        },
    ),
    "KnowledgeSDK": Api(
        "/knowledgesdk/v1/search",
        {"query": QUESTION, "index": "docs"},
        {
            "query": "rice",
            "limit": 1,
            "apiKeyId": "k",
            "index": "none",
            "mode": "bm25",
            "rerank": False,
        },
    ),
    "Cloudflare AI Search, searches and chat completions": Api(
        f"{_INSTANCE}/search",
        {"query": QUESTION, **searching()},
        {
            "query": "whales",
            "messages[].role": Given("assistant", talking()),
            "messages[].content": Given("Who breathes air?", talking(), _CHAT),
            "model": Given("other", talking(), _CHAT),
            "stream": Given(True, talking(), _CHAT),
            f"{_RETRIEVAL}.retrieval_type": "keyword",
            f"{_RETRIEVAL}.max_num_results": 1,
            f"{_RETRIEVAL}.match_threshold": 0.9,
            f"{_RETRIEVAL}.filters": {"filename": "bread.md"},
            f"{_RETRIEVAL}.fusion_method": "max",
            f"{_RETRIEVAL}.keyword_match_mode": Given(
                "or",
                {
                    "query": "France whales",
                    **searching(retrieval={"retrieval_type": "keyword"}),
                },
            ),
            f"{_RETRIEVAL}.context_expansion": 1,
            f"{_RETRIEVAL}.boost_by": [{"field": "year", "direction": "asc"}],
            f"{_RETRIEVAL}.return_on_failure": Given(
                False, searching(instance_ids=["shelf", "none"]), f"{_NAMESPACE}/search"
            ),
            f"{_RETRIEVAL}.metadata_only": True,
            f"{_RERANKING}.enabled": True,
            f"{_RERANKING}.model": Given(
                "bundled-tiny", searching(reranking={"enabled": True})
            ),
            f"{_RERANKING}.match_threshold": Given(
                1, searching(reranking={"enabled": True, "match_threshold": 0})
            ),
            f"{_REWRITE}.enabled": Given(True, talking()),
            f"{_REWRITE}.model": Given("x", talking(query_rewrite={"enabled": True})),
            f"{_REWRITE}.rewrite_prompt": Given(
                "Rewrite it.", talking(query_rewrite={"enabled": True})
            ),
            f"{_CACHE}.enabled": True,
            f"{_CACHE}.cache_threshold": Wrong("sometimes"),
            f"{_OPTIONS}.custom_metadata": {"a": "b"},
            f"{_OPTIONS}.instance_ids": Given(
                ["shelf", "none"],
                searching(instance_ids=["shelf"]),
                f"{_NAMESPACE}/search",
            ),
        },
    ),
    "Cloudflare AutoRAG, the older interface": Api(
        f"{_AUTORAG}/search",
        {"query": QUESTION},
        {
            "query": "whales",
            "rewrite_query": True,
            "max_num_results": 1,
            "ranking_options.score_threshold": 0.9,
            "reranking.enabled": True,
            "reranking.model": Given("bundled-tiny", {"reranking": {"enabled": True}}),
            "filters": {"type": "eq", "key": "filename", "value": "bread.md"},
            "model": "x",
            "system_prompt": Given("Be brief.", path=f"{_AUTORAG}/ai-search"),
            "stream": Given(True, path=f"{_AUTORAG}/ai-search"),
        },
    ),
    "Cohere, embed, version 1": Api("/cohere/v1/embed", {"texts": TEXTS[:2]}, _EMBED),
    "Cohere, embed, version 2": Api(
        "/cohere/v2/embed",
        {"texts": TEXTS[:2], "model": "m"},
        {
            **_EMBED,
            "inputs": Given(
                [{"content": [{"type": "text", "text": "why"}]}],
                {"texts": None, "inputs": [{"content": [{"type": "text", "text": "a"}]}]},
            ),
            "output_dimension": 7,
            "max_tokens": 2,
            "priority": 5,
        },
    ),
    "Text Embeddings Inference, embed": Api(
        "/tei/embed",
        {"inputs": TEXTS[:2]},
        {
            "inputs": "why",
            "truncate": Given(False, {"inputs": _LONG_INPUT}),
            "truncation_direction": Given("Left", {"inputs": _LONG_INPUT}),
            "prompt_name": "query",
            "normalize": False,
            "dimensions": 7,
        },
    ),
    "Text Embeddings Inference, similarity": Api(
        "/tei/similarity",
        {"inputs": _PAIR},
        {
            "inputs.source_sentence": "bread",
            "inputs.sentences": ["bread"],
            "parameters.truncate": Given(False, {"inputs": _LONG_PAIR}),
            "parameters.truncation_direction": Given("Left", {"inputs": _LONG_PAIR}),
            "parameters.prompt_name": "query",
        },
    ),
    "Text Embeddings Inference, predict": Api(
        "/tei/predict",
        {"inputs": [QUERY, TEXTS[0]]},
        {
            "inputs": [["why", "bread"]],
            "raw_scores": True,
            "truncate": Given(False, {"inputs": [LONG_QUERY, LONG_TEXT]}),
            "truncation_direction": Given("Left", {"inputs": [QUERY, BEYOND_REACH]}),
        },
    ),
    "NVIDIA, ranking": Api(
        "/nvidia/v1/ranking",
        {"query": {"text": QUERY}, "passages": _CONTEXTS},
        {
            "query.text": "why",
            "passages[].text": "bread",
            "passages[].image": "data:",
            "model": Wrong(7),
            "truncate": Given("NONE", {"query": {"text": LONG_QUERY}}),
            "top_n": 1,
            "user": "me",
        },
    ),
    "Amazon Bedrock, Rerank": Api(
        "/bedrock/rerank",
        {"queries": [{"textQuery": {"text": QUERY}}], "sources": _SOURCES},
        {
            "queries[].type": "TEXT",
            "queries[].textQuery.text": "why",
            "sources": _SOURCES[:2],
            "rerankingConfiguration.type": "BEDROCK_RERANKING_MODEL",
            f"{_BEDROCK}.numberOfResults": 1,
            f"{_BEDROCK}.modelConfiguration.modelArn": Wrong(7),
            f"{_BEDROCK}.modelConfiguration.additionalModelRequestFields": {"a": 1},
            "nextToken": "x",
        },
    ),
    "Cloudflare, Workers AI": Api(
        "/client/v4/accounts/acc/ai/run/@cf/baai/bge-m3",
        {"query": QUERY, "contexts": _CONTEXTS},
        {
            "query": "why",
            "contexts[].text": "bread",
            "text": Given("bread", {"query": None, "contexts": None, "text": "the sea"}),
            "top_k": 1,
            "truncate_inputs": Given(False, {"contexts": [{"text": _LONG_INPUT}]}),
            "pooling": "cls",
            "requests": [{"text": "a"}],
        },
    ),
    "Infinity, embeddings": Api(
        "/infinity/embeddings",
        {"input": ["the sea"], "model": "m"},
        {
            "input": "bread",
            "model": "other",
            "encoding_format": "base64",
            "dimensions": 7,
            "user": "me",
            "modality": "image",
        },
    ),
    "OpenAI, responses": Api(
        "/v1/responses",
        {"model": "docs", "input": TALK},
        {
            "model": "other",
            "input": "What is rice?",
            "instructions": "Rhyme.",
            "stream": True,
            "stream_options": {"include_obfuscation": True},
            "max_output_tokens": 7,
            "temperature": 0.5,
            "top_p": 0.5,
            "metadata": {"a": "b"},
            "include": Wrong(["message.output_text.logprobs"]),
            "text.format": {"type": "json_object"},
            "text.verbosity": "low",
            "tools": [{"type": "function"}],
            "tool_choice": "required",
            "parallel_tool_calls": True,
            "max_tool_calls": 3,
            "top_logprobs": 2,
            "moderation": {"model": "m"},
            "previous_response_id": "r",
            "conversation": "c",
            "prompt": {"id": "p"},
            "background": True,
            "background_options": {"completion_window": "soonest"},
            "context_management": [{"type": "compaction"}],
            "store": True,
            "truncation": "auto",
            "reasoning": {"effort": "low"},
            "image": {"context_compression": "auto"},
            "access_programs": {"cyber": "standard"},
            "service_tier": "flex",
            "user": "me",
            "safety_identifier": "me",
            "prompt_cache_key": "k",
            "prompt_cache_options": {"mode": "implicit"},
            "prompt_cache_retention": "24h",
            **_SEARCH_OPTIONS,
        },
    ),
}
