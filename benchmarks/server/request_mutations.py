"""Valid requests to every dialect, and mutations of them."""

from __future__ import annotations

import copy
import json
import math
import random
from typing import Any

_TEXTS = ["the sea", "the river"]
CLOUDFLARE = "/client/v4/accounts/a/ai-search/namespaces/default/instances"
GOOD: list[tuple[str, str, Any]] = [
    ("POST", "/v1/rerank", {"query": "sea", "documents": _TEXTS, "top_n": 1}),
    ("POST", "/v1/rerank", {"query": "sea", "documents": _TEXTS, "top_k": 1, "model": "m"}),
    ("POST", "/v2/rerank", {"model": "m", "query": "sea", "documents": _TEXTS}),
    ("POST", "/v1/reranking", {"query": "sea", "input": _TEXTS, "rank_fields": ["text"]}),
    ("POST", "/rerank", {"query": "sea", "texts": _TEXTS, "raw_scores": True}),
    ("POST", "/rerank", {"query": "sea", "documents": _TEXTS, "property": ""}),
    ("POST", "/score", {"text_1": "sea", "text_2": _TEXTS}),
    ("POST", "/api/v1/rerank", {"query": "sea", "documents": _TEXTS, "top_k": 1}),
    ("POST", "/api/v1/indexes", {"name": "docs", "chunk_tokens": 64, "overlap": 8}),
    (
        "POST",
        "/api/v1/indexes/docs/documents",
        {"documents": [{"id": "b", "text": "the ship", "metadata": {"year": 1}}]},
    ),
    (
        "POST",
        "/api/v1/indexes/docs/search",
        {"query": "sea", "filter": "year > 2000", "mode": "hybrid", "weights": [1, 1]},
    ),
    ("POST", "/api/v1/indexes/docs/answer", {"query": "sea", "passages": 2}),
    ("POST", "/v1/search", {"query": "sea", "limit": 2}),
    (
        "POST",
        "/v1/chat/completions",
        {"model": "docs", "messages": [{"role": "user", "content": "sea?"}], "max_tokens": 50},
    ),
    (
        "POST",
        "/v1/chat/completions",
        {"model": "docs", "stream": True, "messages": [{"role": "user", "content": "sea?"}]},
    ),
    (
        "POST",
        "/v1/graphql",
        {
            "query": '{Get{Doc(limit: 2 bm25: {query: "sea"} where: {operator: Equal path:'
            ' ["text"] valueText: "a"}){text _additional{id score rerank(property: "text"'
            ' query: "sea"){score}}}}}'
        },
    ),
    (
        "POST",
        "/v1/schema",
        {"class": "Doc", "properties": [{"name": "text", "dataType": ["text"]}]},
    ),
    (
        "POST",
        "/v1/batch/objects",
        {"objects": [{"class": "Doc", "properties": {"text": "sea"}, "vector": [0.1, 0.2]}]},
    ),
    ("POST", "/v1/objects", {"class": "Doc", "properties": {"text": "sea", "year": 1}}),
    ("DELETE", "/v1/batch/objects", {"match": {"class": "Doc", "where": {"path": ["text"]}}}),
    ("POST", CLOUDFLARE, {"id": "more", "chunk_size": 64, "reranking": True}),
    ("PUT", f"{CLOUDFLARE}/docs", {"score_threshold": 0.2, "cache": False}),
    (
        "POST",
        f"{CLOUDFLARE}/docs/search",
        {
            "query": "sea",
            "ai_search_options": {
                "retrieval": {"filters": {"folder": {"$gte": "a/"}}, "max_num_results": 3},
                "reranking": {"enabled": True},
            },
        },
    ),
    (
        "POST",
        f"{CLOUDFLARE}/docs/chat/completions",
        {"messages": [{"role": "user", "content": "sea?"}], "stream": True},
    ),
    (
        "POST",
        "/v1/responses",
        {
            "model": "docs",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "sea?"}]}],
            "metadata": {"a": "b"},
            "tools": [],
            "stream": True,
        },
    ),
    ("POST", "/v1/embeddings", {"model": "m", "input": ["sea"], "encoding_format": "base64"}),
    (
        "POST",
        "/v2/embed",
        {"model": "m", "texts": _TEXTS, "embedding_types": ["int8"], "truncate": "START"},
    ),
    ("POST", "/tei", {"inputs": {"source_sentence": "sea", "sentences": _TEXTS}}),
    ("POST", "/predict", {"inputs": [["sea", "the river"]], "raw_scores": True}),
    (
        "POST",
        "/bedrock/rerank",
        {
            "queries": [{"textQuery": {"text": "sea"}}],
            "sources": [{"inlineDocumentSource": {"textDocument": {"text": "the river"}}}],
            "rerankingConfiguration": {"bedrockRerankingConfiguration": {"numberOfResults": 1}},
        },
    ),
    ("POST", "/v1/ranking", {"query": {"text": "sea"}, "passages": [{"text": "the river"}]}),
    (
        "POST",
        "/client/v4/accounts/a/ai/run/@cf/baai/bge-m3",
        {"query": "sea", "contexts": [{"text": "the river"}], "top_k": 1},
    ),
    (
        "POST",
        "/mcp",
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "search", "arguments": {"query": "sea", "top_k": 1}},
        },
    ),
]
_ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**63, 10**400, 0.5, -0.0, 1e308, "", " ", "x" * 5000,
    "\ud800", "\x00", "'; drop table x; --", [], {}, [None], [[]], {"a": {"b": []}}, [""],
    ["\ud800"], [{"text": None}], [{"text": "x", "id": 5}], "../../etc/passwd",
    ["x"] * 1200, "${jndi:x}", math.nan, math.inf, [{"text": "sea", "n": math.nan}],
    [{"text": "sea", "n": -math.inf}, "river"], {"text": "sea", "n": math.inf},
]  # fmt: skip


def mutate(good: Any, rng: random.Random) -> bytes:
    """Return a body with one to three mutations."""
    body = copy.deepcopy(good)
    for _ in range(rng.randint(1, 3)):
        body = _mutate_value(body, rng)
    content = json.dumps(body)
    # As valid JSON that is out of range, and as the constant that is no JSON.
    return (content.replace("Infinity", "1e999") if rng.random() < 0.5 else content).encode()


def _mutate_value(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(list(value))
        kind = rng.random()
        if kind < 0.2:
            del value[name]
        elif kind < 0.3:
            value[rng.choice(["strange", "__class__", name.upper(), ""])] = copy.deepcopy(
                value[name]
            )
        elif kind < 0.6:
            value[name] = _mutate_value(value[name], rng)
        else:
            value[name] = copy.deepcopy(rng.choice(_ODD))
        return value
    if isinstance(value, list) and value and rng.random() < 0.7:
        value[rng.randrange(len(value))] = copy.deepcopy(rng.choice(_ODD))
        return value
    return copy.deepcopy(rng.choice(_ODD))


def break_json(good: Any, rng: random.Random) -> bytes:
    """Return bytes that are invalid or unusual JSON."""
    content = json.dumps(good).encode()
    position = rng.randrange(len(content))
    return rng.choice(
        [
            b"",
            content[:position],
            content[:position] + bytes([rng.randrange(256)]) + content[position:],
            b"[" * 5000,
            b'{"query":' * 500,
            b"\xff\xfe" + content,
            b"NaN",
            b'{"query": NaN, "documents": [Infinity]}',
            content * 2,
            b"\x1f\x8b\x08\x00",
        ]
    )
