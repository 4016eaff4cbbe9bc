"""Keyword analysis: what the eye reads is found, at its place in the original."""

# ruff: noqa: RUF001

from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.inference.unicode import clean
from secondpass.retrieve.keywords import (
    find_keywords,
    find_query_keywords,
    keyword_text,
    normalize,
)

TEXTS = st.text() | st.text(
    st.sampled_from(
        "aZß0_ .'\n\u00ad\u200b\u200d\ufeff\u0301\u0327İıΣςσό²½™ﬁＡ①㏒ﷺｶﾞ合同テ한글ㄱㅏ"
        "\u1161\u11a8"
        "ทุก้हिन्\u094d\u093cك\u064b\u0640ی٣\U0001f1e9\U0001f44d\U000e0101\ud800\udc00𠮷"
    ),
    max_size=20,
)


def words(text: str) -> list[str]:
    return [word.text for word in find_keywords(text)]


@given(TEXTS)
def test_normalization_is_idempotent(text: str) -> None:
    once = normalize(clean(text))
    assert normalize(once) == once


@given(TEXTS)
def test_words_stand_at_their_place_in_the_original(text: str) -> None:
    text = clean(text)
    for analysis in (find_keywords, find_query_keywords):
        for word in analysis(text):
            assert 0 <= word.start < word.end <= len(text)
            written = text[word.start : word.end]
            assert word.text in "".join(normalize(written).split("\n")) or word.text in words(
                written
            )


@given(TEXTS)
def test_what_a_query_looks_for_is_what_the_index_stores(text: str) -> None:
    stored = words(text)
    assert {word.text for word in find_query_keywords(text)} <= set(stored)
    assert keyword_text(text).split(" ") == (stored if stored else [""])
    # The engine splits the stored words at white space only.
    assert keyword_text(text).split() == stored


@given(TEXTS)
def test_a_word_of_a_query_stays_as_it_is(text: str) -> None:
    for word in find_query_keywords(text):
        assert [again.text for again in find_query_keywords(word.text)] == [word.text]


@given(st.text(max_size=20))
def test_forms_of_normalization_are_the_same_text(text: str) -> None:
    expected = normalize(text)
    for form in ("NFC", "NFD"):
        assert normalize(unicodedata.normalize(form, text)) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("café", "cafe\u0301"),
        ("exam\u00adple", "example"),
        ("exam\u200bple", "example"),
        ("exam\ufeffple", "example"),
        ("Straße", "STRASSE"),
        ("İstanbul", "istanbul"),
        ("ΟΔΟΣ", "οδός"),
        ("ﬁne", "fine"),
        ("Ｆｕｌｌ", "full"),
        ("H₂O", "h2o"),
        ("Ⅷ", "viii"),
        ("٣٤", "34"),
        ("كِتَابٌ", "كتاب"),
        ("کتابی", "كتابي"),
        ("שָׁלוֹם", "שלום"),
        ("кни́га", "КНИГА"),
        ("ｶﾞｷﾞ", "ガギ"),
        ("한글", unicodedata.normalize("NFD", "한글")),
        ("don\u02bct", "don't"),
        ("合\n同", "合同"),
    ],
)
def test_what_looks_the_same_is_the_same(one: str, other: str) -> None:
    assert words(one) == words(other) != []
    assert [w.text for w in find_query_keywords(one)] == [
        w.text for w in find_query_keywords(other)
    ]


@pytest.mark.parametrize(
    ("one", "other"), [("й", "и"), ("ข้าว", "ขาว"), ("ガギ", "カキ"), ("क्या", "कया")]
)
def test_what_is_another_letter_stays_apart(one: str, other: str) -> None:
    assert set(words(one)) != set(words(other))


@pytest.mark.parametrize(
    ("text", "stored", "looked_for"),
    [
        ("GitHub备份时", "github 备 备份 份 份时 时", "github 备份 份时"),
        ("猫", "猫", "猫"),
        ("게임을 집", "게 게임 임 임을 을 집", "게임 임을 집"),
        ("ทุกวัน", "ทุ ทุก ก กวั วั วัน น", "ทุก กวั วัน"),
        ("Word™ Tesla¹ m²", "word tm tesla1 tesla m2 m", "word tm tesla1 m2"),
        ("C'est l'été", "c est l été", "c est l été"),
        ("a_b 3.14 x@y", "a b 3 14 x y", "a b 3 14 x y"),
        ("हिन्दी", "हिन्दी", "हिन्दी"),
        ("\u00ad \u0301 👍 …", "", ""),
    ],
)
def test_how_texts_are_split(text: str, stored: str, looked_for: str) -> None:
    assert keyword_text(text) == stored
    assert " ".join(word.text for word in find_query_keywords(text)) == looked_for


def test_the_place_of_a_word_has_all_that_was_ignored() -> None:
    text = "Die STRA\u00adßE, cafe\u0301 (合同)"
    places = [text[word.start : word.end] for word in find_keywords(text)]
    assert places == ["Die", "STRA\u00adßE", "cafe\u0301", "合", "合同", "同"]


def test_an_ascii_query_compiles_no_pattern_of_other_scripts() -> None:
    code = (
        "from secondpass.retrieve import keywords\n"
        "words = keywords.find_query_keywords('When did the plague reach Europe?')\n"
        "print(len(words), keywords._paired.cache_info().currsize)\n"
        "keywords.find_query_keywords('東京')\n"
        "print(keywords._paired.cache_info().currsize)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["6", "0", "1"]
