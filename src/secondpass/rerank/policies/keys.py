"""The name of a pair: everything that its score depends on, as sixteen bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from secondpass._version import __version__
from secondpass.rerank.scoring_options import Reading
from secondpass.types import Candidate


def pair_keys(
    identity: str, query: str, reading: Reading, candidates: Sequence[Candidate]
) -> list[bytes]:
    """Return a BLAKE2b for each candidate: of model, version, reading, query and texts.

    The version of this package counts, since how texts are cut and batched changes scores
    too. `top_k` and `started` of the reading do not count.
    """
    passages = reading.passages
    said = [
        identity,
        __version__,
        query,
        reading.fields,
        reading.template,
        reading.max_length,
        [passages.aggregate, passages.overlap, passages.limit],
    ]
    # JSON keeps parts apart and escapes lone surrogates.
    start = hashlib.blake2b(json.dumps(said).encode(), digest_size=16)
    keys = []
    for head, body in reading.texts(candidates):
        name = start.copy()
        before = head.encode("utf-8", "surrogatepass")
        # The length keeps head and body apart.
        name.update(b"%d:" % len(before) + before)
        name.update(body.encode("utf-8", "surrogatepass"))
        keys.append(name.digest())
    return keys
