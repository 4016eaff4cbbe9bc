"""Which windows a document has, remembered by its text."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from secondpass.inference.tokenizer import Tokenizer, TokenSequence
from secondpass.rerank.precomputed.types import Cut, record_key
from secondpass.rerank.windowing import PassageAggregation, Windows, pieces

Text = tuple[str, str]
"""Head and body of a document."""

# About 400 bytes each.
_REMEMBERED = 16_384
# Names the way windows are made: another one must not find cuts of this one.
_WAY = 1
# Hashing a longer text would take longer than reading its first windows.
_LONGEST = 100_000


class Cuts(Protocol):
    """A place where cuts are kept by the names of their texts; it never fails."""

    def get_cuts(self, names: Sequence[bytes]) -> Mapping[bytes, Cut]:
        """Return those that are kept."""
        ...

    def put_cuts(self, cuts: Mapping[bytes, Cut]) -> None:
        """Keep more of them."""
        ...


class Cutter:
    """Cuts documents into windows of single sequences; tokenises no text twice in a row.

    Tokenising fifty texts takes longer than finding what was kept of them, so the keys of
    their windows are remembered by a hash of the text, the last used ones, and kept where
    there is a place for them. Safe to use from several threads at once.
    """

    def __init__(self, tokeniser: Tokenizer) -> None:
        self._tokeniser = tokeniser
        self._known: OrderedDict[bytes, Cut] = OrderedDict()
        self._lock = threading.Lock()

    def windows(
        self, texts: Sequence[Text], *, room: int, passages: PassageAggregation
    ) -> list[Windows]:
        """Return the windows of each text, of at most `room` tokens and the special ones."""
        return list(self._windows(texts, room, passages))

    def _windows(
        self, texts: Sequence[Text], room: int, passages: PassageAggregation
    ) -> Iterator[Windows]:
        for piece in pieces(self._tokeniser, texts, room=room, passages=passages):
            sequences = tuple(map(self._tokeniser.single, piece.ids))
            yield Windows(sequences, piece.unread, piece.spans)

    def cut(
        self,
        texts: Sequence[Text],
        *,
        room: int,
        passages: PassageAggregation,
        kept: Cuts | None = None,
    ) -> list[Cut]:
        """Return the keys of each text's windows; what `kept` lacks is kept there now."""
        names = [cut_name(text, room, passages) for text in texts]
        cuts: dict[Text, Cut] = {}
        with self._lock:
            for text, name in zip(texts, names, strict=True):
                if name is not None and name in self._known:
                    self._known.move_to_end(name)
                    cuts[text] = self._known[name]
        named = dict(zip(texts, names, strict=True))
        if kept is not None:
            cuts |= _kept({t: n for t, n in named.items() if t not in cuts}, kept)
        missing = [text for text in named if text not in cuts]
        # One after the other: only the keys of a text's windows stay in memory.
        windows = self._windows(missing, room, passages)
        cuts.update(zip(missing, map(_cut, windows), strict=True))
        fresh = {n: cuts[text] for text in missing if (n := named[text]) is not None}
        if kept is not None and fresh:
            kept.put_cuts(fresh)
        with self._lock:
            for text, name in zip(texts, names, strict=True):
                if name is not None:
                    self._known[name] = cuts[text]
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return [cuts[text] for text in texts]

    def sequences(
        self, texts: Sequence[Text], *, room: int, passages: PassageAggregation
    ) -> dict[bytes, TokenSequence]:
        """Return the windows of all texts by their keys."""
        found = self._windows(texts, room, passages)
        return {record_key(s): s for document in found for s in document.sequences}


def _cut(windows: Windows) -> Cut:
    return Cut(
        tuple(map(record_key, windows.sequences)),
        tuple(len(ids) for ids, _ in windows.sequences),
        windows.unread,
        windows.spans,
    )


def _kept(named: Mapping[Text, bytes | None], kept: Cuts) -> dict[Text, Cut]:
    texts = {name: text for text, name in named.items() if name is not None}
    return {texts[name]: cut for name, cut in kept.get_cuts(list(texts)).items()}


def cut_name(text: Text, room: int, passages: PassageAggregation) -> bytes | None:
    """Return what a text's cut is known by; None for a text that is too long to hash."""
    head, body = text
    if len(head) + len(body) > _LONGEST:
        return None
    # The length of the head keeps ("ab", "c") and ("a", "bc") apart.
    said = f"{_WAY} {room} {passages} {len(head)} {head}{body}"
    return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()
