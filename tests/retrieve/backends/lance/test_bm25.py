"""BM25 scores against the formula, written out independently."""

from __future__ import annotations

import math
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass.errors import IndexStoreError, InputError
from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.languages import ENGLISH_STOP_WORDS, LANGUAGES, parse_language
from secondpass.retrieve.store_protocol import Passage
from secondpass.types import Document

# Words that a stemmer leaves alone, so that the oracle needs none.
VOCABULARY = [f"w{i}" for i in range(80)] + list(ENGLISH_STOP_WORDS[:5])


def oracle(documents: dict[str, str], query: str, k1: float = 1.2, b: float = 0.75):
    def tokens(text):
        return [t for t in re.findall(r"\w+", text.lower()) if t not in ENGLISH_STOP_WORDS]

    bags = {name: tokens(text) for name, text in documents.items()}
    mean = sum(map(len, bags.values())) / len(bags)
    scores: dict[str, float] = {}
    for term in tokens(query):
        df = sum(term in bag for bag in bags.values())
        idf = math.log(1 + (len(bags) - df + 0.5) / (df + 0.5))
        for name, bag in bags.items():
            if tf := bag.count(term):
                norm = tf + k1 * (1 - b + b * len(bag) / mean)
                scores[name] = scores.get(name, 0.0) + idf * tf * (k1 + 1) / norm
    return scores


def make(rng: random.Random, first: int, n: int) -> list[Passage]:
    weights = [1 / (i + 1) for i in range(len(VOCABULARY))]
    made = []
    for i in range(first, first + n):
        words = rng.choices(VOCABULARY, weights, k=rng.randint(1, 40))
        cut = rng.randint(0, 3)
        title = " ".join(words[:cut]) if cut else None
        text = " ".join(words[cut:])
        made.append(Passage(f"d{i}", text, title, {"even": i % 2 == 0}))
    return made


def check(store, documents, rng):
    for _ in range(8):
        query = " ".join(rng.choices(VOCABULARY, k=rng.randint(1, 6)))
        expected = oracle(documents, query)
        found = {h.id: h.score for h in store.bm25(query, len(documents))}
        assert found == pytest.approx(expected, rel=1e-4)
        top = [h.score for h in store.bm25(query, 10)]
        assert top == pytest.approx(sorted(expected.values(), reverse=True)[:10], rel=1e-4)
        # A filter and a list of passages choose; they do not change the statistics.
        some = [Document("", id=name) for name in documents if rng.random() < 0.3]
        for hits in (store.bm25(query, 10, "even"), store.bm25(query, 10, passages=some)):
            for hit in hits:
                assert hit.score == pytest.approx(expected[hit.id], rel=1e-4)


@pytest.mark.parametrize("seed", [0, 1])
def test_scores_are_lucenes(tmp_path, seed):
    rng = random.Random(seed)
    store = open_index(tmp_path)
    documents: dict[str, str] = {}
    for first, n in ((0, 3), (3, 150), (100, 200)):
        batch = make(rng, first, n)
        store.upsert(batch)
        documents |= {p.id: f"{p.title or ''} {p.text}" for p in batch}
        store.optimize()
        check(store, documents, rng)
    store.delete([f"d{i}" for i in range(0, 90)])
    store.optimize()
    check(store, {k: v for k, v in documents.items() if int(k[1:]) >= 90}, rng)


def test_right_after_an_upsert_scores_are_near(tmp_path):
    rng = random.Random(2)
    store = open_index(tmp_path)
    documents: dict[str, str] = {}
    for first in range(0, 300, 10):
        batch = make(rng, first, 10)
        store.upsert(batch)
        documents |= {p.id: f"{p.title or ''} {p.text}" for p in batch}
    expected = oracle(documents, "w3 w20")
    found = {h.id: h.score for h in store.bm25("w3 w20", 300)}
    assert found == pytest.approx(expected, rel=0.1)


