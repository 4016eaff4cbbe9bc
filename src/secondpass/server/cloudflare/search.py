"""A search from the question to the chunks, in the order of its steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from secondpass.errors import SecondpassError
from secondpass.server.cloudflare.boosting import boosted
from secondpass.server.cloudflare.context import Hub
from secondpass.server.cloudflare.expanding import expanded
from secondpass.server.cloudflare.found import Found
from secondpass.server.cloudflare.fusing import fused
from secondpass.server.cloudflare.retrieval import retrieve
from secondpass.server.cloudflare.search_plan import Plan, Target
from secondpass.server.cloudflare.second import reranked
from secondpass.server.http_errors import Problem, problem_of
from secondpass.server.scheduler.jobs import GoneError, LateError, OverloadedError


@dataclass(slots=True)
class Results:
    """What a search has: chunks, best first, each with the text to show.

    `errors`: (instance, message) of those that could not be searched.
    """

    chunks: list[Found] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)

    def shown(self, *, with_instance: bool, without_text: bool) -> list[dict[str, Any]]:
        """Return the chunks as clients see them."""
        pairs = zip(self.chunks, self.texts, strict=True)
        return [
            one.shown(text="" if without_text else text, with_instance=with_instance)
            for one, text in pairs
        ]


def search(hub: Hub, query: str, targets: Sequence[Target], plan: Plan) -> Results:
    """Retrieve, fuse, boost, drop what is unlike, rerank, cut, and widen.

    Over several instances one that fails is left out, unless all of them do or the request
    wants all or nothing. Raises Problem and what the queue raises.
    """
    results = Results()
    found: list[Found] = []
    for target in targets:
        try:
            found += retrieve(target, query, partial=plan.partial)
        except (OverloadedError, LateError, GoneError):
            raise
        except (Problem, SecondpassError) as error:
            problem = error if isinstance(error, Problem) else problem_of(error)
            results.errors.append((target.instance.name, problem.message))
            if len(results.errors) == len(targets) or not plan.partial:
                raise
    chunks = _boosted(fused(found, plan.fusion))
    chunks = [f for f in chunks if f.vector is None or f.vector >= f.target.threshold]
    if plan.rerank:
        chunks = reranked(hub, query, chunks, plan)
    results.chunks = chunks[: plan.results]
    results.texts = expanded(results.chunks, plan.expansion)
    return results


def _boosted(found: Sequence[Found]) -> list[Found]:
    """Boost the chunks of each instance by its own fields."""
    groups: dict[int, list[Found]] = defaultdict(list)
    for one in found:
        groups[id(one.target)].append(one)
    done: list[Found] = []
    for group in groups.values():
        target = group[0].target
        rows = [one.item.columns(target.fields) for one in group]
        scores = boosted([one.score for one in group], rows, target.boosts, target.fields)
        done += [replace(one, score=score) for one, score in zip(group, scores, strict=True)]
    return sorted(done, key=lambda f: (-f.score, f.id))
