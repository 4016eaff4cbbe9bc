"""Windows by text: remembered, bounded, and never those of another text."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import PassageAggregation
from secondpass.inference.tokenizer import Tokenizer
from secondpass.rerank.precomputed import segments
from secondpass.rerank.precomputed.segments import Cutter
from secondpass.rerank.precomputed.types import Cut, record_key
from tests.tiny_models import tiny_tokenizer

TEXTS = [("", "river sea"), ("river", " sea"), ("r", "iver sea"), ("", ""), ("", "\ud800 sea")]
LONG = ("slow ship", "water bread sky " * 40)


@pytest.fixture(scope="module")
def tokeniser(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokens")
    tiny_tokenizer(folder, "bert")
    return Tokenizer(folder / "tokenizer.json")


class Counting(Cutter):
    tokenised = 0

    def _windows(self, texts, room, passages):  # type: ignore[no-untyped-def]
        self.tokenised += len(texts)
        return super()._windows(texts, room, passages)


@pytest.mark.parametrize("room", [20, 40])
@pytest.mark.parametrize(
    "passages",
    [PassageAggregation(), PassageAggregation("first"), PassageAggregation(overlap=0.0)],
)
def test_cuts_are_those_of_the_windows(
    tokeniser: Tokenizer, room: int, passages: PassageAggregation
) -> None:
    cutter = Counting(tokeniser)
    texts = [*TEXTS, LONG]
    for _ in range(2):
        found = cutter.cut(texts, room=room, passages=passages)
        windows = Cutter(tokeniser).windows(texts, room=room, passages=passages)
        for cut, whole in zip(found, windows, strict=True):
            assert cut.keys == tuple(map(record_key, whole.sequences))
            assert cut.lengths == tuple(len(ids) for ids, _ in whole.sequences)
            assert cut.unread == whole.unread
    assert cutter.tokenised == len(texts)
    sequences = Cutter(tokeniser).sequences(texts, room=room, passages=passages)
    assert set(sequences) == {key for cut in found for key in cut.keys}


class Shelf:
    """Keeps segments in memory."""

    def __init__(self) -> None:
        self.kept: dict[bytes, Cut] = {}

    def get_cuts(self, names: Sequence[bytes]) -> Mapping[bytes, Cut]:
        return {name: self.kept[name] for name in names if name in self.kept}

    def put_cuts(self, segments: Mapping[bytes, Cut]) -> None:
        self.kept |= segments


def test_what_is_kept_is_not_tokenised_by_another(tokeniser: Tokenizer) -> None:
    shelf, texts = Shelf(), [*TEXTS, LONG]
    first, second = Counting(tokeniser), Counting(tokeniser)
    expected = first.cut(texts, room=20, passages=PassageAggregation(), kept=shelf)
    found = second.cut(
        [*texts, ("", "ship")], room=20, passages=PassageAggregation(), kept=shelf
    )
    assert found[:-1] == expected
    assert second.tokenised == 1
    assert second.cut(texts, room=40, passages=PassageAggregation(), kept=shelf) != expected
    assert Counting(tokeniser).cut(
        texts, room=20, passages=PassageAggregation("first"), kept=shelf
    )


@given(
    st.lists(st.tuples(st.binary(min_size=16, max_size=16), st.integers(0, 512))),
    st.integers(0, 10**9),
)
def test_a_cut_comes_back_from_bytes(windows: list[tuple[bytes, int]], unread: int) -> None:
    spans = tuple((n, n + unread) for _, n in windows)
    cut = Cut(tuple(k for k, _ in windows), tuple(n for _, n in windows), unread, spans)
    assert Cut.from_bytes(cut.to_bytes()) == cut


@given(st.binary(max_size=60))
def test_bytes_that_are_no_cut_are_refused(data: bytes) -> None:
    with contextlib.suppress(ValueError, TypeError):
        assert isinstance(Cut.from_bytes(data), Cut)


def test_another_room_or_other_passages_are_cut_anew(tokeniser: Tokenizer) -> None:
    cutter = Counting(tokeniser)
    for room in (20, 40):
        for passages in (
            PassageAggregation(),
            PassageAggregation("first"),
            PassageAggregation(overlap=0.0),
        ):
            (found,) = cutter.cut([LONG], room=room, passages=passages)
            (whole,) = Cutter(tokeniser).windows([LONG], room=room, passages=passages)
            assert found.keys == tuple(map(record_key, whole.sequences))
    assert cutter.tokenised == 6


def test_only_the_last_texts_are_remembered(
    tokeniser: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "_REMEMBERED", 3)
    monkeypatch.setattr(segments, "_LONGEST", 30)
    cutter = Counting(tokeniser)
    how = {"room": 20, "passages": PassageAggregation()}
    cutter.cut(TEXTS, **how)
    cutter.cut(TEXTS[-3:], **how)
    assert cutter.tokenised == 5
    cutter.cut(TEXTS[:1], **how)
    assert cutter.tokenised == 6
    for _ in range(2):
        assert len(cutter.cut([LONG], **how)) == 1
    assert cutter.tokenised == 8
