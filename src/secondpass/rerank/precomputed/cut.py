"""Where a document is cut into windows, as it is remembered and kept."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cut:
    """The keys of a document's windows, the tokens of each, and the characters in none.

    `spans` says where each stands in the body, in characters.
    """

    keys: tuple[bytes, ...]
    lengths: tuple[int, ...]
    unread: int
    spans: tuple[tuple[int, int], ...]

    def to_bytes(self) -> bytes:
        """Return it as JSON."""
        keys = [key.hex() for key in self.keys]
        return json.dumps([keys, self.lengths, self.unread, self.spans]).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Cut:
        """Return what `to_bytes` wrote; raises ValueError or TypeError for anything else."""
        keys, lengths, unread, spans = json.loads(data)
        return cls(
            tuple(map(bytes.fromhex, keys)),
            tuple(map(int, lengths)),
            int(unread),
            tuple((int(start), int(end)) for start, end in spans),
        )
