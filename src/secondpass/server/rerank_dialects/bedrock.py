"""Amazon Bedrock's operation Rerank, of its agent runtime."""

from __future__ import annotations

import json
from typing import Any

from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply
from secondpass.server.rerank_dialects.schemas import RerankRequest


def parse(body: Body) -> RerankRequest:
    """Parse a request: one query, and sources that are texts or JSON."""
    if body.fields.get("nextToken") is not None:
        raise invalid("nextToken is of another server: all results come in one response")
    queries = body.items("queries")
    if len(queries) != 1 or not isinstance(queries[0], dict):
        raise invalid("queries must have one query")
    query = Body(queries[0]).part("textQuery").text("text")
    if not query.strip():
        raise invalid("queries[0].textQuery.text is blank")
    sources = body.items("sources")
    if not sources:
        raise invalid("sources is empty")
    options = body.part("rerankingConfiguration").part("bedrockRerankingConfiguration")
    model = options.part("modelConfiguration")
    if model.fields.get("additionalModelRequestFields"):
        raise invalid("additionalModelRequestFields are those of another model")
    name = model.maybe_text("modelArn")
    return RerankRequest(
        query,
        sources,
        [_text(source, f"sources[{position}]") for position, source in enumerate(sources)],
        model=None if name is None else name.rpartition("/")[2],
        top_n=options.count("numberOfResults"),
    )


def _text(source: Any, where: str) -> str:
    document = source.get("inlineDocumentSource") if isinstance(source, dict) else None
    document = document if isinstance(document, dict) else {}
    if document.get("jsonDocument") is not None:
        return json.dumps(document["jsonDocument"], ensure_ascii=False)
    text = document.get("textDocument")
    if not isinstance(text, dict) or not isinstance(text.get("text"), str):
        raise invalid(f"{where} has no inline text or JSON")
    return str(text["text"])


def write(reply: RerankReply) -> dict[str, Any]:
    """Return Bedrock's response, best first and in one page."""
    results = reply.response.results
    return {"results": [{"index": r.index, "relevanceScore": reply.score(r)} for r in results]}


BEDROCK = rerank_operation("bedrock", parse, write)
