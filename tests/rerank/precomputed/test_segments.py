"""Segments by text: cached, bounded, and never those of another text."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import PassageAggregation
from secondpass.inference.query_cut import shared_tokenizer
from secondpass.inference.tokenizer import Tokenizer
from secondpass.rerank.precomputed import segments
from secondpass.rerank.precomputed.segments import Segmenter
from secondpass.rerank.precomputed.types import Segments, record_key, token_steps
from secondpass.rerank.windowing import WindowTokens, split_documents
from tests.tiny_models import tiny_tokenizer

TEXTS = [("", "river sea"), ("river", " sea"), ("r", "iver sea"), ("", ""), ("", "\ud800 sea")]
LONG = ("slow ship", "water bread sky " * 40)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokens")
    tiny_tokenizer(folder, "bert")
    return Tokenizer(folder / "tokenizer.json")


class Counting(Segmenter):
    tokenized = 0

    def _documents(self, texts, max_tokens, passages, reach):  # type: ignore[no-untyped-def]
        self.tokenized += len(texts)
        return super()._documents(texts, max_tokens, passages, reach)


def keys_of(tokenizer: Tokenizer, windows: WindowTokens) -> tuple[bytes, ...]:
    return tuple(record_key(tokenizer.single(ids)) for ids in windows.ids)


@pytest.mark.parametrize("max_tokens", [20, 40])
@pytest.mark.parametrize(
    "passages",
    [PassageAggregation(), PassageAggregation("first"), PassageAggregation(overlap=0.0)],
)
def test_segments_match_the_windows(
    tokenizer: Tokenizer, max_tokens: int, passages: PassageAggregation
) -> None:
    segmenter = Counting(tokenizer)
    texts = [*TEXTS, LONG]
    for _ in range(2):
        found = segmenter.segment(texts, max_tokens=max_tokens, passages=passages, reach=9999)
        windows = split_documents(
            tokenizer, texts, max_tokens=max_tokens, passages=passages, reach=9999
        )
        for document, whole in zip(found, windows, strict=True):
            assert document.keys == keys_of(tokenizer, whole)
            assert document.lengths == tuple(len(ids) + 2 for ids in whole.ids)
            assert (document.unread, document.spans) == (whole.unread, whole.spans)
    assert segmenter.tokenized == len(texts)
    sequences = Segmenter(tokenizer).sequences(
        texts, max_tokens=max_tokens, passages=passages, reach=9999
    )
    assert set(sequences) == {key for document in found for key in document.keys}


class DictStore:
    """Keeps segments in memory."""

    def __init__(self) -> None:
        self.kept: dict[bytes, Segments] = {}

    def get_segments(self, names: Sequence[bytes]) -> Mapping[bytes, Segments]:
        return {name: self.kept[name] for name in names if name in self.kept}

    def put_segments(self, segments: Mapping[bytes, Segments]) -> None:
        self.kept |= segments


def test_what_is_kept_is_not_tokenized_by_another(tokenizer: Tokenizer) -> None:
    store, texts = DictStore(), [*TEXTS, LONG]
    first, second = Counting(tokenizer), Counting(tokenizer)
    expected = first.segment(
        texts, max_tokens=20, passages=PassageAggregation(), reach=9999, store=store
    )
    found = second.segment(
        [*texts, ("", "ship")],
        max_tokens=20,
        passages=PassageAggregation(),
        reach=9999,
        store=store,
    )
    assert found[:-1] == expected
    assert second.tokenized == 1
    assert (
        second.segment(
            texts, max_tokens=40, passages=PassageAggregation(), reach=9999, store=store
        )
        != expected
    )
    assert Counting(tokenizer).segment(
        texts, max_tokens=20, passages=PassageAggregation("first"), reach=9999, store=store
    )


@given(
    st.lists(st.tuples(st.binary(min_size=16, max_size=16), st.integers(0, 512))),
    st.integers(0, 10**9),
    st.lists(st.integers(0, 2000)).map(sorted),
)
def test_segments_come_back_from_bytes(
    windows: list[tuple[bytes, int]], unread: int, ends: list[int]
) -> None:
    spans = tuple((n, n + unread) for _, n in windows)
    document = Segments(
        tuple(k for k, _ in windows),
        tuple(n for _, n in windows),
        unread,
        spans,
        unread,
        unread,
        unread,
        spans,
        token_steps(ends),
    )
    again = Segments.from_bytes(document.to_bytes())
    assert again == document
    assert again.token_ends().tolist() == ends


@given(st.lists(st.text("ab \U0001f600\ud800", max_size=300), max_size=3))
def test_token_ends_are_the_tokenizers(words: list[str]) -> None:
    # A gap of many spaces makes a step that takes several bytes.
    text, tokenizer = (" " * 600).join(words), shared_tokenizer()
    (found,) = Segmenter(tokenizer).segment(
        [("title", text)], max_tokens=40, passages=PassageAggregation(), reach=9999
    )
    (tokens,) = tokenizer.encode([text], 9999)
    assert found.token_ends().tolist() == list(tokens.ends)
    assert found.head == 1
    assert [found.spans[i][1] for i in range(found.coarse)] == [
        tokens.ends_at(end) for _, end in found.ranges[: found.coarse]
    ]


def test_segments_of_an_earlier_version_are_made_again() -> None:
    with pytest.raises(ValueError, match="unpack"):
        Segments.from_bytes(b'[["00"], [7], 0, [[0, 9]], 254, 1]')


@given(st.binary(max_size=60))
def test_bytes_that_are_not_segments_are_refused(data: bytes) -> None:
    with contextlib.suppress(ValueError, TypeError):
        assert isinstance(Segments.from_bytes(data), Segments)


def test_another_window_length_or_aggregation_is_split_again(tokenizer: Tokenizer) -> None:
    segmenter = Counting(tokenizer)
    for max_tokens in (20, 40):
        for passages in (
            PassageAggregation(),
            PassageAggregation("first"),
            PassageAggregation(overlap=0.0),
        ):
            (found,) = segmenter.segment(
                [LONG], max_tokens=max_tokens, passages=passages, reach=9999
            )
            (whole,) = split_documents(
                tokenizer, [LONG], max_tokens=max_tokens, passages=passages, reach=9999
            )
            assert found.keys == keys_of(tokenizer, whole)
    assert segmenter.tokenized == 6


def test_only_the_texts_used_last_are_cached(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "_CACHE_WINDOWS", 3)
    monkeypatch.setattr(segments, "_MAX_CHARACTERS", 30)
    segmenter = Counting(tokenizer)
    options = {"max_tokens": 20, "passages": PassageAggregation(), "reach": 9999}
    segmenter.segment(TEXTS, **options)
    segmenter.segment(TEXTS[-3:], **options)
    assert segmenter.tokenized == 5
    segmenter.segment(TEXTS[:1], **options)
    assert segmenter.tokenized == 6
    for _ in range(2):
        assert len(segmenter.segment([LONG], **options)) == 1
    assert segmenter.tokenized == 8


def test_what_was_just_segmented_is_not_tokenized_again(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"max_tokens": 16, "passages": PassageAggregation(), "reach": 1000}
    texts = [*TEXTS, LONG]
    segmenter = Counting(tokenizer)
    keys = [key for found in segmenter.segment(texts, **options) for key in found.keys]
    fresh = Segmenter(tokenizer).sequences(texts, **options)
    taken = segmenter.take_recent(keys)
    assert taken.keys() == set(keys)
    for key, (ids, types) in taken.items():
        assert ids.tolist() == fresh[key][0].tolist()
        assert types.tolist() == fresh[key][1].tolist()
    # Once: what is encoded is not needed again.
    assert segmenter.take_recent(keys) == {}
    assert segmenter._recent_tokens == 0
    monkeypatch.setattr(segments, "_RECENT_TOKENS", 40)
    segmenter = Counting(tokenizer)
    keys = [key for found in segmenter.segment(texts, **options) for key in found.keys]
    assert 0 < segmenter._recent_tokens <= 40
    last = segmenter.take_recent(keys)
    assert keys[-1] in last
    assert len(last) < len(keys)
    assert segmenter.tokenized == len(texts)


@given(st.lists(st.integers(0, 600), max_size=50))
def test_steps_of_any_length(differences: list[int]) -> None:
    ends = [sum(differences[: i + 1]) for i in range(len(differences))]
    written = token_steps(ends)
    read, more = [], 0
    for digit in written:
        more += int(digit, 16)
        if digit != "f":
            read.append(more)
    assert read == ends
