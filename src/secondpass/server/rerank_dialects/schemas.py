"""A rerank request as every dialect means it, and what came of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body
from secondpass.types import RankedDocument, RerankResponse, ScoreKind


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """What to rerank.

    - `given`: the documents as the client sent them; `documents`: their texts.
    - `top`: how many results are wanted, None for all; `echo`: whether to send the
      documents back; `raw`: logits instead of shares from 0 to 1.
    """

    query: str
    given: Sequence[Any]
    documents: Sequence[str]
    model: str | None = None
    top: int | None = None
    echo: bool = False
    raw: bool = False


@dataclass(frozen=True, slots=True)
class RerankReply:
    """A request with its response; `id` names the pair."""

    ask: RerankRequest
    response: RerankResponse
    id: str

    @property
    def model(self) -> str:
        """The name that the client asked for, or else the model's own."""
        return self.ask.model or self.response.model or ""

    def score(self, result: RankedDocument) -> float:
        """Return a logit where those were asked for, or else a share from 0 to 1."""
        return result.score if self.ask.raw else share(result)

    def rows(self, document: Callable[[int], Any]) -> list[dict[str, Any]]:
        """Return index, score and, where it was asked for, the document, best first.

        `document` gives it in the dialect's form, by its place in the request.
        """
        found: list[dict[str, Any]] = []
        for result in self.response.results:
            row: dict[str, Any] = {"index": result.index}
            row["relevance_score"] = self.score(result)
            if self.ask.echo:
                row["document"] = document(result.index)
            found.append(row)
        return found

    @property
    def tokens(self) -> int:
        """How many tokens the client's texts have, about: what was kept is not read again."""
        texts = [self.ask.query, *self.ask.documents]
        return max(1, sum(map(len, texts)) // 4)


def share(result: RankedDocument) -> float:
    """Return a result's probability, or else its score, of which logits become shares."""
    if result.probability is not None:
        return result.probability
    if result.score_kind is ScoreKind.LOGIT:
        return 1 / (1 + math.exp(-max(-500.0, min(500.0, result.score))))
    return result.score


def asked(
    body: Body,
    documents: str = "documents",
    *,
    top: str = "top_n",
    echo: str = "return_documents",
    rank_fields: str | None = None,
) -> RerankRequest:
    """Read what most dialects share; the arguments name the keys that differ.

    A document is a text or an object; of an object `text` is read, or the fields that
    `rank_fields` names. Raises `Problem` (400) for a blank query, no documents, and a
    document without text.
    """
    query = body.text("query")
    if not query.strip():
        raise invalid("query is blank")
    given = body.items(documents)
    if not given:
        raise invalid(f"{documents} is empty")
    fields = None if rank_fields is None else body.texts(rank_fields)
    if fields is not None and not fields:
        raise invalid(f"{rank_fields} is empty")
    return RerankRequest(
        query,
        given,
        [_text(one, f"{documents}[{i}]", fields) for i, one in enumerate(given)],
        model=body.maybe_text("model"),
        top=body.count(top),
        echo=body.flag(echo),
    )


def _text(document: Any, where: str, fields: Sequence[str] | None) -> str:
    if isinstance(document, str):
        return document
    if not isinstance(document, Mapping):
        raise invalid(f"{where} must be a string or an object")
    if fields is None:
        if not isinstance(document.get("text"), str):
            raise invalid(f"{where} has no text")
        return str(document["text"])
    there = [document[name] for name in fields if document.get(name) is not None]
    if not there:
        raise invalid(f"{where} has none of the fields {', '.join(fields)}")
    return " ".join(t if isinstance(t, str) else json.dumps(t) for t in there)
