"""Which passages must not become negatives, because they may answer the query.

The words of a text, without what does not change its meaning.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from secondpass.train.data.examples import Examples, Group

_WORD = re.compile(r"\w+")


def wording(text: str) -> str:
    """Return the words in order, one space between: case, punctuation and spacing are gone.

    Texts with the same wording are near copies. A text without a word is returned as it
    is, without the space around it.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = " ".join(_WORD.findall(folded))
    return words if words else text.strip()


Rule = Literal["same query", "same text", "margin"]
RULES: tuple[Rule, ...] = ("same query", "same text", "margin")

_LEAST_WORDS = 4
_SAMPLE = 1000


class Known:
    """What the examples themselves say: who answers whom, and in which words."""

    def __init__(self, examples: Examples) -> None:
        self._passages = examples.passages
        self._wordings: dict[int, str] = {}
        self._answers: dict[str, set[int]] = {}
        for group in examples.groups:
            self._answers.setdefault(wording(group.query), set()).update(group.positives)

    def answers(self, query: str) -> set[int]:
        """Return the positives of this query and of its near copies."""
        return self._answers.get(wording(query), set())

    def holds(self, place: int, positive: int) -> bool:
        """Return whether a passage has the text of a positive, or is most of it.

        Compared by wording. A positive of fewer than four words must be the whole passage:
        it may stand in any text by chance.
        """
        one, other = self._wording(place), self._wording(positive)
        if one == other:
            return True
        if other.count(" ") + 1 < _LEAST_WORDS:
            return False
        # The second case is a positive without its title.
        most = 2 * len(one) >= len(other)
        return f" {other} " in f" {one} " or (most and f" {one} " in f" {other} ")

    def _wording(self, place: int) -> str:
        found = self._wordings.get(place)
        if found is None:
            found = self._wordings[place] = wording(self._passages[place])
        return found


@dataclass(slots=True)
class Filter:
    """The rules for one query; `dropped` counts what each refused, a passage once.

    `cosines` are those of the query to all passages, shape [passages]. The margin rule
    takes a passage for an answer that nobody has marked when it is nearer to the query
    than the nearest positive less `margin`: positive-aware mining, as in NV-Retriever
    (Moreira et al., 2024, arXiv 2407.15831); what unmarked answers cost is in "Hard
    Negatives, Hard Lessons" (Thakur et al., Findings of EMNLP 2025, RLHN).
    """

    group: Group
    known: Known
    cosines: NDArray[np.float32]
    margin: float
    dropped: dict[Rule, set[int]] = field(default_factory=lambda: {r: set() for r in RULES})
    _answers: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self._answers = self.known.answers(self.group.query)

    @property
    def ceiling(self) -> float:
        """The highest cosine that a hard or medium negative may have."""
        return float(self.cosines[list(self.group.positives)].max()) - self.margin

    @property
    def loose_ceiling(self) -> float:
        """The highest cosine of a random negative: no lower than that of half the corpus.

        Where the embedder does not see that the positive answers, its cosine says nothing,
        and would leave no passage at all.
        """
        step = -(-len(self.cosines) // _SAMPLE)
        return max(self.ceiling, float(np.median(self.cosines[::step])))

    def passing(
        self, candidates: Iterable[int], count: int, ceiling: float, taken: Mapping[int, object]
    ) -> list[int]:
        """Return the first `count` candidates that no rule refuses and that are not taken."""
        chosen: dict[int, None] = {}
        if count <= 0:
            return []
        for place in candidates:
            if place in taken or place in chosen or self._refused(place, ceiling):
                continue
            chosen[place] = None
            if len(chosen) == count:
                break
        return list(chosen)

    def _refused(self, place: int, ceiling: float) -> bool:
        rule: Rule
        if place in self.group.positives:
            return True
        if place in self._answers:
            rule = "same query"
        elif self.cosines[place] > ceiling:
            rule = "margin"
        elif any(self.known.holds(place, p) for p in self.group.positives):
            rule = "same text"
        else:
            return False
        self.dropped[rule].add(place)
        return True
