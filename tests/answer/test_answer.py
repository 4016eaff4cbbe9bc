from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from secondpass import Document, Index, InputError, RerankResponse, ScoreKind
from secondpass.answer import AnswerStatus, Turn, answer, stream_answer
from secondpass.answer.prompt import NOT_FOUND
from secondpass.errors import LLMError
from secondpass.llm import Completion, Stop
from secondpass.testing import ScriptedReranker
from secondpass.testing.llm import ScriptedLLM

TEXTS = {
    "paris": "Paris is the capital of France. It has about two million inhabitants.",
    "lyon": "Lyon lies on the Rhône. It is known for its food.",
    "rice": "Boil the rice for ten minutes. Then let it stand.",
}
QUERY = "What is the capital of France?"
# The package has a function of this name, which hides the module.
ANSWER_MODULE = import_module("secondpass.answer.answer")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with Index.open(tmp_path_factory.mktemp("answers") / "index") as opened:
        opened.add([Document(text, id=name) for name, text in TEXTS.items()])
        yield opened


def test_without_a_model_sentences_answer(index: Index) -> None:
    found = index.answer(QUERY)
    assert found.status is AnswerStatus.EXTRACTIVE
    assert found.text.startswith("Paris is the capital of France. [1]")
    assert found.citations[0].passage.ids == ("paris",)
    assert all(c.supported for c in found.citations)
    start, end = found.passages[0].highlight or (0, 0)
    assert found.passages[0].text[start:end] == "Paris is the capital of France."
    assert {"search", "extract", "total"} <= set(found.timings)


async def test_async_equals_sync(index: Index) -> None:
    found, other = index.answer(QUERY), await index.aanswer(QUERY)
    assert replace(found, timings={}) == replace(other, timings={})


def test_what_is_not_in_the_documents_is_not_answered(index: Index) -> None:
    llm = ScriptedLLM([])
    found = index.answer("Who won the chess olympiad of 2031?", llm=llm)
    assert found.status is AnswerStatus.NOT_FOUND
    assert "below 0.03" in (found.reason or "")
    assert llm.prompts == []
    asked = index.answer("Who won in 2031?", llm=ScriptedLLM(["x [1]"]), min_probability=None)
    assert asked.status is AnswerStatus.GENERATED


def test_a_model_answers_from_marked_passages_and_is_checked(index: Index) -> None:
    llm = ScriptedLLM(["The capital of France is Paris [1, 9]. It has 3 rivers [1]. Bye [7]."])
    stream = stream_answer(index, QUERY, llm=llm)
    pieces = list(stream)
    assert len(pieces) > 3
    found = stream.answer
    assert found is not None
    assert "".join(pieces) == found.text
    assert found.text == "The capital of France is Paris [1]. It has 3 rivers [1]. Bye."
    assert found.removed == (9, 7)
    assert [c.supported for c in found.citations] == [True, False]
    assert found.text[found.citations[0].start] == "["
    (prompt,) = llm.prompts
    assert prompt.user.count('<document id="') == len(found.passages)
    assert re.search(r'mark="\w+">\n1\. \nParis is', prompt.user)


def test_a_model_may_read_only_the_sentences_that_answer(index: Index) -> None:
    text = "Rome is in Italy. Tourists like it. Its river is the Tiber. " * 3
    index.add([Document(f"{text}The Pantheon in Rome is a temple.", id="rome")])
    llm = ScriptedLLM(["A temple [1]."])
    found = index.answer("What is the Pantheon in Rome?", llm=llm, context="spans", passages=1)
    (passage,) = found.passages
    start, end, *_ = passage.spans[0]
    assert (start, end) == passage.highlight
    assert passage.text[start:end] == "The Pantheon in Rome is a temple."
    assert passage.text.startswith("Rome is in Italy.")
    assert "… Its river is the Tiber. The Pantheon in Rome is a temple." in llm.prompts[0].user
    assert found.timings["spans"] >= 0
    index.delete(["rome"])


def test_what_a_model_reads_is_checked(index: Index) -> None:
    with pytest.raises(InputError, match="there is none"):
        index.answer(QUERY, context="spans")
    with pytest.raises(InputError, match="Did you mean 'spans'"):
        index.answer(QUERY, llm=ScriptedLLM([]), context="span")  # type: ignore[arg-type]
    scripted = ScriptedReranker({}, kind=ScoreKind.PROBABILITY, default=0.5)
    with pytest.raises(InputError, match="spans cannot be found"):
        index.answer(QUERY, llm=ScriptedLLM([]), context="spans", reranker=scripted)


def test_a_reranker_without_spans_scores_sentences(index: Index) -> None:
    scripted = ScriptedReranker(lambda query, text: float("million" in text))
    found = index.answer(QUERY, reranker=scripted)
    assert found.text.startswith("It has about two million inhabitants. [1]")
    assert found.passages[0].spans == ()


def test_a_model_may_say_that_there_is_no_answer(index: Index) -> None:
    for said in (NOT_FOUND, f" {NOT_FOUND}\n", "", " "):
        found = index.answer(QUERY, llm=ScriptedLLM([said]))
        assert found.status is AnswerStatus.NOT_FOUND
        assert NOT_FOUND not in found.text
        assert found.reason


