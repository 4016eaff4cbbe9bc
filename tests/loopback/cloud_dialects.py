"""Endpoints of clouds and of servers of your own, from their contracts; see dialects.py."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any
from urllib.parse import parse_qs

from tests.loopback.checks import RefusedError, check, check_texts
from tests.loopback.dialects import KEY, cohere, detail, ordered, score_rows, usage
from tests.loopback.scoring import chance, logit, tokens

REGION = "us-west-2"
PROJECT = "my-project"
AWS_ID, AWS_SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
_ARN = re.compile(r"arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}::foundation-model/[a-z0-9.:-]+")


def bedrock(request: Any) -> Any:
    """Rerank of bedrock-agent-runtime: its shapes, lengths and signature."""

    def refuse(why: str, status: int = 400, kind: str = "ValidationException") -> RefusedError:
        return RefusedError(status, {"message": why}, {"x-amzn-errortype": kind})

    problem = unsigned(request)
    if problem:
        raise refuse(problem, 403, "AccessDeniedException")
    required = {"queries": list, "sources": list, "rerankingConfiguration": dict}
    check(request.json, required, {"nextToken": str}, refuse)
    if len(request.json["queries"]) != 1:
        raise refuse("queries has not one element")
    check(request.json["queries"][0], {"type": str, "textQuery": dict}, {}, refuse)
    query = request.json["queries"][0]["textQuery"]["text"]
    texts = []
    for source in request.json["sources"]:
        check(source, {"type": str, "inlineDocumentSource": dict}, {}, refuse)
        document = source["inlineDocumentSource"]
        check(document, {"type": str, "textDocument": dict}, {}, refuse)
        if (source["type"], document["type"]) != ("INLINE", "TEXT"):
            raise refuse("a source has another type")
        texts.append(document["textDocument"]["text"])
    check_texts([query], 1, refuse)
    check_texts(texts, 1_000, refuse)
    if any(len(text) > 32_000 for text in [query, *texts]):
        raise refuse("a text has more than 32000 characters")
    configuration = request.json["rerankingConfiguration"]
    check(configuration, {"type": str, "bedrockRerankingConfiguration": dict}, {}, refuse)
    inner = configuration["bedrockRerankingConfiguration"]
    check(inner, {"modelConfiguration": dict}, {"numberOfResults": int}, refuse)
    if not _ARN.fullmatch(inner["modelConfiguration"]["modelArn"]):
        raise refuse("modelArn is no ARN of a model")
    found = [{"index": i, "relevanceScore": chance(query, t)} for i, t in enumerate(texts)]
    return {"results": ordered(found, "relevanceScore")[: inner.get("numberOfResults", 10)]}


def unsigned(request: Any) -> str | None:
    """Return what is wrong with the signature of a request, None if nothing is.

    Computed here from the published steps of Signature Version 4, without any client.
    """
    headers = request.headers
    form = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/bedrock/aws4_request, "
        r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
        headers.get("authorization", ""),
    )
    if form is None:
        return "the request is not signed"
    identity, day, region, names, signature = form.groups()
    if identity != AWS_ID or region != REGION:
        return "another identity or region"
    if not {"host", "x-amz-date"} <= set(names.split(";")):
        return "host and date are not signed"
    signed = [f"{name}:{' '.join(headers[name].split())}\n" for name in names.split(";")]
    canonical = "\n".join(
        [
            request.method,
            request.path,
            "",
            "".join(signed),
            names,
            hashlib.sha256(request.content).hexdigest(),
        ]
    )
    scope = f"{day}/{region}/bedrock/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, digest])
    key = f"AWS4{AWS_SECRET}".encode()
    for part in (day, region, "bedrock", "aws4_request", to_sign):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return None if key.hex() == signature else "the signature does not match"


def vertex(request: Any) -> Any:
    def refuse(why: str, status: int = 400) -> RefusedError:
        kinds = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}
        error = {"code": status, "message": why, "status": kinds[status]}
        return RefusedError(status, {"error": error})

    if request.headers.get("authorization") != f"Bearer {KEY}":
        raise refuse("Request had invalid authentication credentials.", 401)
    if request.headers.get("x-goog-user-project") != PROJECT:
        raise refuse("No project pays for the request.", 403)
    optional = {"model": str, "topN": int, "ignoreRecordDetailsInResponse": bool}
    check(
        request.json, {"query": str, "records": list}, {**optional, "userLabels": dict}, refuse
    )
    records = request.json["records"]
    for record in records:
        check(record, {"id": str}, {"title": str, "content": str}, refuse)
    texts = [record.get("content", "") for record in records]
    check_texts(texts, 200, refuse)
    found = [
        {"id": r["id"], "score": chance(request.json["query"], t)}
        for r, t in zip(records, texts, strict=True)
    ]
    if not request.json.get("ignoreRecordDetailsInResponse", False):
        found = [{**r, **f} for r, f in zip(records, found, strict=True)]
    return {"records": ordered(found, "score")[: request.json.get("topN") or None]}


def pinecone(request: Any) -> Any:
    def refuse(why: str, status: int = 400) -> RefusedError:
        code = "UNAUTHENTICATED" if status == 401 else "INVALID_ARGUMENT"
        return RefusedError(status, {"error": {"code": code, "message": why}, "status": status})

    if request.headers.get("api-key") != KEY or "authorization" in request.headers:
        raise refuse("Invalid API Key", 401)
    if not re.fullmatch(r"20\d\d-\d\d", request.headers.get("x-pinecone-api-version", "")):
        raise refuse("the version of the API is missing")
    optional: Any = {"rank_fields": list, "return_documents": bool, "top_n": int}
    optional["parameters"] = dict
    required = {"model": str, "query": str, "documents": list}
    check(request.json, required, optional, refuse)
    names = request.json.get("rank_fields", ["text"])
    documents = request.json["documents"]
    if len(names) != 1 or not all(isinstance(d, dict) and names[0] in d for d in documents):
        raise refuse("a document does not have the field")
    texts = [document[names[0]] for document in documents]
    check_texts(texts, 200 if request.json["model"].startswith("cohere-") else 100, refuse)
    query = request.json["query"]
    found: list[dict[str, Any]] = [
        {"index": i, "score": chance(query, t)} for i, t in enumerate(texts)
    ]
    if request.json.get("return_documents", True):
        found = [{**f, "document": d} for f, d in zip(found, documents, strict=True)]
    found = ordered(found, "score")[: request.json.get("top_n", len(found))]
    return {"model": request.json["model"], "data": found, "usage": {"rerank_units": 1}}


def zeroentropy(request: Any) -> Any:
    refuse = detail(request, 401, "detail", 422)
    optional = {"top_n": (int, type(None)), "latency": (str, type(None))}
    check(request.json, {"model": str, "query": str, "documents": list}, optional, refuse)
    query, texts = request.json["query"], request.json["documents"]
    check_texts(texts, 10**6, refuse)
    size = sum(150 + len(query.encode()) + len(text.encode()) for text in texts)
    if size > 5_000_000:
        raise refuse(f"The request has {size} bytes, at most 5000000 are allowed", 413)
    return {
        "results": score_rows(query, texts, chance),
        "total_bytes": size,
        "total_tokens": tokens(query, texts),
        "actual_latency_mode": "fast",
        "e2e_latency": 0.1,
        "inference_latency": 0.05,
    }


def contextual(request: Any) -> Any:
    refuse = detail(request, 401, "detail", 422)
    optional = {"top_n": int, "instruction": str, "metadata": list}
    check(request.json, {"model": str, "query": str, "documents": list}, optional, refuse)
    query, texts = request.json["query"], request.json["documents"]
    check_texts(texts, 10**6, refuse)
    instruction = request.json.get("instruction", "")
    longest = max(tokens(f"{query} {instruction}", [text]) for text in texts)
    if longest > 8_000 or tokens(query, texts) > 400_000:
        raise refuse("The request has too many tokens", 400)
    found = score_rows(query, texts, chance)
    return {"results": found[: request.json.get("top_n", len(found))]}


def dashscope(request: Any) -> Any:
    def refuse(why: str, status: int = 400) -> RefusedError:
        code = "InvalidApiKey" if status == 401 else "InvalidParameter"
        return RefusedError(status, {"code": code, "message": why, "request_id": "1"})

    if request.headers.get("authorization") != f"Bearer {KEY}":
        raise refuse("Invalid API-key provided.", 401)
    check(request.json, {"model": str, "input": dict}, {"parameters": dict}, refuse)
    check(request.json["input"], {"query": str, "documents": list}, {}, refuse)
    parameters = request.json.get("parameters", {})
    optional = {"top_n": int, "return_documents": bool, "instruct": str}
    check(parameters, {}, optional, refuse)
    query, texts = request.json["input"]["query"], request.json["input"]["documents"]
    check_texts(texts, 500, refuse)
    most = 30_000 if request.json["model"].startswith("gte-") else 120_000
    if tokens(query, texts) + len(texts) * tokens(query, []) > most:
        raise refuse("The total number of tokens exceeds the limit")
    found = score_rows(query, texts, chance)[: parameters.get("top_n", len(texts))]
    if parameters.get("return_documents", False):
        found = [{**row, "document": {"text": texts[row["index"]]}} for row in found]
    used = {"total_tokens": tokens(query, texts)}
    return {"output": {"results": found}, "usage": used, "request_id": "1"}


def nvidia(request: Any, *, keyed: bool) -> Any:
    def refuse(why: str, status: int = 422) -> RefusedError:
        return RefusedError(status, {"detail": why})

    found_key = request.headers.get("authorization")
    if found_key != f"Bearer {KEY}" and (keyed or found_key is not None):
        raise refuse("Authentication failed", 401)
    optional = {"truncate": str, "user": str}
    check(request.json, {"model": str, "query": dict, "passages": list}, optional, refuse)
    check(request.json["query"], {"text": str}, {}, refuse)
    for passage in request.json["passages"]:
        check(passage, {"text": str}, {}, refuse)
    if request.json.get("truncate", "NONE") not in ("NONE", "END"):
        raise refuse("truncate must be NONE or END")
    query, texts = request.json["query"]["text"], [p["text"] for p in request.json["passages"]]
    check_texts(texts, 512, refuse)
    found = [{"index": i, "logit": logit(query, t)} for i, t in enumerate(texts)]
    used = tokens(query, texts)
    return {
        "rankings": ordered(found, "logit"),
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


def azure(request: Any) -> Any:
    """Cohere's version 2 at another path, whose key may be in another header, too."""
    key = request.headers.get("api-key")
    if key is not None:
        request.headers["authorization"] = f"Bearer {key}"
    return cohere(request, version=2)


