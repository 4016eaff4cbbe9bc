"""One request to search or to answer: over which instances, and what may be kept of it.

A question that stands by itself, made of one that goes on from a conversation.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from secondpass.answer import Turn
from secondpass.answer.prompt import format_conversation
from secondpass.answer.query_rewriting import REWRITE_PROMPT, rewrite_query
from secondpass.inference.tokenizer import clean
from secondpass.llm import LLM
from secondpass.server.cloudflare.context import AppContext
from secondpass.server.cloudflare.instance import Instance
from secondpass.server.cloudflare.schemas import NEW, InstanceForm, OptionsForm
from secondpass.server.cloudflare.search import Results, search
from secondpass.server.cloudflare.search_cache import CacheQuery
from secondpass.server.cloudflare.search_plan import Question, Target, plan_of, target_of
from secondpass.server.http_errors import HttpError


def rewritten(llm: LLM | None, question: Question, system: str | None) -> str:
    """Return what to search for; the question as it is without a model, or where it fails.

    `system` tells the model how; the conversation comes with the question.
    """
    if llm is None:
        return question.text
    rewrite = rewrite_query(
        llm, question.text, _turns(question), system_prompt=system or REWRITE_PROMPT
    )
    return clean(rewrite.query)


def conversation(question: Question) -> str:
    """Return what was said before a question, for a model to read; "" for a first one."""
    return format_conversation("", _turns(question)).removesuffix("Now: ")


def _turns(question: Question) -> list[Turn]:
    return [Turn(role, text) for role, text in question.history]


@dataclass(frozen=True, slots=True)
class SearchCall:
    """A question to one instance, or to several of a namespace.

    - `missing`: (name, message) of instances that are not there; `model`: the name that the
      client gave, "" for none; `targets`: how the instances are searched, None where the
      options say it.
    """

    instances: Sequence[Instance]
    question: Question
    options: OptionsForm
    several: bool = False
    missing: Sequence[tuple[str, str]] = ()
    model: str = ""
    targets: Sequence[Target] | None = None

    @property
    def settings(self) -> InstanceForm:
        """The settings of the instance, or those of a new one for several."""
        return NEW if self.several else self.instances[0].settings

    def cached(self, kind: str) -> CacheQuery | None:
        """Return by what an answer of this kind is kept, or None where none shall be."""
        said = self.options.get("cache", {})
        on = all(i.settings["cache"] for i in self.instances)
        if not said.get("enabled", on) or self.targets is not None:
            return None
        places = [str(i.collection.place) for i in self.instances]
        options = {k: v for k, v in self.options.items() if k != "cache"}
        question = self.question
        parts: list[Any] = [kind, places, self.several, options, self.model]
        parts += [question.history, question.system, self.missing]
        return CacheQuery(
            question.text,
            sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest(),
            tuple(i.stamp for i in self.instances),
            min(i.settings["cache_ttl"] for i in self.instances),
            said.get("cache_threshold", self.settings["cache_threshold"]),
        )


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """What a search came to: `query` is what was searched for, `whole` whether every part
    of the search was done.
    """

    query: str
    results: Results
    chunks: list[dict[str, Any]]
    whole: bool


def searched(hub: AppContext, request: SearchCall) -> SearchOutcome:
    """Rewrite the question where that is asked for, and search.

    Raises what `search` does, and Problem (404) where the request wants all or nothing and an
    instance is not there.
    """
    options, settings = request.options, request.settings
    rewrite = options.get("query_rewrite", {})
    query = request.question.text
    if rewrite.get("enabled", settings["rewrite_query"]) and request.question.history:
        own = settings.get("system_prompt_rewrite_query")
        query = rewritten(hub.llm, request.question, rewrite.get("rewrite_prompt", own))
    plan = plan_of(options, settings)
    if request.missing and not plan.partial:
        raise HttpError(404, "not found", request.missing[0][1])
    targets = request.targets
    if targets is None:
        targets = [target_of(i, options) for i in request.instances]
    results = search(hub, query, targets, plan)
    results.errors[:0] = request.missing
    second = not plan.rerank or all(c.reranked is not None for c in results.chunks)
    return SearchOutcome(
        query,
        results,
        results.shown(with_instance=request.several, without_text=plan.metadata_only),
        whole=second and not results.errors,
    )


def found_errors(results: Results) -> list[dict[str, str]]:
    """Return which instances could not be searched, as clients see it."""
    return [{"instance_id": name, "message": why} for name, why in results.errors]