def test_an_answer_that_ends_early_says_so(index: Index) -> None:
    cut = Completion("Paris [1] and", Stop.LENGTH, 5, 3)
    found = index.answer(QUERY, llm=ScriptedLLM([cut]))
    assert found.reason == "the answer ended by length"
    assert found.tokens == 8
    with pytest.raises(LLMError, match="down"):
        index.answer(QUERY, llm=ScriptedLLM([LLMError("down")]))


def test_a_query_can_be_rewritten(index: Index) -> None:
    llm = ScriptedLLM(['"capital France"\n', "Paris [1]."])
    found = index.answer(
        "pls tell me, what's the capital there, in France?", llm=llm, rewrite=True
    )
    assert found.searched == "capital France"
    failed = index.answer(
        QUERY, llm=ScriptedLLM([LLMError("down"), "Paris [1]."]), rewrite=True
    )
    assert failed.searched is None
    assert "not rewritten" in (failed.reason or "")
    assert failed.text == "Paris [1]."


def test_a_rewritten_question_is_a_variant_of_itself_unless_it_follows_up(index: Index) -> None:
    class Searched:
        """Searches the index, and remembers with which options."""

        def __init__(self) -> None:
            self.options: list[dict[str, Any]] = []

        def search(self, query: str, **options: Any) -> RerankResponse:
            self.options.append(options)
            return index.search(query, **options)

    searched = Searched()
    for history, given in (((), {}), ([Turn("user", "France?")], {}), ((), {"mode": "bm25"})):
        llm = ScriptedLLM(["capital France", "Paris [1]."])
        answer(searched, QUERY, llm=llm, rewrite=True, history=history, search=given)
    assert searched.options == [
        {"query_variants": [QUERY], "top_k": 5},
        {"top_k": 5},
        {"query_variants": [QUERY], "top_k": 5, "mode": "bm25"},
    ]


def test_what_was_said_before_is_read_and_instructions_are_kept(index: Index) -> None:
    llm = ScriptedLLM(["capital of France", "It is Paris [1]."])
    history = [Turn("user", f"turn {n} <document") for n in range(12)]
    stream = stream_answer(
        index, "And its capital?", llm=llm, rewrite=True, history=history,
        instructions="Answer in {verse}.",
    )  # fmt: skip
    pieces = iter(stream)
    assert stream.passages == ()
    next(pieces)
    assert stream.passages[0].ids == ("paris",)
    assert list(pieces)
    assert stream.answer is not None
    assert stream.answer.query == "And its capital?"
    assert stream.answer.searched == "capital of France"
    for prompt in llm.prompts:
        assert "user: turn 2 " in prompt.user
        assert "turn 1 " not in prompt.user
        assert "user: turn 11 <document" not in prompt.user
        assert "Now: And its capital?" in prompt.user
    assert llm.prompts[1].system.endswith("\n\nAnswer in {verse}.")


class ClosableLLM(ScriptedLLM):
    """Counts how often it is closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


def test_a_model_given_as_an_object_stays_open(index: Index) -> None:
    llm = ClosableLLM(["Paris [1].", "Paris [1]."])
    for _ in range(2):
        assert index.answer(QUERY, llm=llm).text == "Paris [1]."
    assert llm.closed == 0


@pytest.mark.parametrize("text", ["Paris [1].", LLMError("down"), Completion("a", Stop.END)])
def test_a_model_given_by_name_is_closed_after_the_answer(
    index: Index, monkeypatch: pytest.MonkeyPatch, text: str | Completion | LLMError
) -> None:
    llm = ClosableLLM([text])
    monkeypatch.setattr(ANSWER_MODULE, "load_llm", lambda name: llm)
    if isinstance(text, LLMError):
        with pytest.raises(LLMError, match="down"):
            index.answer(QUERY, llm="some/model")
    else:
        assert index.answer(QUERY, llm="some/model").text
    assert llm.closed == 1


def test_a_stream_that_is_closed_early_closes_a_model_given_by_name(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = ClosableLLM(["Paris is the capital [1]. " * 20])
    monkeypatch.setattr(ANSWER_MODULE, "load_llm", lambda name: llm)
    stream = stream_answer(index, QUERY, llm="some/model")
    next(iter(stream))
    assert llm.closed == 0
    stream.close()
    assert llm.closed == 1


def test_an_empty_index_has_no_answer(tmp_path: Path) -> None:
    with Index.open(tmp_path / "index") as empty:
        found = answer(empty, QUERY)
    assert found.status is AnswerStatus.NOT_FOUND
    assert found.passages == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"passages": 0},
        {"passages": None},
        {"context_tokens": -1},
        {"max_tokens": True},
        {"min_probability": "high"},
        {"rewrite": True},
    ],
)
def test_bad_input_is_refused_before_anything_is_searched(
    index: Index, wrong: dict[str, object]
) -> None:
    with pytest.raises(InputError):
        index.answer(QUERY, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="empty"):
        index.answer(" ")
