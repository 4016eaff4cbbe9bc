"""The windows of documents, cached by a hash of their text."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from secondpass.inference.tokenizer import Tokenizer, TokenSequence
from secondpass.rerank.precomputed.types import Segments, record_key, token_steps
from secondpass.rerank.windowing import DocumentTokens, PassageAggregation, tokenize_documents

Text = tuple[str, str]
"""Head and body of a document."""

# About 500 bytes each.
_CACHE_WINDOWS = 32_768
# The sequences of as many tokens, 16 bytes each, are kept until they are encoded.
_RECENT_TOKENS = 65_536
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
        self._recent: OrderedDict[bytes, TokenSequence] = OrderedDict()
        self._recent_tokens = 0
        self._lock = threading.Lock()

    def _documents(
        self, texts: Sequence[Text], max_tokens: int, passages: PassageAggregation, reach: int
    ) -> Iterator[tuple[DocumentTokens, list[TokenSequence]]]:
        """Yield the tokens of each text, and the sequences of its windows."""
        for tokens in tokenize_documents(
            self._tokenizer, texts, max_tokens=max_tokens, passages=passages, reach=reach
        ):
            windows = map(tokens.window, range(len(tokens.ranges)))
            yield tokens, list(map(self._tokenizer.single, windows))

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

        Windows are those of the first `reach` tokens of a text, and have at most `max_tokens`
        and the special tokens. Without `write` nothing is kept of them, in the store or in
        memory.
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
        # One after the other: only the keys of a text's windows, and the last sequences, stay
        # in memory.
        documents = self._documents(missing, max_tokens, passages, reach)
        for text, (tokens, sequences) in zip(missing, documents, strict=True):
            segments[text] = _to_segments(tokens, sequences)
            self._keep_recent(dict(zip(segments[text].keys, sequences, strict=True)))
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

    def take_recent(self, keys: Iterable[bytes]) -> dict[bytes, TokenSequence]:
        """Return the token sequences that are still known since `segment` made their keys.

        Each is returned once: who encodes it has no use for it afterwards.
        """
        with self._lock:
            known = {key: self._recent.pop(key) for key in keys if key in self._recent}
            self._recent_tokens -= sum(len(ids) for ids, _ in known.values())
        return known

    def _keep_recent(self, sequences: Mapping[bytes, TokenSequence]) -> None:
        with self._lock:
            for key, sequence in sequences.items():
                if key not in self._recent:
                    self._recent[key] = sequence
                    self._recent_tokens += len(sequence[0])
            while self._recent_tokens > _RECENT_TOKENS:
                _, (ids, _) = self._recent.popitem(last=False)
                self._recent_tokens -= len(ids)

    def sequences(
        self,
        texts: Sequence[Text],
        *,
        max_tokens: int,
        passages: PassageAggregation,
        reach: int,
    ) -> dict[bytes, TokenSequence]:
        """Return the token sequences of the windows of all texts, by record key."""
        documents = self._documents(texts, max_tokens, passages, reach)
        return {record_key(s): s for _, sequences in documents for s in sequences}


def _to_segments(tokens: DocumentTokens, sequences: Sequence[TokenSequence]) -> Segments:
    ends_at = tokens.body.ends_at
    read = max(end for _, end in tokens.ranges)
    return Segments(
        tuple(map(record_key, sequences)),
        tuple(len(ids) for ids, _ in sequences),
        tokens.unread,
        tuple((ends_at(start), ends_at(end)) for start, end in tokens.ranges),
        tokens.size,
        tokens.coarse,
        len(tokens.head),
        tokens.ranges,
        token_steps(tokens.body.ends[:read]),
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
