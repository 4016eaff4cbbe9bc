"""Instructions: which models follow them, and what the others say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from secondpass import BaseReranker, Candidate, InputError
from secondpass.llm import Completion, Prompt
from secondpass.policies import (
    Blend,
    Cached,
    Cascade,
    Ensemble,
    Fallback,
    HostedReranker,
    Listwise,
    Pairwise,
    Pointwise,
    Setwise,
)
from secondpass.rerank.policies.cascade import Margin
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.testing import OverlapLLM, ScriptedReranker
from secondpass.types import ScoreKind
from tests.loopback.clients import client
from tests.loopback.dialects import KEY
from tests.loopback.server import running

PREFERENCE = "prefer {internal} and recent documents"
TEXTS = ["an old public page", "a recent internal page"]


class Following(BaseReranker):
    """Scores the number of words of the instructions that a text has."""

    model = identity = "following"
    follows_instructions = True

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        words = set((options.instructions or "").split())
        values = [float(len(words & set(c.document.text.split()))) for c in candidates]
        return Scored([Score(v) for v in values], ScoreKind.SIMILARITY, pairs=len(values))


PLAIN = ScriptedReranker({}, model="plain")
MIXED: dict[str, Callable[[BaseReranker], BaseReranker]] = {
    "cascade": lambda r: Cascade(PLAIN, r, Margin(1.0, k=1)),
    "ensemble": lambda r: Ensemble([r, PLAIN]),
    "fallback": lambda r: Blend(Fallback(r, chain=[PLAIN])),
}


def test_a_model_that_follows_instructions_gets_them() -> None:
    for reranker in (Following(), Blend(Fallback(Cached(Following())))):
        found = reranker.rerank("page", TEXTS, instructions="recent internal")
        assert found.results[0].index == 1
        assert found.reason is None
        again = reranker.rerank("page", TEXTS, instructions="old")
        assert again.results[0].index == 0
        assert {r.score for r in reranker.rerank("page", TEXTS).results} == {0.0}


def test_a_model_that_cannot_follow_them_says_so() -> None:
    with pytest.raises(InputError, match="plain is not a model that follows instructions"):
        PLAIN.rerank("page", TEXTS, instructions=PREFERENCE)
    with pytest.raises(InputError, match="cannot be followed"):
        PLAIN.rerank("page", [], instructions=PREFERENCE)
    found = PLAIN.rerank("page", TEXTS, instructions=PREFERENCE, on_unsupported="ignore")
    assert found.reason == "the instructions were ignored: plain cannot follow any"
    assert PLAIN.rerank("page", TEXTS, on_unsupported="ignore").reason is None


@pytest.mark.parametrize("name", sorted(MIXED))
def test_every_model_of_a_policy_counts(name: str) -> None:
    policy = MIXED[name](Following())
    assert policy.models_without_instructions() == ("plain",)
    with pytest.raises(InputError, match="plain is not a model"):
        policy.rerank("page", TEXTS, instructions="recent")
    found = policy.rerank("page", TEXTS, instructions="recent", on_unsupported="ignore")
    assert "plain cannot follow any" in str(found.reason)
    assert found.results[0].index == 1


@pytest.mark.parametrize("wrong", ["", " ", 3, ["recent"]])
def test_instructions_are_a_text(wrong: object) -> None:
    with pytest.raises(InputError, match="instructions must be a text"):
        Following().rerank("page", TEXTS, instructions=wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="on_unsupported must be"):
        Following().rerank("page", TEXTS, on_unsupported=wrong)  # type: ignore[arg-type]


class Recording(OverlapLLM):
    """Remembers the prompts that it answered."""

    def __init__(self) -> None:
        super().__init__()
        self.prompts: list[Prompt] = []

    def complete(self, prompt: Prompt) -> Completion:
        self.prompts.append(prompt)
        return super().complete(prompt)


@pytest.mark.parametrize("build", [Listwise, Pairwise, Pointwise, Setwise])
def test_a_language_model_reads_them_outside_of_documents(build: type[Listwise]) -> None:
    llm = Recording()
    assert build(llm).rerank("page", TEXTS, instructions=PREFERENCE).reason is None
    assert llm.prompts
    for prompt in llm.prompts:
        assert prompt.system.endswith(PREFERENCE)
        assert PREFERENCE not in prompt.user
    llm.prompts.clear()
    build(llm).rerank("page", TEXTS)
    assert all(PREFERENCE not in prompt.system for prompt in llm.prompts)


def test_voyage_gets_them_before_the_query() -> None:
    with running() as server:
        found = client("voyage", server).rerank("password", TEXTS, instructions=PREFERENCE)
        assert found.reason is None
        assert server.seen[-1].json["query"] == f"{PREFERENCE}\nQuery: password"
    for model in ("voyage/rerank-2", "cohere/rerank-v3.5"):
        other = HostedReranker(model, api_key=KEY)
        with pytest.raises(InputError, match=f"{model} is not a model that follows"):
            other.rerank("password", TEXTS, instructions=PREFERENCE)
    for name in ("rerank-2.5", "rerank-2.5-lite", "rerank-3"):
        assert HostedReranker(f"voyage/{name}", api_key=KEY).follows_instructions
