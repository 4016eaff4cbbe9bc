from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass import Candidate, Document, InputError, ModelError, Reranker, Spans
from secondpass.inference.query_cut import shared_tokenizer
from secondpass.inference.unicode import clean
from secondpass.models import bundled_path
from secondpass.option_types import declared
from secondpass.options import ResultOptions
from secondpass.policies import Blend, Cached, Ensemble, Fallback
from secondpass.rerank.policies.wrapper import RerankerWrapper
from secondpass.rerank.precomputed.segments import Segmenter
from secondpass.rerank.precomputed.sentences import slice_sentences
from secondpass.rerank.score import Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.spans import MAX_SENTENCES_READ, parse_spans, sentence_probabilities
from secondpass.rerank.windowing import PassageAggregation
from secondpass.sentences import split_sentences
from secondpass.testing import ScriptedReranker
from tests.tiny_models import tiny_cross_encoder

QUERY = "Where did Tesla die?"
TESLA = {
    "title": "Nikola Tesla",
    "text": "Tesla was born in 1856.\r\nHe moved to Colorado Springs. \U0001f600 Cafe\u0301! "
    "In 1943 he died in New York. His papers are in Belgrade.",
}
ALL = Spans(threshold=0, max_spans=None)
LONG = " ".join(f"Sentence number {i} is about bread and water." for i in range(200))

words = st.text(
    st.sampled_from("ab\u00e9e\u0301\U0001f600\u4e2d\u3002.!? \r\n\u2028\"')(\ud83d\ude00"),
    max_size=60,
)


@cache
def bundled() -> Reranker:
    return Reranker()


def spans_of(options: Any = True, document: Any = TESLA, **more: Any) -> list[str]:
    response = bundled().rerank(QUERY, [document], spans=options, **more)
    (result,) = response.results
    text = document["text"] if isinstance(document, dict) else document
    return [text[s.start : s.end] for s in result.spans]


def test_the_best_sentence_comes_first_in_code_points_of_the_text() -> None:
    assert spans_of()[0] == "In 1943 he died in New York."
    assert sorted(spans_of(ALL)) == sorted(
        TESLA["text"][start:end] for start, end in split_sentences(TESLA["text"])
    )


def test_sentences_are_scored_by_the_graph_for_them(tmp_path: Path) -> None:
    folder = tmp_path / "without"
    shutil.copytree(bundled_path("bundled"), folder)
    manifest = json.loads((folder / "secondpass.json").read_text("utf-8"))
    del manifest["spans"]
    (folder / "secondpass.json").write_text(json.dumps(manifest), "utf-8")
    early = Reranker(folder).rerank(QUERY, [TESLA], spans=ALL).results[0]
    found = bundled().rerank(QUERY, [TESLA], spans=ALL).results[0]
    assert {s.start: s.score for s in found.spans} != {s.start: s.score for s in early.spans}
    assert found.score == early.score


def test_the_title_is_read_and_has_no_spans() -> None:
    with_title = bundled().rerank(QUERY, [TESLA], spans=ALL).results[0].spans
    without = bundled().rerank(QUERY, [TESLA["text"]], spans=ALL).results[0].spans
    assert {s[:2] for s in with_title} == {s[:2] for s in without}
    assert [s.score for s in with_title] != [s.score for s in without]


def test_threshold_and_number_limit_the_spans() -> None:
    every = bundled().rerank(QUERY, [TESLA], spans=ALL).results[0].spans
    assert math.fsum(s.probability for s in every) == pytest.approx(1)
    assert [s.score for s in every] == sorted((s.score for s in every), reverse=True)
    assert len(spans_of({"max_spans": 1, "threshold": 0.0})) == 1
    assert spans_of({"threshold": 1.0}) == []
    assert spans_of(False) == []
    assert spans_of(Spans(threshold=every[1].probability, max_spans=None)) == spans_of(ALL)[:2]


def test_nothing_is_encoded_for_spans() -> None:
    reranker = Reranker()
    cold = reranker.rerank(QUERY, [TESLA, LONG], spans=True).usage
    again = Reranker().rerank(QUERY, [TESLA, LONG]).usage
    assert (cold.tokens, cold.pairs) == (again.tokens, again.pairs)


