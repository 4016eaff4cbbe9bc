from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as TokenizersTokenizer

from secondpass.errors import ModelDamagedError
from secondpass.inference.tokenizer import Tokenizer
from secondpass.models import bundled_path
from tests.tiny_models import SHAPES, tiny_tokenizer

BUNDLED = bundled_path("bundled-embedder") / "tokenizer.json"
tokeniser = Tokenizer(BUNDLED)


@pytest.mark.parametrize("shape", SHAPES)
def test_joined_pairs_are_those_of_the_library(tmp_path: Path, shape: str) -> None:
    tiny_tokenizer(tmp_path, shape)
    ours = Tokenizer(tmp_path / "tokenizer.json")
    theirs = TokenizersTokenizer.from_file(str(tmp_path / "tokenizer.json"))
    theirs.no_padding()
    theirs.no_truncation()
    first, second = ours.encode(["how do i", "change my password?"], limit=64)
    ids, segments = ours.pair.join(first.ids, second.ids)
    expected = theirs.encode("how do i", "change my password?")
    assert ids.tolist() == expected.ids
    assert segments.tolist() == expected.type_ids
    single, _ = ours.single(first.ids)
    assert single.tolist() == theirs.encode("how do i").ids


@given(st.text(st.characters(exclude_categories=[]), max_size=300), st.integers(1, 40))
def test_what_is_read_is_a_prefix_of_the_whole(text: str, limit: int) -> None:
    (whole,) = tokeniser.encode([text], limit=10_000)
    (part,) = tokeniser.encode([text], limit=limit)
    assert whole.complete
    assert len(part.ids) >= min(limit, len(whole.ids)) or part.complete
    assert part.characters == whole.characters
    assert list(part.ends) == sorted(part.ends)
    assert all(0 <= e <= part.characters for e in part.ends)


def test_a_long_text_is_read_only_as_far_as_needed() -> None:
    text = "a river of words " * 100_000
    (tokens,) = tokeniser.encode([text], limit=100)
    assert not tokens.complete
    assert 100 <= len(tokens.ids) < 1000
    (whole,) = tokeniser.encode([text[:5000]], limit=100_000)
    assert list(tokens.ids[:100]) == list(whole.ids[:100])
    assert list(tokens.ends[:100]) == list(whole.ends[:100])


def test_the_end_of_a_word_of_megabytes_is_not_read() -> None:
    (tokens,) = tokeniser.encode(["x" * 5_000_000], limit=1000)
    assert not tokens.complete
    assert tokens.characters == 5_000_000
    assert 0 < tokens.ends[-1] < 1_200_000


def test_leading_spaces_do_not_hide_the_text() -> None:
    (tokens,) = tokeniser.encode([" " * 100_000 + "password"], limit=5)
    assert tokens.complete
    assert len(tokens.ids) == 1
    assert tokens.ends[0] == 100_008


def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text("{}")
    with pytest.raises(ModelDamagedError, match=r"tokenizer\.json"):
        Tokenizer(file)
