"""Relevance feedback: what passages that are relevant, or are not, add to a query.

BM25 searches for words of relevant passages too (RM3: Lavrenko and Croft, SIGIR 2001; Jaleel
et al., TREC 2004), vector search from a vector moved towards relevant passages and away from
others (Rocchio, 1971).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from secondpass.retrieve.keywords import find_query_keywords

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

WORDS = 40
"""How many words of relevant passages are added to a query, stop words counted."""
QUERY_SHARE = 0.6
"""The share of the query's own words in the weights of the longer query."""
TOWARDS, AWAY = 0.75, 0.25
"""The weights of the mean vectors of relevant and of other passages beside the query's 1."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """What feedback adds to a query.

    - `words`: the words that BM25 searches for instead of the query's, with their weights;
      without any it searches for the query's.
    - `direction`: `[dimension]`, added to the query's vector of unit length; None for nothing.
    """

    words: Mapping[str, float] = field(default_factory=dict)
    direction: Embedding | None = None

    def move(self, embedding: Embedding) -> Embedding:
        """Return a query's vector moved by the direction, of unit length again."""
        import numpy as np

        if self.direction is None:
            return embedding
        moved = embedding + self.direction
        length = float(np.linalg.norm(moved))
        # A query that only goes away from itself has nowhere to go.
        return embedding if length < 1e-6 else (moved / length).astype(np.float32)


def choose_direction(
    like: Sequence[Embedding], unlike: Sequence[Embedding] = ()
) -> Embedding | None:
    """Return the direction from a query to some vectors and away from others; None for none.

    Source: Rocchio, "Relevance Feedback in Information Retrieval", 1971.
    """
    import numpy as np

    if not like and not unlike:
        return None
    parts = [
        weight * np.mean(np.stack(vectors), axis=0)
        for weight, vectors in ((TOWARDS, like), (-AWAY, unlike))
        if vectors
    ]
    total = parts[0] if len(parts) == 1 else parts[0] + parts[1]
    return np.asarray(total, dtype=np.float32)


def expand_words(query: str, texts: Sequence[str]) -> dict[str, float]:
    """Return the words of a query and of relevant texts with weights; {} without texts.

    The weights sum to the number of words of the query: `QUERY_SHARE` of that is its own, the
    rest goes to the `WORDS` words with the highest mean frequency in the texts (RM3). Stop
    words among them find nothing, because no index has them.
    """
    own = [word.text for word in find_query_keywords(query)]
    frequencies: dict[str, float] = {}
    for text in texts:
        words = [word.text for word in find_query_keywords(text)]
        for word, count in Counter(words).items():
            share = count / len(words) / len(texts)
            frequencies[word] = frequencies.get(word, 0.0) + share
    chosen = sorted(frequencies, key=lambda word: (-frequencies[word], word))[:WORDS]
    if not own or not chosen:
        return {}
    total = sum(frequencies[word] for word in chosen)
    weights = dict.fromkeys([*own, *chosen], 0.0)
    for word in own:
        weights[word] += QUERY_SHARE
    for word in chosen:
        weights[word] += (1 - QUERY_SHARE) * len(own) * frequencies[word] / total
    return weights
