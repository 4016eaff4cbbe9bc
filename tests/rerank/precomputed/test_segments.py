"""Segments by text: cached, bounded, and never those of another text."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import PassageAggregation
from secondpass.inference.tokenizer import Tokenizer
from secondpass.rerank.precomputed import segments
from secondpass.rerank.precomputed.segments import Segmenter
from secondpass.rerank.precomputed.types import Segments, record_key
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

    def _windows(self, texts, max_tokens, passages, reach):  # type: ignore[no-untyped-def]
        self.tokenized += len(texts)
        return super()._windows(texts, max_tokens, passages, reach)


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
        windows = Segmenter(tokenizer).windows(
            texts, max_tokens=max_tokens, passages=passages, reach=9999
        )
        for document, whole in zip(found, windows, strict=True):
            assert document.keys == tuple(map(record_key, whole.sequences))
            assert document.lengths == tuple(len(ids) for ids, _ in whole.sequences)
            assert document.unread == whole.unread
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
)
def test_segments_come_back_from_bytes(windows: list[tuple[bytes, int]], unread: int) -> None:
    spans = tuple((n, n + unread) for _, n in windows)
    document = Segments(
        tuple(k for k, _ in windows),
        tuple(n for _, n in windows),
        unread,
        spans,
        unread,
        unread,
    )
    assert Segments.from_bytes(document.to_bytes()) == document


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
            (whole,) = Segmenter(tokenizer).windows(
                [LONG], max_tokens=max_tokens, passages=passages, reach=9999
            )
            assert found.keys == tuple(map(record_key, whole.sequences))
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
