from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.sentences import split_sentences

texts = st.one_of(
    st.text(max_size=200),
    st.text(alphabet="aB1 .!?\n\r…\u3002\uff01」\"'()[]", max_size=80),
    st.lists(
        st.sampled_from(["Dr. ", "e.g. ", "One. ", "two ", "No. 5", "\n", "「はい。」"])
    ).map("".join),
)


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


@given(texts)
def test_spans_cover_the_text_in_order_without_overlap(text: str) -> None:
    spans = split_sentences(text)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    gaps = [text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]
    assert not "".join(gaps).strip()


@given(texts)
def test_sentences_have_no_white_space_around_them(text: str) -> None:
    assert all(sentence == sentence.strip() != "" for sentence in sentences(text))


@given(st.lists(st.sampled_from(["One is here.", "Is it?", "これ。", "Über 3!"]), max_size=8))
def test_lines_are_split_like_single_texts(lines: list[str]) -> None:
    assert sentences("\n".join(lines)) == lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t", []),
        ("one", ["one"]),
        ("One. Two! Three? Four… Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
        ("Dr. Smith paid $3.50 in St. Louis.", ["Dr. Smith paid $3.50 in St. Louis."]),
        ("He left, e.g. By car. J. R. Hartley", ["He left, e.g. By car.", "J. R. Hartley"]),
        ("See Fig. 3 and No. 4. Done.", ["See Fig. 3 and No. 4.", "Done."]),
        ("“Why?” he asked. “Who?” She left.", ["“Why?” he asked.", "“Who?”", "She left."]),
        ('He asks "why?" (Nobody knows.) [1]', ['He asks "why?"', "(Nobody knows.)", "[1]"]),
        ("It is over. über alles", ["It is over. über alles"]),
        ("It costs. €5 is fine. 3 are left.", ["It costs.", "€5 is fine.", "3 are left."]),
        ("A title\r\nA line\u2028Another", ["A title", "A line", "Another"]),
        ("これ。それ！？「はい。」終わり", ["これ。", "それ！？", "「はい。」", "終わり"]),  # noqa: RUF001
        ("यह है। वह है।", ["यह है।", "वह है।"]),
        ("a.b.c www.example.com/x?y=1 v1.2", ["a.b.c www.example.com/x?y=1 v1.2"]),
        ("🙂 Fine. 🙃 Too.", ["🙂 Fine.", "🙃 Too."]),
        ("--- \n ***", ["---", "***"]),
    ],
)
def test_where_sentences_end(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    "piece", [".", ". ", "Dr. X ", '."', ".)))", "。」", "。", " ", "\n", "? a", "!" + " " * 50]
)
def test_time_is_linear_in_the_length(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    start = time.perf_counter()
    split_sentences(text)
    assert time.perf_counter() - start < 5


@given(st.text(max_size=200))
def test_no_letter_is_lost(text: str) -> None:
    inside = "".join(sentences(text))
    assert [c for c in inside if c.isalnum()] == [c for c in text if c.isalnum()]


def test_a_paragraph_with_abbreviations_quotes_and_lines() -> None:
    text = (
        "Dr. Smith paid $3.50 in St. Louis. “Why?” He left, e.g. by car.\nA title\nこれ。それ。"
    )
    assert sentences(text) == [
        "Dr. Smith paid $3.50 in St. Louis.",
        "“Why?”",
        "He left, e.g. by car.",
        "A title",
        "これ。",
        "それ。",
    ]


def test_quoted_questions_and_mixed_scripts() -> None:
    assert sentences('One is here. Somebody asks "why?" Three\nfour。五') == [
        "One is here.",
        'Somebody asks "why?"',
        "Three",
        "four。",
        "五",
    ]
