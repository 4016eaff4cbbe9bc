"""Amazon Bedrock's operation Rerank, of its agent runtime."""

from __future__ import annotations

import json
from typing import Any

from secondpass.option_types import Count, Text
from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body
from secondpass.server.request_fields import Honored, NoEffect, Refused, RequestFields
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply
from secondpass.server.rerank_dialects.schemas import RerankRequest

_MODEL = "rerankingConfiguration.bedrockRerankingConfiguration.modelConfiguration"
_FIELDS = RequestFields(
    "Amazon Bedrock, Rerank",
    "/bedrock/rerank",
    {
        "queries[].type": NoEffect("queries are texts"),
        "queries[].textQuery.text": Honored("the query, of which there is one"),
        "sources": Honored("the documents, inline as text or JSON", required=True),
        "rerankingConfiguration.type": NoEffect("there is one type"),
        "rerankingConfiguration.bedrockRerankingConfiguration.numberOfResults": Honored(
            "how many results are returned", Count()
        ),
        f"{_MODEL}.modelArn": Honored("the reranker, by the name at the end", Text()),
        f"{_MODEL}.additionalModelRequestFields": Refused(
            "they are those of another model", unless=({},)
        ),
        "nextToken": Refused("all results come in one response"),
    },
)


def parse(body: Body) -> RerankRequest:
    """Parse a request: one query, and sources that are texts or JSON."""
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


BEDROCK = rerank_operation("bedrock", _FIELDS, parse, write)
