"""Each provider's endpoint, from its contract: what it refuses, what it answers."""

from __future__ import annotations

import json
from typing import Any

from tests.loopback.checks import RefusedError, check, check_texts
from tests.loopback.scoring import chance, logit, tokens

KEY = "test-key-0123456789"
MANY = (list, type(None))


def ordered(rows: list[dict[str, Any]], score: str) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda r: -r[score])


def cohere(request: Any, version: int) -> Any:
    refuse = detail(request, 401, "message")
    if version == 2:
        optional: Any = {"top_n": int, "max_tokens_per_doc": int, "priority": int}
        check(request.json, {"model": str, "query": str, "documents": list}, optional, refuse)
        texts = request.json["documents"]
    else:
        optional = {"model": str, "top_n": int, "rank_fields": list, "return_documents": bool}
        optional["max_chunks_per_doc"] = int
        check(request.json, {"query": str, "documents": list}, optional, refuse)
        names = request.json.get("rank_fields", ["text"])
        texts = [_fields(d, names, refuse) for d in request.json["documents"]]
        if len(texts) * request.json.get("max_chunks_per_doc", 10) >= 10_000:
            raise refuse("documents * max_chunks_per_doc must stay under 10000")
    check_texts(texts, 10_000, refuse)
    query = request.json["query"]
    rows = [{"index": i, "relevance_score": chance(query, t)} for i, t in enumerate(texts)]
    meta = {"api_version": {"version": str(version), "is_experimental": False}}
    meta["billed_units"] = {"search_units": -(-len(texts) // 100)}  # type: ignore[dict-item]
    return {"id": "1", "results": ordered(rows, "relevance_score"), "meta": meta}


def jina(request: Any) -> Any:
    refuse = detail(request, 401, "detail", 422)
    optional = {"top_n": int, "return_documents": bool}
    check(request.json, {"model": str, "query": str, "documents": list}, optional, refuse)
    texts = request.json["documents"]
    check_texts(texts, 1_000, refuse)
    rows = score_rows(request.json["query"], texts, chance)
    if request.json.get("return_documents", True):
        rows = [{**r, "document": {"text": texts[r["index"]]}} for r in rows]
    rows = rows[: request.json.get("top_n", len(rows))]
    return {"model": request.json["model"], "usage": usage(request, texts), "results": rows}


def voyage(request: Any) -> Any:
    refuse = detail(request, 401, "detail")
    optional = {"top_k": (int, type(None)), "truncation": bool, "return_documents": bool}
    check(request.json, {"model": str, "query": str, "documents": list}, optional, refuse)
    texts = request.json["documents"]
    check_texts(texts, 1_000, refuse, blank=True)
    used = tokens(request.json["query"], texts)
    if used > 600_000:
        raise refuse(f"The request has {used} tokens, at most 600000 are allowed")
    rows = score_rows(request.json["query"], texts, chance)
    return {
        "object": "list",
        "data": rows,
        "model": request.json["model"],
        "usage": {"total_tokens": used},
    }


def mixedbread(request: Any) -> Any:
    refuse = detail(request, 401, "message")
    optional: Any = {"rank_fields": MANY, "top_k": int, "return_input": bool}
    optional["rewrite_query"] = bool
    check(request.json, {"model": str, "query": str, "input": list}, optional, refuse)
    names = request.json.get("rank_fields") or ["text"]
    texts = [_fields(d, names, refuse) for d in request.json["input"]]
    check_texts(texts, 1_000, refuse)
    query, top_k = request.json["query"], request.json.get("top_k", 10)
    rows = [{"index": i, "score": chance(query, t)} for i, t in enumerate(texts)]
    return {
        "usage": usage(request, texts),
        "model": request.json["model"],
        "data": ordered(rows, "score")[:top_k],
        "object": "list",
        "top_k": top_k,
        "return_input": request.json.get("return_input", False),
    }


def tei_info(request: Any, most: int) -> Any:
    return {
        "model_id": "a/model",
        "model_type": {"reranker": {"id2label": {"0": "LABEL_0"}}},
        "max_client_batch_size": most,
        "max_input_length": 512,
        "auto_truncate": True,
        "version": "1.9.3",
    }


def tei(request: Any, most: int) -> Any:
    def refuse(why: str) -> RefusedError:
        kind = (400, "Empty") if request.json.get("texts") == [] else (422, "Validation")
        return RefusedError(kind[0], {"error": why, "error_type": kind[1]})

    if request.headers.get("content-type") != "application/json":
        raise RefusedError(415, "Expected request with `Content-Type: application/json`")
    if request.headers.get("authorization") not in (None, f"Bearer {KEY}"):
        raise RefusedError(401, None)
    if request.length > 2_000_000:
        raise RefusedError(413, "Failed to buffer the request body: length limit exceeded")
    optional: Any = {"truncate": (bool, type(None)), "raw_scores": bool, "return_text": bool}
    check(request.json, {"query": str, "texts": list}, optional, refuse)
    texts = request.json["texts"]
    check_texts(texts, most, refuse)
    score = logit if request.json.get("raw_scores") else chance
    rows = [{"index": i, "score": score(request.json["query"], t)} for i, t in enumerate(texts)]
    request.answer_headers["x-compute-tokens"] = str(tokens(request.json["query"], texts))
    return ordered(rows, "score")


def infinity(request: Any) -> Any:
    refuse = detail(request, 401, "detail", 422, optional_key=True)
    optional: Any = {"return_documents": bool, "raw_scores": bool, "model": str}
    optional["top_n"] = (int, type(None))
    check(request.json, {"query": str, "documents": list}, optional, refuse)
    texts = request.json["documents"]
    check_texts(texts, 1_000, refuse, blank=True)
    if any(len(t) > 122_880 for t in texts):
        raise refuse("a document is too long")
    score = logit if request.json.get("raw_scores") else chance
    return {
        "object": "rerank",
        "results": score_rows(request.json["query"], texts, score),
        "model": request.json.get("model", "default/not-specified"),
        "usage": usage(request, texts),
        "id": "infinity-1",
        "created": 1,
    }


def vllm(request: Any) -> Any:
    refuse = detail(request, 401, "error", optional_key=True)
    if request.headers.get("content-type") != "application/json":
        raise RefusedError(415, {"error": {"message": "no JSON", "code": 415}})
    optional: Any = {"top_n": int, "model": str, "truncate_prompt_tokens": int}
    check(request.json, {"query": str, "documents": list}, optional, refuse)
    texts = request.json["documents"]
    check_texts(texts, 10**6, refuse, blank=True)
    if request.json.get("truncate_prompt_tokens", 0) < -1:
        raise refuse("truncate_prompt_tokens must be -1 or more")
    rows = score_rows(request.json["query"], texts, chance)
    rows = [{**r, "document": {"text": texts[r["index"]]}} for r in rows]
    return {"id": "score-1", "model": "m", "usage": usage(request, texts), "results": rows}


def weaviate(request: Any) -> Any:
    def refuse(why: str) -> RefusedError:
        return RefusedError(500, {"error": why})

    if "authorization" in request.headers:
        raise refuse("the container knows no keys")
    required = {"query": str, "documents": list, "property": str}
    check(request.json, required, {}, refuse)
    query, texts = request.json["query"], request.json["documents"]
    check_texts(texts, 32, refuse, blank=True)
    rows = [{"document": t, "score": logit(query, t)} for t in texts]
    return {"query": query, "scores": rows, "property": None, "score": None}


def cloudflare(request: Any) -> Any:
    def refuse(why: str, status: int = 400) -> RefusedError:
        errors = [{"code": 5006, "message": why}]
        body = {"success": False, "errors": errors, "messages": [], "result": None}
        return RefusedError(status, body)

    if request.headers.get("authorization") != f"Bearer {KEY}":
        raise refuse("Authentication error", 401)
    check(request.json, {"query": str, "contexts": list}, {"top_k": int}, refuse)
    texts = [c.get("text") for c in request.json["contexts"]]
    check_texts(texts, 100, refuse)
    rows = [{"id": i, "score": chance(request.json["query"], t)} for i, t in enumerate(texts)]
    result = {"response": ordered(rows, "score")[: request.json.get("top_k", 5)]}
    return {"success": True, "result": result, "errors": [], "messages": []}


def score_rows(query: str, texts: list[str], score: Any) -> list[dict[str, Any]]:
    rows = [{"index": i, "relevance_score": score(query, t)} for i, t in enumerate(texts)]
    return ordered(rows, "relevance_score")


def usage(request: Any, texts: list[str]) -> dict[str, int]:
    used = tokens(request.json["query"], texts)
    return {"total_tokens": used, "prompt_tokens": used}


def _fields(document: Any, names: list[str], refuse: Any) -> str:
    if isinstance(document, str):
        return document
    if not isinstance(document, dict) or not all(isinstance(v, str) for v in document.values()):
        raise refuse("a document is neither text nor an object of texts")
    if not any(n in document for n in names):
        raise refuse(f"a document has none of {json.dumps(names)}")
    return " ".join(document[n] for n in names if n in document)


def detail(
    request: Any, status: int, name: str, invalid: int = 400, *, optional_key: bool = False
) -> Any:
    """Check the key; return what makes refusals with the message under that name."""

    def refuse(why: str, code: int = invalid) -> RefusedError:
        inner: Any = {"message": why, "code": code} if name == "error" else why
        return RefusedError(code, {name: inner})

    found = request.headers.get("authorization")
    if found != f"Bearer {KEY}" and not (optional_key and found is None):
        raise refuse("invalid key", status)
    if request.headers.get("content-type") != "application/json":
        raise refuse("the content type is not application/json")
    if not isinstance(request.json, dict) or not str(request.json.get("query", "")).strip():
        raise refuse("query is blank")
    return refuse
