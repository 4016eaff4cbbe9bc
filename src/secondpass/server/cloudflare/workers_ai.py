"""Workers AI, Cloudflare's models: reranking and embeddings, whatever their names are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.option_types import Count, Flag
from secondpass.server.cloudflare.context import DIALECT
from secondpass.server.cloudflare.responses import fail, ok
from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body
from secondpass.server.request_context import RequestContext
from secondpass.server.request_fields import Honored, Refused, RequestFields
from secondpass.server.request_handler import Operation
from secondpass.server.result_fields import relevance_score
from secondpass.server.state import ServerState
from secondpass.server.vectors import Cut, TextVectors, embed_texts

_FIELDS = RequestFields(
    "Cloudflare, Workers AI",
    "/client/v4/accounts/ID/ai/run/MODEL",
    {
        "query": Honored("what the contexts are compared with"),
        "contexts[].text": Honored("the texts to compare or to embed"),
        "text": Honored("a text or a list of texts to embed"),
        "top_k": Honored("how many results are returned", Count()),
        "truncate_inputs": Honored("false: a text that is too long is an error", Flag()),
        "pooling": Refused("the embedder here has mean pooling", unless=("mean",)),
        "requests": Refused("one request is answered at a time"),
    },
)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Texts for a model: to embed, or with a `query` to compare with it.

    `contexts`: whether the texts came as objects; `top_k`: how many results, None for all.
    """

    model: str
    texts: Sequence[str]
    query: str | None
    contexts: bool
    top_k: int | None
    cut: Cut

    @property
    def reranks(self) -> bool:
        """Whether a reranker is asked for, by the name of the model."""
        return self.query is not None and "rerank" in self.model.lower()


def parse_run(context: RequestContext, body: Body) -> RunRequest:
    """Parse a request; raises HttpError (400) for models that do something else."""
    contexts = body.has("contexts")
    if not contexts and not body.has("text"):
        raise invalid(
            "the models here rerank contexts for a query, or embed contexts or text: "
            "the request has neither contexts nor text"
        )
    name = "contexts" if contexts else "text"
    if not contexts and isinstance(body.fields.get("text"), str):
        body = Body({**body.fields, "text": [body.fields["text"]]})
    texts = _context_texts(body.items("contexts")) if contexts else body.texts("text")
    if not texts:
        raise invalid(f"{name} is empty")
    query = body.maybe_text("query") if contexts else None
    if query is not None and not query.strip():
        raise invalid("query is blank")
    model = context.request.path_params["model"]
    request = RunRequest(
        model,
        texts,
        query,
        contexts,
        body.count("top_k"),
        Cut.END if body.flag("truncate_inputs", True) else Cut.NONE,
    )
    if query is None and "rerank" in model.lower():
        raise invalid("query is missing")
    return request


def _context_texts(contexts: Sequence[Any]) -> tuple[str, ...]:
    texts = []
    for position, one in enumerate(contexts):
        text = one.get("text") if isinstance(one, dict) else None
        if not isinstance(text, str):
            raise invalid(f"contexts[{position}] has no text")
        texts.append(text)
    return tuple(texts)


def run_model(
    state: ServerState, context: RequestContext, request: RunRequest
) -> dict[str, Any]:
    """Rerank, embed or compare; blocks. Raises HttpError for a model that is not served."""
    if request.query is not None and request.reranks:
        ranked = state.rerank(
            request.query,
            request.texts,
            model=request.model,
            top_k=request.top_k,
            truncate=request.cut is not Cut.NONE,
        )
        context.warnings += ranked.warnings
        scores = [(result.index, relevance_score(result)) for result in ranked.results]
        return {"response": [{"id": index, "score": score} for index, score in scores]}
    if request.query is None:
        return _write_vectors(request, _embed(state, context, request, request.texts))
    vectors = _embed(state, context, request, [request.query, *request.texts]).vectors
    # Of unit vectors the product is the cosine.
    cosines: list[float] = (vectors[1:] @ vectors[0]).tolist()
    best = sorted(range(len(cosines)), key=lambda index: -cosines[index])[: request.top_k]
    return {"response": [{"id": index, "score": cosines[index]} for index in best]}


def _embed(
    state: ServerState, context: RequestContext, request: RunRequest, texts: Sequence[str]
) -> TextVectors:
    return embed_texts(state, context, texts, model=request.model, cut=request.cut)


def _write_vectors(request: RunRequest, embedded: TextVectors) -> dict[str, Any]:
    vectors = embedded.vectors
    key = "response" if request.contexts else "data"
    return {key: vectors.tolist(), "shape": list(vectors.shape), "pooling": "mean"}


RUN_MODEL = Operation(
    dialect=DIALECT,
    fail=fail,
    scope="rerank",
    fields=_FIELDS,
    parse=parse_run,
    documents=lambda request: len(request.texts) if request.reranks else 0,
    run=run_model,
    respond=lambda context, request, result: ok(result),
)
