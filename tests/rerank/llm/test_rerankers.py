from __future__ import annotations

import json
import math
import re

import pytest

from secondpass import BaseReranker, InputError, Reranker, ScoreKind, Status
from secondpass.errors import LLMError
from secondpass.llm import LLM, Completion, Prompt, Stop
from secondpass.rerank.llm import Listwise, Pairwise, Pointwise, PromptTemplate, Setwise
from secondpass.testing.llm import OverlapLLM, ScriptedLLM

DOWN = LLMError("down", retryable=True)


def numbers(prompt: Prompt) -> dict[str, int]:
    """Return the number that each document of a prompt is, by its id."""
    found = re.findall(r'<document id="(\w+)" mark="\w+">\nnumber (\d+)\n', prompt.user)
    return {name: int(number) for name, number in found}


class Counting(LLM):
    """Prefers higher numbers; fails at the questions of `fails`, counted from 0."""

    def __init__(self, fails: set[int] | None = None, *, first: bool = False) -> None:
        self.fails, self.first, self.seen = fails or set(), first, list[list[int]]()

    @property
    def name(self) -> str:
        return "counting"

    def complete(self, prompt: Prompt) -> Completion:
        shown = numbers(prompt)
        self.seen.append(list(shown.values()))
        if len(self.seen) - 1 in self.fails:
            raise DOWN
        best = sorted(shown, key=lambda name: -shown[name])
        if '"best"' in prompt.user:
            return Completion(
                json.dumps({"best": next(iter(shown)) if self.first else best[0]})
            )
        return Completion(json.dumps({"order": best}))


def texts(n: int) -> list[str]:
    return [f"number {i}" for i in range(n)]


def order(reranker: BaseReranker, n: int) -> list[int]:
    return [r.index for r in reranker.rerank("q", texts(n)).results]


def test_windows_slide_from_the_bottom_to_the_top() -> None:
    llm = Counting()
    found = order(Listwise(llm, window=4, stride=2), 9)
    assert [len(s) for s in llm.seen] == [4, 4, 4, 3]
    assert llm.seen[0] == [5, 6, 7, 8]
    assert found[:2] == [8, 7]
    assert sorted(found) == list(range(9))
    assert order(Listwise(Counting(), window=4, stride=2, passes=5), 9) == list(range(9))[::-1]


def test_a_tournament_finds_the_best_whatever_the_groups() -> None:
    for n in (1, 2, 4, 5, 9, 30):
        found = order(Listwise(Counting(), window=4, strategy="tournament"), n)
        assert sorted(found) == list(range(n))
        assert found[0] == n - 1


@pytest.mark.parametrize("n", [1, 2, 3, 7, 20])
def test_choices_make_an_order(n: int) -> None:
    falling = list(range(n))[::-1]
    assert order(Setwise(Counting(), depth=n), n) == falling
    assert order(Pairwise(Counting()), n) == falling
    assert order(Pairwise(Counting(), strategy="all"), n) == falling
    top = order(Pairwise(Counting(), strategy="sliding", passes=2), n)
    assert top[:2] == falling[:2]
    some = order(Setwise(Counting(), depth=2, set_size=3), n)
    assert some == [*falling[:2], *sorted(falling[2:])]


def test_a_model_that_prefers_a_position_changes_nothing() -> None:
    for strategy in ("sort", "all", "sliding"):
        found = order(Pairwise(Counting(first=True), strategy=strategy), 5)
        assert found == [0, 1, 2, 3, 4], strategy


def test_one_failure_loses_nothing_else() -> None:
    llm = Counting({1})
    response = Listwise(llm, window=4, stride=2, concurrency=1).rerank("q", texts(8))
    assert response.status is Status.PARTIALLY_RERANKED
    assert response.reason == "1 of 3 prompts failed: down"
    assert sorted(r.index for r in response.results) == list(range(8))
    assert Pairwise(Counting({0})).rerank("q", texts(3)).status is Status.PARTIALLY_RERANKED


@pytest.mark.parametrize("build", [Listwise, Setwise, Pairwise, Pointwise])
def test_if_all_fail_the_first_error_is_raised(build: type[Listwise]) -> None:
    with pytest.raises(LLMError, match="down"):
        build(ScriptedLLM(lambda _: DOWN)).rerank("q", texts(3))
    useless = ScriptedLLM(lambda _: "I would rather not.")
    with pytest.raises(LLMError, match="can be used"):
        build(useless).rerank("q", texts(3))
    declined = ScriptedLLM(lambda _: Completion("", Stop.REFUSAL))
    with pytest.raises(LLMError, match="declined"):
        build(declined).rerank("q", texts(3))


