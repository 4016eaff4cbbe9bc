"""Text Embeddings Inference (TEI): its endpoint that scores pairs of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.option_types import Flag
from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.http_json import Body
from secondpass.server.request_context import RequestContext
from secondpass.server.request_fields import Honored, RequestFields
from secondpass.server.request_handler import Operation
from secondpass.server.rerank_dialects.operation import rerank_all
from secondpass.server.rerank_dialects.responses import RerankReply
from secondpass.server.rerank_dialects.schemas import RerankRequest
from secondpass.server.rerank_dialects.tei import STATUSES, TRUNCATION_DIRECTION, error_body
from secondpass.server.state import ServerState
from secondpass.types import RerankResponse

# The only label of a model with one output, as in /info.
_LABEL = "LABEL_0"
_FIELDS = RequestFields(
    "Text Embeddings Inference, predict",
    "/tei/predict",
    {
        "inputs": Honored("a pair of a query and a text, or a list of pairs", required=True),
        "raw_scores": Honored("logits instead of scores from 0 to 1", Flag()),
        "truncate": Honored("false: a text that is not read whole is an error", Flag()),
        "truncation_direction": TRUNCATION_DIRECTION,
    },
)


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """Pairs of a query and a text; `batch`: whether they came as a list of pairs."""

    requests: Sequence[RerankRequest]
    batch: bool


def parse(context: RequestContext, body: Body) -> PredictRequest:
    """Parse a pair of texts or a list of them; raises HttpError."""
    inputs, raw = body.fields["inputs"], body.flag("raw_scores")
    from_end = body.text("truncation_direction", "Right") == "Left"
    reading = {} if body.flag("truncate", True) else {"truncate": False}
    if inputs == []:
        raise HttpError(400, "empty", "`inputs` is empty")
    batch = isinstance(inputs, list) and all(isinstance(one, list) for one in inputs)
    requests = []
    for pair in inputs if batch else [inputs]:
        is_pair = isinstance(pair, list) and len(pair) == 2
        if not is_pair or not all(isinstance(text, str) for text in pair):
            raise invalid("inputs must be a pair of texts or a list of pairs: query and text")
        query, text = pair
        if not query.strip():
            raise invalid("inputs has a pair whose query is blank")
        requests.append(
            RerankRequest(
                query, [text], [text], raw_scores=raw, reading=reading, from_end=from_end
            )
        )
    return PredictRequest(requests, batch)


def _run(
    state: ServerState, context: RequestContext, request: PredictRequest
) -> list[RerankResponse]:
    return rerank_all(state, context, request.requests)


def _respond(
    context: RequestContext, request: PredictRequest, responses: list[RerankResponse]
) -> list[Any]:
    # A list has no place for them: they are in the header.
    context.warnings += tuple(dict.fromkeys(w for r in responses for w in r.warnings))
    rows = []
    for one, response in zip(request.requests, responses, strict=True):
        score = RerankReply(one, response, context.id).score(response.results[0])
        rows.append([{"score": score, "label": _LABEL}])
    return rows if request.batch else rows[0]


TEI_PREDICT = Operation(
    dialect="tei-predict",
    fail=error_body,
    statuses=STATUSES,
    scope="rerank",
    fields=_FIELDS,
    parse=parse,
    documents=lambda request: len(request.requests),
    run=_run,
    respond=_respond,
)