def test_stop_words_are_lucenes_33(tmp_path):
    assert len(set(ENGLISH_STOP_WORDS)) == 33
    store = open_index(tmp_path)
    stop_words = " ".join(ENGLISH_STOP_WORDS)
    store.upsert([Passage("a", stop_words), Passage("b", "his was our")])
    assert all(store.bm25(word, 5) == [] for word in ENGLISH_STOP_WORDS)
    assert [h.id for h in store.bm25("his", 5)] == [h.id for h in store.bm25("our", 5)] == ["b"]


def test_other_languages_are_stemmed_and_none_is_not(tmp_path):
    german = open_index(tmp_path / "de", language="de")
    german.upsert([Passage("a", "die Häuser der Stadt")])
    assert [h.id for h in german.bm25("haus", 5)] == ["a"]
    assert [h.id for h in german.bm25("die", 5)] == ["a"]
    plain = open_index(tmp_path / "none", language="none")
    plain.upsert([Passage("a", "the running dogs"), Passage("b", "日本語のテキスト検索")])
    assert plain.bm25("run", 5) == []
    assert [h.id for h in plain.bm25("The Running", 5)] == ["a"]
    assert [h.id for h in plain.bm25("検索", 5)] == ["b"]


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_every_listed_language_is_there(tmp_path, code):
    store = open_index(tmp_path, language=code)
    store.upsert([Passage("a", "zebra")])
    assert len(store.bm25("zebra", 1)) == 1


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    store = open_index(tmp_path_factory.mktemp("scripts"))
    texts = {
        "zh": "合同转让需要双方书面同意",
        "ja": "今日は家族としりとりをした。猫",
        "ko": "오늘 끝말잇기 게임을 했다",
        "th": "ร้านเปิดทุกวันตั้งแต่เก้าโมงเช้า",
        "km": "ខ្ញុំចូលចិត្តសៀវភៅ",
        "my": "ကျွန်တော်စာအုပ်ကြိုက်တယ်",
        "hi": "मुझे हिन्दी किताबें पसंद हैं",
        "ar": "كِتَابٌ جديد",
        "el": "ΟΔΟΣ είναι μακριά",
        "en": "the running engines of the naïve İstanbul ferry",
        "mixed": "GitHub备份脚本上传失败时",
    }
    store.upsert([Passage(name, name, text) for name, text in texts.items()])
    return store


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("合同", "zh"),
        ("双方书面同意", "zh"),
        ("しりとり", "ja"),
        ("猫", "ja"),
        ("끝말잇기", "ko"),
        ("게임", "ko"),
        ("ทุกวัน", "th"),
        ("សៀវភៅ", "km"),
        ("စာအုပ်", "my"),
        ("हिन्दी", "hi"),
        ("كتاب", "ar"),
        ("οδός", "el"),
        ("engine", "en"),
        ("istanbul naive", "en"),
        ("github", "mixed"),
        ("上传失败", "mixed"),
    ],
)
def test_words_of_any_script_are_found_in_an_index_without_options(scripts, query, expected):
    assert next(iter(scripts.bm25(query, 5))).id == expected
    assert expected in {hit.id for hit in scripts.bm25(query, 5, all_words=True)}


@given(
    st.text(st.characters()) | st.text('合同しก้हि्\u00ad\u0301ßİ한"*:()-+~^ ab\n', max_size=12)
)
@settings(max_examples=60, deadline=None)
def test_no_query_is_an_error(scripts, query):
    for all_words in (False, True):
        assert len(scripts.bm25(query, 3, all_words=all_words)) <= 3


def test_unknown_languages():
    assert parse_language(" English ") == parse_language("EN") == "english"
    with pytest.raises(InputError, match="Did you mean 'german'"):
        parse_language("germna")


def test_an_index_keeps_its_language(tmp_path):
    open_index(tmp_path, language="fr")
    assert open_index(tmp_path).settings.language == "french"
    with pytest.raises(IndexStoreError, match="french"):
        open_index(tmp_path, language="de")