def test_a_template_may_go_on_behind_the_text() -> None:
    found = spans_of(ALL, template="{title}: {text} The end.")
    assert sorted(found) == sorted(spans_of(ALL))
    assert sorted(spans_of(ALL, fields=["title", "text"])) == sorted(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spans": {"threshold": 2}}, "threshold must be from 0 to 1"),
        ({"spans": {"threshold": None}}, "threshold"),
        ({"spans": {"max_spans": 0}}, "max_spans must be at least 1"),
        ({"spans": {"max_results": 0}}, "max_results must be at least 1"),
        ({"spans": {"max_results": True}}, "max_results must be"),
        ({"spans": {"unit": "word"}}, "A span cannot be a 'word'"),
        ({"spans": {"treshold": 0.5}}, "Did you mean 'threshold'"),
        ({"spans": 3}, "spans cannot be 3"),
        ({"spans": None}, "spans cannot be None"),
        ({"spans": True, "fields": ["text", "title"]}, "not the last field"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bundled().rerank(QUERY, [TESLA], **options)


def test_the_declaration_agrees_with_the_class() -> None:
    option = declared(ResultOptions)["spans"]
    limits = {"threshold": 0.2, "max_spans": None, "unit": "sentence", "max_results": None}
    assert option.problem(limits) is None
    assert {f.name for f in fields(Spans)} == set(limits)
    assert parse_spans({"threshold": 0.2}) == Spans(threshold=0.2)
    for bad in (
        {"threshold": 2},
        {"max_spans": 0},
        {"unit": "word"},
        {"max_results": 0},
        {"size": 1},
        3,
    ):
        assert option.problem(bad)
        with pytest.raises(InputError):
            parse_spans(bad)  # type: ignore[arg-type]


def test_an_empty_text_is_ranked_and_has_no_spans() -> None:
    results = bundled().rerank(QUERY, ["", " \r\n", TESLA], spans=True).results
    assert {r.index: bool(r.spans) for r in results} == {0: False, 1: False, 2: True}
    assert bundled().rerank(QUERY, [""], spans=True).results[0].spans == ()
    assert bundled().rerank(QUERY, [], spans=True).results == ()


@settings(max_examples=60, deadline=None)
@given(words, st.sampled_from(["", "a title"]), st.integers(17, 40))
def test_slices_hold_the_tokens_of_their_sentence(text: str, head: str, size: int) -> None:
    tokenizer, passages = shared_tokenizer(), PassageAggregation()
    options: dict[str, Any] = {"max_tokens": size, "passages": passages, "reach": 1000}
    segmenter = Segmenter(tokenizer)
    (segments,) = segmenter.segment([(head, text)], **options)
    sequences = segmenter.sequences([(head, text)], **options)
    sentences = split_sentences(text)
    slices = slice_sentences(text, sentences, segments)
    for (start, end), found in zip(sentences, slices, strict=True):
        (expected,) = tokenizer.encode([text[start:end]], 1000)
        if found is None:
            assert not expected.ids
            continue
        cut = sequences[found.key][0][found.start : found.end].tolist()
        if len(expected.ids) <= size // 2 - segments.head:
            # A window of three quarters of overlap holds a short sentence whole.
            assert cut == expected.ids or len(cut) < len(expected.ids) >= size // 4
        assert " ".join(map(str, cut)) in " ".join(map(str, expected.ids))


@settings(max_examples=25, deadline=None)
@given(words)
def test_spans_of_any_text_are_its_sentences(text: str) -> None:
    (result,) = bundled().rerank(QUERY, [text], spans=ALL).results
    sentences = split_sentences(text)
    assert {s[:2] for s in result.spans} <= set(sentences)
    for start, end in set(sentences) - {s[:2] for s in result.spans}:
        assert not shared_tokenizer().count(clean(text[start:end]))
    if result.best_window is not None:
        start, end = result.best_window
        assert 0 <= start <= end <= len(text)


@settings(max_examples=25, deadline=None)
@given(st.lists(words, max_size=6), st.integers(1, 8), st.sampled_from([ALL, Spans()]))
def test_only_the_first_results_have_spans(texts: list[str], limit: int, spans: Spans) -> None:
    documents = [*texts, TESLA["text"], TESLA["text"]]
    every = bundled().rerank(QUERY, documents, spans=spans).results
    limited = bundled().rerank(QUERY, documents, spans=replace(spans, max_results=limit))
    assert limited.results[:limit] == every[:limit]
    assert limited.results[limit:] == tuple(replace(r, spans=()) for r in every[limit:])


def test_the_limit_is_one_of_results_that_are_returned() -> None:
    documents = [LONG, TESLA, "Tesla died. It was in New York."]
    spans = {"max_results": 1, "max_spans": None, "threshold": 0}
    results = bundled().rerank(QUERY, documents, spans=spans).results
    assert [bool(r.spans) for r in results] == [True, False, False]
    (only,) = bundled().rerank(QUERY, documents, spans=spans, top_k=1).results
    assert only == results[0]


@given(st.lists(st.floats(-50, 50), max_size=8))
def test_probabilities_of_sentences_sum_to_one_and_keep_the_order(values: list[float]) -> None:
    shares = sentence_probabilities(values)
    assert len(shares) == len(values)
    assert not values or math.fsum(shares) == pytest.approx(1)
    assert all(0 <= share <= 1 for share in shares)
    order = sorted(range(len(values)), key=lambda i: values[i])
    assert [shares[i] for i in order] == sorted(shares)


def test_sentences_that_were_not_read_are_no_spans() -> None:
    text = f"{LONG} In 1943 he died in New York."
    (result,) = (
        bundled().rerank(QUERY, [text], spans=ALL, passages=PassageAggregation(limit=1)).results
    )
    assert result.unread
    assert result.spans
    assert max(s.end for s in result.spans) < len(text) - result.unread + 50


def test_the_best_window_is_where_the_answer_is(tmp_path: Any) -> None:
    half = len(LONG) // 2
    text = f"{LONG[:half]} In 1943 Tesla died in New York. {LONG[half:]}"
    (result,) = bundled().rerank(QUERY, [text]).results
    assert result.best_window is not None
    start, end = result.best_window
    assert "Tesla died in New York" in text[start:end]
    assert end - start < len(text) / 3
    file = tmp_path / "scores.sqlite"
    Cached(Reranker(), file).rerank(QUERY, [text])
    (cached,) = Cached(Reranker(), file).rerank(QUERY, [text]).results
    assert cached.best_window == result.best_window
    (titled,) = (
        bundled()
        .rerank(QUERY, [{"text": text, "title": "x"}], fields=["text", "title"])
        .results
    )
    assert titled.best_window is None


def test_rerankers_without_spans_refuse_before_they_score() -> None:
    scripted = ScriptedReranker({})
    with pytest.raises(InputError, match=r"spans cannot be found \(model scripted\)"):
        Blend(scripted).rerank(QUERY, [TESLA], spans=True)
    assert not scripted.calls


def test_policies_give_the_spans_of_the_model_inside(tmp_path: Any) -> None:
    expected = bundled().rerank(QUERY, [TESLA], spans=True).results[0].spans
    for policy in (
        Ensemble([ScriptedReranker({}), Reranker()]),
        Cached(Reranker(), tmp_path / "s.sqlite"),
        Fallback(ScriptedReranker({}, failures=[ModelError("down")]), chain=[Reranker()]),
    ):
        document = Document(TESLA["text"], title=TESLA["title"])
        (result,) = policy.rerank(QUERY, [document], spans=True).results
        assert result.spans == expected


class Broken(RerankerWrapper):
    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        raise ModelError("down")


def test_where_the_first_stage_stands_in_there_are_no_spans() -> None:
    response = Fallback(Broken(Reranker())).rerank(QUERY, [TESLA], spans=True)
    assert response.results[0].spans == ()
    assert response.reason


def test_a_cross_encoder_reads_the_sentences_of_returned_documents(tmp_path: Any) -> None:
    tiny_cross_encoder(tmp_path, "bert", labels=2)
    reranker = Reranker(tmp_path)
    texts = ["The sea is blue. The river is slow.", "Bread. Water.", LONG]
    plain = reranker.rerank("blue water", texts, top_k=1).usage
    response = reranker.rerank("blue water", texts, top_k=3, spans=ALL)
    extra = 2 + 2 + MAX_SENTENCES_READ
    assert response.usage.pairs == plain.pairs + extra
    assert response.usage.tokens > plain.tokens
    assert response.reason == f"{200 - MAX_SENTENCES_READ} sentences were not read for spans"
    by_index = {r.index: r.spans for r in response.results}
    assert {s[:2] for s in by_index[0]} == {(0, 16), (17, 35)}
    alone = reranker.rerank("blue water", ["The sea is blue."]).results[0]
    first = next(s for s in by_index[0] if s.start == 0)
    assert first.score == pytest.approx(alone.score, abs=1e-5)
