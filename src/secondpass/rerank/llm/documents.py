"""What a language model reads of each candidate."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from secondpass.inference.tokenizer import Tokeniser
from secondpass.inference.unicode import clean
from secondpass.models import bundled_path
from secondpass.rerank.scoring_options import Reading
from secondpass.types import Candidate

# A word that the tokenizer does not know is one token, however long it is.
_MOST_CHARACTERS_A_TOKEN = 8

_loading = threading.Lock()


@dataclass(frozen=True, slots=True)
class Shown:
    """The distinct texts of a list of candidates.

    `texts` and `unread` (characters left out) are of the distinct texts, in the order in
    which they are found; `places` has the position of each candidate's text in them.
    """

    texts: tuple[str, ...]
    unread: tuple[int, ...]
    places: tuple[int, ...]


def shown(candidates: Sequence[Candidate], reading: Reading, *, tokens: int) -> Shown:
    """Return the beginning of each candidate's text, at most so many tokens long.

    Tokens are counted as the bundled embedder does, since what a server's own model counts
    is not known here; for English the two differ by about a tenth. Candidates stand in
    first-stage order where they have ranks, and copies of a text are shown once.
    """
    ranks = [i + 1 if c.rank is None else c.rank for i, c in enumerate(candidates)]
    order = sorted(range(len(candidates)), key=lambda i: (ranks[i], i))
    joined = [
        clean(f"{head} {body}" if head and body else head or body)
        for head, body in reading.texts(candidates)
    ]
    positions = {t: n for n, t in enumerate(dict.fromkeys(joined[i] for i in order))}
    distinct = list(positions)
    limit = tokens if reading.max_length is None else reading.max_length
    ends = []
    for text, found in zip(distinct, _tokeniser().encode(distinct, limit + 1), strict=True):
        end = len(text) if len(found.ids) <= limit else found.ends[limit - 1]
        ends.append(min(end, limit * _MOST_CHARACTERS_A_TOKEN))
    return Shown(
        tuple(text[:end] for text, end in zip(distinct, ends, strict=True)),
        tuple(max(0, len(text) - end) for text, end in zip(distinct, ends, strict=True)),
        tuple(positions[text] for text in joined),
    )


def count_tokens(text: str) -> int:
    """Return how many tokens a text has, as the bundled embedder counts."""
    return _tokeniser().count(text)


def _tokeniser() -> Tokeniser:
    with _loading:
        return _loaded()


@cache
def _loaded() -> Tokeniser:
    return Tokeniser(bundled_path("bundled-embedder") / "tokenizer.json")
