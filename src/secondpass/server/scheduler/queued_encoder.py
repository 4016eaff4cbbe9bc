"""An embedder whose work waits its turn among that of all requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from secondpass.retrieve.chunking import approximate_tokens
from secondpass.retrieve.store_protocol import CountsTokens, Passage, Remembers, TextEncoder
from secondpass.server.scheduler.jobs import Part
from secondpass.server.scheduler.queue import WorkQueue
from secondpass.server.scheduler.scheduled_models import submit_and_wait

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

_TEXTS_AT_ONCE = 32
_PARTS_AT_ONCE = 8


class QueuedEncoder:
    """Encodes through a `WorkQueue`, in parts, so that searches do not wait for a whole batch.

    Raises what `Queued` raises.
    """

    def __init__(self, encoder: TextEncoder, queue: WorkQueue) -> None:
        self.name, self.digest, self.dimension = encoder.name, encoder.digest, encoder.dimension
        self._encoder, self._queue = encoder, queue

    def encode(self, texts: Sequence[str]) -> Embedding:
        """Return `[len(texts), dimension]` float32."""
        groups = [texts[i : i + _TEXTS_AT_ONCE] for i in range(0, len(texts), _TEXTS_AT_ONCE)]
        found: list[Embedding] = []
        # Some at a time: all of a large file at once would fill the queue for everybody.
        for start in range(0, len(groups), _PARTS_AT_ONCE):
            some = groups[start : start + _PARTS_AT_ONCE]
            found += submit_and_wait(self._queue, [self._part(group) for group in some])
        return np.concatenate(found) if found else self._encoder.encode([])

    def _part(self, texts: Sequence[str]) -> Part:
        work = float(sum(map(approximate_tokens, texts)) + len(texts))
        return Part(work, lambda: self._encoder.encode(texts))

    def remember(self, passages: Sequence[Passage]) -> None:
        """Hand on passages that are about to be stored."""
        if isinstance(self._encoder, Remembers):
            self._encoder.remember(passages)

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens, without the special ones."""
        if isinstance(self._encoder, CountsTokens):
            return self._encoder.count_tokens(text)
        return approximate_tokens(text)
