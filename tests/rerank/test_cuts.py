"""Windows by text: remembered, bounded, and never those of another text."""

from __future__ import annotations

import pytest

from secondpass import Passages
from secondpass.engine.tokenise import Tokeniser
from secondpass.rerank.reader import cuts
from secondpass.rerank.reader.cuts import Cutter
from secondpass.rerank.reader.record import record_key
from tests.tiny_models import tiny_tokenizer

TEXTS = [("", "river sea"), ("river", " sea"), ("r", "iver sea"), ("", ""), ("", "\ud800 sea")]
LONG = ("slow ship", "water bread sky " * 40)


@pytest.fixture(scope="module")
def tokeniser(tmp_path_factory: pytest.TempPathFactory) -> Tokeniser:
    folder = tmp_path_factory.mktemp("tokens")
    tiny_tokenizer(folder, "bert")
    return Tokeniser(folder / "tokenizer.json")


class Counting(Cutter):
    tokenised = 0

    def _windows(self, texts, room, passages):  # type: ignore[no-untyped-def]
        self.tokenised += len(texts)
        return super()._windows(texts, room, passages)


@pytest.mark.parametrize("room", [20, 40])
@pytest.mark.parametrize("passages", [Passages(), Passages("first"), Passages(overlap=0.0)])
def test_cuts_are_those_of_the_windows(
    tokeniser: Tokeniser, room: int, passages: Passages
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


def test_another_room_or_other_passages_are_cut_anew(tokeniser: Tokeniser) -> None:
    cutter = Counting(tokeniser)
    for room in (20, 40):
        for passages in (Passages(), Passages("first"), Passages(overlap=0.0)):
            (found,) = cutter.cut([LONG], room=room, passages=passages)
            (whole,) = Cutter(tokeniser).windows([LONG], room=room, passages=passages)
            assert found.keys == tuple(map(record_key, whole.sequences))
    assert cutter.tokenised == 6


def test_only_the_last_texts_are_remembered(
    tokeniser: Tokeniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuts, "_REMEMBERED", 3)
    monkeypatch.setattr(cuts, "_LONGEST", 30)
    cutter = Counting(tokeniser)
    how = {"room": 20, "passages": Passages()}
    cutter.cut(TEXTS, **how)
    cutter.cut(TEXTS[-3:], **how)
    assert cutter.tokenised == 5
    cutter.cut(TEXTS[:1], **how)
    assert cutter.tokenised == 6
    for _ in range(2):
        assert len(cutter.cut([LONG], **how)) == 1
    assert cutter.tokenised == 8
