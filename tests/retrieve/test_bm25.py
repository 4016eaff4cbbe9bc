"""The words of a query add up to its BM25, and a changed text's BM25 is foretold."""

from __future__ import annotations

import random

import pytest

from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.bm25 import fit_bm25, term_scores
from secondpass.retrieve.store_protocol import Passage, searchable
from secondpass.types import Document

ENGLISH = [
    "the",
    "engine",
    "engines",
    "running",
    "runs",
    "run",
    "inventor",
    "invented",
    "inventions",
    "of",
    "steam",
    "and",
    "water",
    "atmospheric",
    "pumps",
    "pumping",
    "a",
    "cylinder's",
    "don't",
    "über",
    "piston",
]
GERMAN = [
    "die",
    "Häuser",
    "Haus",
    "und",
    "der",
    "Städte",
    "Stadt",
    "laufen",
    "läuft",
    "nicht",
    "Kinder",
    "Kindern",
]


def documents(names):
    return [Document("", id=name) for name in names]


def filled(folder, language, vocabulary, seed=0):
    chance = random.Random(seed)
    store = open_index(folder, language=language)
    passages = [
        Passage(
            f"d{i}",
            " ".join(chance.choices(vocabulary, k=chance.randint(1, 30))),
            chance.choice([None, *vocabulary]),
        )
        for i in range(60)
    ]
    store.upsert(passages)
    store.optimize()
    return store, {p.id: p for p in passages}, chance


@pytest.mark.parametrize(
    ("language", "vocabulary"), [("english", ENGLISH), ("german", GERMAN), ("none", ENGLISH)]
)
def test_terms_sum_to_the_score(tmp_path, language, vocabulary):
    store, passages, chance = filled(tmp_path, language, vocabulary)
    for _ in range(5):
        query = " ".join(chance.choices([*vocabulary, "unknown"], k=chance.randint(1, 7)))
        terms = term_scores(store, query, documents(passages))
        found = {hit.id: hit.score for hit in store.bm25(query, 100)}
        for name, row in zip(passages, terms, strict=True):
            total = sum(one.score for one in row)
            assert total == pytest.approx(found.get(name, 0.0), rel=1e-5, abs=1e-6)
        for one in terms[0]:
            assert one.indexed == bool(store.bm25(one.word, 1))


@pytest.mark.parametrize(("language", "vocabulary"), [("english", ENGLISH), ("german", GERMAN)])
def test_a_changed_text_has_the_score_that_it_gets_when_it_is_stored(
    tmp_path, language, vocabulary
):
    store, passages, chance = filled(tmp_path, language, vocabulary)
    query = " ".join(vocabulary[1:8])
    names = list(passages)[:30]
    texts = [searchable(passages[n].title, passages[n].text) for n in names]
    terms = term_scores(store, query, documents(names))
    model = fit_bm25(language, texts, terms)
    assert model is not None
    for text, row in zip(texts, terms, strict=True):
        assert model.score(text) == pytest.approx(sum(t.score for t in row), rel=1e-3)
    # Stored beside the others, a shortened text changes the statistics by very little.
    for name in chance.sample(names, 5):
        kept = passages[name].text.split()[::2]
        if not kept:
            continue
        store.upsert([Passage("new", " ".join(kept))])
        store.optimize()
        found = store.bm25(query, 1, passages=documents(["new"]))
        real = found[0].score if found else 0.0
        assert model.score(" ".join(kept)) == pytest.approx(real, rel=0.08, abs=1e-6)


def test_without_a_word_in_common_nothing_is_foretold(tmp_path):
    store, passages, _ = filled(tmp_path, "english", ENGLISH)
    names = list(passages)[:5]
    terms = term_scores(store, "unknown words", documents(names))
    texts = [passages[n].text for n in names]
    assert fit_bm25("english", texts, terms) is None


def test_no_ids_no_terms(tmp_path):
    store, _, _ = filled(tmp_path, "english", ENGLISH)
    assert term_scores(store, "engine", []) == []
    assert term_scores(store, "…", documents(["d1"])) == [[]]
