"""The engine against transformers itself, on tiny models of every shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from secondpass import InputError, PassageAggregation, Reranker
from tests.tiny_models import MORE_SHAPES, SHAPES, tiny_cross_encoder

QUERY = "How do I change my password?"
TEXTS = [
    "You can reset the password from the mail.",
    "bread",
    "The sea is blue and the river is slow when a storm is on the sky.",
    "",
    "I forget 7 yes",
]


def expected_logits(model: Any, folder: Path, texts: list[str]) -> list[float]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    logits = []
    for text in texts:
        pair = tokenizer.encode(QUERY, text)
        inputs = {"input_ids": torch.tensor([pair.ids])}
        if model.config.model_type in ("bert", "electra"):
            inputs["token_type_ids"] = torch.tensor([pair.type_ids])
        with torch.inference_mode():
            outputs = model(**inputs).logits[0].double()
        last, others = outputs[-1], outputs[:-1]
        log_odds = last if len(outputs) == 1 else last - torch.logsumexp(others, 0)
        logits.append(float(log_odds))
    return logits


@pytest.mark.parametrize("labels", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_scores_are_those_of_transformers(tmp_path: Path, shape: str, labels: int) -> None:
    model = tiny_cross_encoder(tmp_path, shape, labels)
    expected = expected_logits(model, tmp_path, TEXTS)
    for result in Reranker(tmp_path).rerank(QUERY, TEXTS).results:
        assert result.score == pytest.approx(expected[result.index], abs=1e-4)


@pytest.mark.parametrize("shape", MORE_SHAPES)
def test_scores_of_more_shapes_are_those_of_transformers(tmp_path: Path, shape: str) -> None:
    expected = expected_logits(tiny_cross_encoder(tmp_path, shape), tmp_path, TEXTS)
    for result in Reranker(tmp_path).rerank(QUERY, TEXTS).results:
        assert result.score == pytest.approx(expected[result.index], abs=1e-4)


def test_the_label_can_be_named(tmp_path: Path) -> None:
    tiny_cross_encoder(tmp_path, "bert", 2)
    last = Reranker(tmp_path).rerank(QUERY, TEXTS[:1]).results[0].score
    assert Reranker(tmp_path, label=1).rerank(QUERY, TEXTS[:1]).results[0].score == last
    first = Reranker(tmp_path, label="LABEL_0").rerank(QUERY, TEXTS[:1]).results[0].score
    assert first == pytest.approx(-last)
    with pytest.raises(InputError, match="Did you mean"):
        Reranker(tmp_path, label="LABEL_O")


def test_long_documents_are_windowed_and_the_title_stands_on_each(tmp_path: Path) -> None:
    tiny_cross_encoder(tmp_path)
    reranker = Reranker(tmp_path)
    words = ["river", "sea", "sky", "storm", "bread", "water"]
    text = " ".join(words[i % 6] for i in range(120))
    document = {"title": "slow ship", "text": text}
    passages = PassageAggregation("max", overlap=0.25, limit=50)
    (whole,) = reranker.rerank(QUERY, [document], passages=passages).results
    assert whole.windows > 1
    assert not whole.truncated

    # The same windows by hand: 64 tokens less 3 special, 7 of the query, 2 of the title.
    size = 64 - 3 - 7 - 2
    spans = passages.windows(120, size)
    assert whole.windows == len(spans)
    by_hand = [
        reranker.rerank(QUERY, [{"title": "slow ship", "text": " ".join(text.split()[a:b])}])
        for a, b in spans
    ]
    assert whole.score == pytest.approx(max(r.results[0].score for r in by_hand), abs=1e-5)


def test_what_was_not_read_is_counted(tmp_path: Path) -> None:
    tiny_cross_encoder(tmp_path)
    reranker = Reranker(tmp_path)
    text = " ".join(["water"] * 120)
    (first,) = reranker.rerank(QUERY, [text], passages="first").results
    read = 64 - 3 - 7
    assert first.windows == 1
    assert first.unread == len(text) - (6 * read - 1)
    (short,) = reranker.rerank(QUERY, [text], passages="first", max_length=32).results
    assert short.unread == len(text) - (6 * (32 - 10) - 1)
    (long_title,) = reranker.rerank(QUERY, [{"title": text, "text": "sea"}]).results
    assert long_title.truncated


def test_a_query_is_read_whole_as_long_as_a_document_fits_beside_it(tmp_path: Path) -> None:
    tiny_cross_encoder(tmp_path)
    reranker = Reranker(tmp_path)
    query = " ".join(["password"] * 44)
    scores = {
        reranker.rerank(f"{query} {w}", TEXTS[:1]).results[0].score for w in ("sea", "sky")
    }
    assert len(scores) == 2
    # A window asked to be shorter than the query grows instead of cutting it.
    grown = reranker.rerank(f"{query} sea", TEXTS[:1], max_length=20, passages="first")
    assert grown.results[0].score in scores
    assert grown.query_unread == 0
    longer = reranker.rerank(
        f"{query} password sea", TEXTS[:1], max_length=20, passages="first"
    )
    assert longer.query_unread == len(" password")
    assert longer.results[0].score == grown.results[0].score


def test_a_window_longer_than_the_model_is_refused(tmp_path: Path) -> None:
    tiny_cross_encoder(tmp_path, "roberta")
    with pytest.raises(InputError, match="at most 64"):
        Reranker(tmp_path).rerank(QUERY, TEXTS, max_length=65)
    assert Reranker(tmp_path).rerank(QUERY, ["river sea " * 100], max_length=64).results