def test_a_wrong_key_is_not_tried_with_every_document() -> None:
    llm = ScriptedLLM(lambda _: LLMError("wrong key", status=401))
    with pytest.raises(LLMError, match="wrong key"):
        Pointwise(llm, concurrency=1).rerank("q", texts(50))
    assert len(llm.prompts) == 1


def test_repairs_are_reported() -> None:
    def half(prompt: Prompt) -> str:
        return json.dumps([*list(numbers(prompt))[:0:-2], "what"])

    response = Listwise(ScriptedLLM(half)).rerank("q", texts(4))
    assert response.status is Status.RERANKED
    assert response.reason == "1 of 1 answers repaired: 2 ids missing, 1 ids unknown"
    assert [r.index for r in response.results] == [3, 1, 0, 2]


def test_log_probabilities_make_logits() -> None:
    tops = {"Yes": -0.2, " yes": -3.0, "No": -2.0, "NO": -5.0, "Maybe": -6.0}
    said = Completion("Yes", logprobs=(tops,))
    response = Pointwise(ScriptedLLM(lambda _: said, offers_logprobs=True)).rerank("q", ["a"])
    yes, no = math.exp(-0.2) + math.exp(-3), math.exp(-2) + math.exp(-5)
    (result,) = response.results
    assert result.score == pytest.approx(math.log(yes / no))
    assert result.score_kind is ScoreKind.LOGIT
    assert result.probability == pytest.approx(yes / (yes + no))
    only = Completion("Yes", logprobs=({"Yes": -0.1, "Sure": -4.0},))
    (result,) = Pointwise(ScriptedLLM([only], offers_logprobs=True)).rerank("q", ["a"]).results
    assert result.score == pytest.approx(3.9)


def test_a_server_without_log_probabilities_is_asked_for_grades() -> None:
    class Silent(OverlapLLM):
        @property
        def offers_logprobs(self) -> bool:
            return True

    response = Pointwise(Silent()).rerank("blue sea", ["blue sea", "blue", "red"])
    assert [(r.index, r.score) for r in response.results] == [(0, 1.0), (1, 0.5), (2, 0.0)]
    assert response.results[0].score_kind is ScoreKind.SIMILARITY
    with pytest.raises(LLMError, match="can be used"):
        Pointwise(Silent(), scale="yes-no").rerank("blue sea", ["blue sea"])


def test_a_document_without_a_grade_is_not_scored() -> None:
    answers = ['{"grade": 1}', "7", DOWN, '{"grade": 4}']
    llm = ScriptedLLM(answers)
    response = Pointwise(llm, concurrency=1).rerank("q", texts(4))
    assert [(r.index, r.scored) for r in response.results] == [
        (3, True),
        (0, True),
        (1, False),
        (2, False),
    ]
    assert response.status is Status.PARTIALLY_RERANKED
    assert response.usage.scored == 2


def test_prompts_are_templates() -> None:
    llm = ScriptedLLM(lambda p: json.dumps(list(numbers(p))))
    own = PromptTemplate('Ordne. {mark} {"a": 1}', "{query}|{documents}|{ids}|{count}")
    Listwise(llm, prompt=own).rerank("{documents} {ids}", ["number 0", "number 1"])
    (prompt,) = llm.prompts
    assert prompt.user.startswith("{documents} {ids}|<document id=")
    assert prompt.user.endswith("|2")
    assert prompt.system.endswith('{"a": 1}')
    with pytest.raises(InputError, match="Did you mean 'query'"):
        PromptTemplate("", "{qeury} {documents}")
    with pytest.raises(InputError, match="the documents, each within"):
        PromptTemplate("", "{query}")


def test_braces_in_documents_mean_nothing() -> None:
    llm = OverlapLLM()
    response = Listwise(llm).rerank("{query}", ["{documents} {ids}", "{query}"])
    assert [r.index for r in response.results] == [1, 0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 1},
        {"stride": 0},
        {"window": 4, "stride": 5},
        {"passes": 0},
        {"strategy": "slide"},
        {"document_tokens": 0},
        {"concurrency": True},
    ],
)
def test_numbers_that_cannot_be_used(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Listwise(OverlapLLM(), **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Did you mean"):
        Pairwise(OverlapLLM(), strategy="sorted")
    with pytest.raises(InputError, match="Did you mean"):
        Pointwise(OverlapLLM(), scale="grade")


def test_names_choose_the_method(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(Reranker("ollama/qwen3:4b").base, Listwise)
    named = Reranker("ollama/qwen3:4b#pairwise")
    assert isinstance(named.base, Pairwise)
    assert named.model == "ollama/qwen3:4b"
    with pytest.raises(InputError, match="Did you mean 'pointwise'"):
        Reranker("ollama/qwen3:4b#pointwize")
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(InputError, match="ANTHROPIC_API_KEY"):
        Reranker("anthropic/claude-haiku-4-5")
