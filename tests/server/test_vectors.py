"""What is read of long texts, and how vectors are encoded."""

from __future__ import annotations

import base64
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass import Embedder
from secondpass.inference.tokenizer import Tokenizer
from secondpass.server.http_errors import HttpError
from secondpass.server.vectors import (
    Cut,
    TextVectors,
    cut_texts,
    encode_base64,
    pack_signs,
    quantize_int8,
)

# Words of one token and of several, without spaces, of no letters, and of no known token.
WORD = st.sampled_from(["river ", "unquestionably ", "日本", "…!", "\t", "x" * 30 + " ", "é"])


@cache
def tokenizer() -> Tokenizer:
    return Embedder().encoder.tokenizer


@settings(deadline=None, max_examples=60)
@given(words=st.lists(WORD, max_size=40), limit=st.integers(6, 20))
def test_a_text_is_cut_at_the_end_that_was_named(words: list[str], limit: int) -> None:
    text = "".join(words)
    whole = tokenizer().encode([text], 1000)[0].ids
    for cut in (Cut.END, Cut.START):
        (read,), (count,), long = cut_texts(tokenizer(), [text], limit, cut)
        assert count <= limit
        assert long == ([0] if len(whole) > limit else [])
        assert text.startswith(read) if cut is Cut.END else text.endswith(read)
        if not long:
            assert (read, count) == (text, len(whole))
        elif cut is Cut.END:
            assert list(tokenizer().encode([read], 1000)[0].ids[:limit]) == whole[:limit]
    if len(whole) > limit:
        with pytest.raises(HttpError, match=f"text 1 has more than {limit} tokens"):
            cut_texts(tokenizer(), ["a", text], limit, Cut.NONE)


def test_of_a_long_text_the_last_tokens_are_read() -> None:
    text = "the sea " * 5000 + "a slow ship"
    (read,), (count,), long = cut_texts(tokenizer(), [text], 5, Cut.START)
    assert (read.strip(), count, long) == ("the sea a slow ship", 5, [0])


def test_encodings_keep_the_numbers() -> None:
    vectors = Embedder().encode(["the river meets the sea", "a slow ship", ""])
    whole = np.frombuffer(base64.b64decode(encode_base64(vectors[0])), "<f4")
    assert np.array_equal(whole, vectors[0])
    numbers = np.array(quantize_int8(vectors))
    assert np.abs(numbers).max() <= 127
    assert np.abs(numbers * (0.7 / 127) - vectors).max() < 0.003
    bits = np.unpackbits(np.array(pack_signs(vectors), np.uint8), axis=1)
    assert np.array_equal(bits == 1, vectors > 0)


def test_what_was_cut_is_told() -> None:
    vectors = np.zeros((20, 3), np.float32)
    assert TextVectors(vectors, 9, [], 254).warnings == []
    (told,) = TextVectors(vectors, 9, list(range(12)), 254).warnings
    assert told.startswith("12 of 20 texts are longer than 254 tokens and cut: 0, 1,")
    assert told.endswith("9, …")
