"""The windows of documents, cached by a hash of their text."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from secondpass.inference.tokenizer import Tokenizer, TokenSequence
from secondpass.rerank.precomputed.types import Segments, record_key
from secondpass.rerank.windowing import DocumentWindows, PassageAggregation, split_documents

Text = tuple[str, str]
"""Head and body of a document."""

# About 300 bytes each.
_CACHE_WINDOWS = 32_768
# Part of each key: another algorithm must not find the segments of this one.
_VERSION = 2
# Hashing a longer text would take longer than tokenizing its first windows.
_MAX_CHARACTERS = 100_000


class SegmentStore(Protocol):
    """A store of segments by the keys of their texts; its methods never fail."""

    def get_segments(self, keys: Sequence[bytes]) -> Mapping[bytes, Segments]:
        """Return the segments that are stored."""
        ...

    def put_segments(self, segments: Mapping[bytes, Segments]) -> None:
        """Store segments."""
        ...


class Segmenter:
    """Splits documents into windows of single sequences, and caches where.

    Tokenizing fifty texts takes longer than looking up their records, so the keys of their
    windows are cached by a hash of the text: the last used ones in memory, all in a store
    where there is one. Thread-safe.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._cache: OrderedDict[bytes, Segments] = OrderedDict()
        self._cached_windows = 0
        self._lock = threading.Lock()

    def windows(
        self,
        texts: Sequence[Text],
        *,
        max_tokens: int,
        passages: PassageAggregation,
        reach: int,
    ) -> list[DocumentWindows]:
        """Return the windows of the first `reach` tokens of each text.

        They have at most `max_tokens` and the special tokens.
        """
        return list(self._windows(texts, max_tokens, passages, reach))

    def _windows(
        self, texts: Sequence[Text], max_tokens: int, passages: PassageAggregation, reach: int
    ) -> Iterator[DocumentWindows]:
        for tokens in split_documents(
            self._tokenizer, texts, max_tokens=max_tokens, passages=passages, reach=reach
        ):
            sequences = tuple(map(self._tokenizer.single, tokens.ids))
            yield DocumentWindows(
                sequences, tokens.unread, tokens.spans, tokens.size, tokens.coarse
            )

    def segment(
        self,
        texts: Sequence[Text],
        *,
        max_tokens: int,
        passages: PassageAggregation,
        reach: int,
        store: SegmentStore | None = None,
        write: bool = True,
    ) -> list[Segments]:
        """Return the segments of each text; those that the store lacks are added to it.

        Without `write` nothing is kept of them, in the store or in memory.
        """
        keys = {text: segments_key(text, max_tokens, passages, reach) for text in texts}
        segments: dict[Text, Segments] = {}
        with self._lock:
            for text, key in keys.items():
                if key is not None and key in self._cache:
                    self._cache.move_to_end(key)
                    segments[text] = self._cache[key]
        if store is not None:
            texts_by_key = {
                key: text
                for text, key in keys.items()
                if key is not None and text not in segments
            }
            stored = store.get_segments(list(texts_by_key))
            segments |= {texts_by_key[key]: value for key, value in stored.items()}
        missing = [text for text in keys if text not in segments]
        # One after the other: only the keys of a text's windows stay in memory.
        windows = self._windows(missing, max_tokens, passages, reach)
        segments.update(zip(missing, map(_to_segments, windows), strict=True))
        computed = {key: segments[t] for t in missing if (key := keys[t]) is not None}
        if not write:
            # In memory they would pass for stored ones.
            return [segments[text] for text in texts]
        if store is not None and computed:
            store.put_segments(computed)
        with self._lock:
            for text, key in keys.items():
                if key is not None and key not in self._cache:
                    self._cache[key] = segments[text]
                    self._cached_windows += len(segments[text].keys)
            while self._cached_windows > _CACHE_WINDOWS:
                _, dropped = self._cache.popitem(last=False)
                self._cached_windows -= len(dropped.keys)
        return [segments[text] for text in texts]

    def sequences(
        self,
        texts: Sequence[Text],
        *,
        max_tokens: int,
        passages: PassageAggregation,
        reach: int,
    ) -> dict[bytes, TokenSequence]:
        """Return the token sequences of the windows of all texts, by record key."""
        documents = self._windows(texts, max_tokens, passages, reach)
        return {record_key(s): s for document in documents for s in document.sequences}


def _to_segments(windows: DocumentWindows) -> Segments:
    return Segments(
        tuple(map(record_key, windows.sequences)),
        tuple(len(ids) for ids, _ in windows.sequences),
        windows.unread,
        windows.spans,
        windows.size,
        windows.coarse,
    )


def segments_key(
    text: Text, max_tokens: int, passages: PassageAggregation, reach: int
) -> bytes | None:
    """Return the 16 bytes that identify a text's segments; None for a text too long to hash."""
    head, body = text
    if len(head) + len(body) > _MAX_CHARACTERS:
        return None
    # The length of the head tells ("ab", "c") from ("a", "bc").
    content = f"{_VERSION} {max_tokens} {passages} {reach} {len(head)} {head}{body}"
    return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16).digest()