def llama_server(request: Any) -> Any:
    """llama.cpp's server: any model, scores on its scale, best first."""

    def refuse(why: str, status: int = 400) -> RefusedError:
        kind = "authentication_error" if status == 401 else "invalid_request_error"
        return RefusedError(status, {"error": {"code": status, "message": why, "type": kind}})

    if request.headers.get("authorization") not in (None, f"Bearer {KEY}"):
        raise refuse("Invalid API Key", 401)
    optional = {"model": str, "top_n": int}
    check(request.json, {"query": str, "documents": list}, optional, refuse)
    texts = request.json["documents"]
    check_texts(texts, 10**6, refuse, blank=True)
    found = score_rows(request.json["query"], texts, logit)
    return {
        "model": request.json.get("model", "m"),
        "object": "list",
        "usage": usage(request, texts),
        "results": found[: request.json.get("top_n", len(found))],
    }


def localai(request: Any) -> Any:
    """LocalAI: needs a model; unsorted, with all results and their documents."""
    answer = llama_server(request)
    if not request.json.get("model"):
        raise RefusedError(400, {"error": {"code": 400, "message": "no model", "type": ""}})
    texts = request.json["documents"]
    found = sorted(
        score_rows(request.json["query"], texts, logit), key=lambda row: row["index"]
    )
    for row in found:
        row["document"] = {"text": texts[row["index"]]}
    return {"model": answer["model"], "usage": answer["usage"], "results": found}


def google_token(request: Any) -> Any:
    """The token endpoint of Google's service accounts, for a signed assertion."""
    form = parse_qs(request.content.decode())
    grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    if form.get("grant_type") != [grant] or form["assertion"][0].count(".") != 2:
        raise RefusedError(400, {"error": "invalid_grant"})
    return {"access_token": KEY, "expires_in": 3600, "token_type": "Bearer"}
