"""False-negative filtering: passages that may answer the query must not become negatives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from secondpass.train.data.examples import Examples, Group, normalize_text

Rule = Literal["same query", "same text", "margin"]
RULES: tuple[Rule, ...] = ("same query", "same text", "margin")

_MIN_WORDS = 4
_SAMPLE = 1000


class KnownPositives:
    """The positives of all queries, and the normalized texts of the passages."""

    def __init__(self, examples: Examples) -> None:
        self._passages = examples.passages
        self._normalized: dict[int, str] = {}
        self._positives: dict[str, set[int]] = {}
        for group in examples.groups:
            query = normalize_text(group.query)
            self._positives.setdefault(query, set()).update(group.positives)

    def of_query(self, query: str) -> set[int]:
        """Return the positives of this query and of its near duplicates."""
        return self._positives.get(normalize_text(query), set())

    def contains(self, passage: int, positive: int) -> bool:
        """Return whether a passage contains the text of a positive, or is most of it.

        Texts are compared after `normalize_text`. A positive of fewer than four words must be
        the whole passage: it may occur in any text by chance.
        """
        text, positive_text = self._normalize(passage), self._normalize(positive)
        if text == positive_text:
            return True
        if positive_text.count(" ") + 1 < _MIN_WORDS:
            return False
        # The second case is a positive without its title.
        is_most_of_it = 2 * len(text) >= len(positive_text)
        return f" {positive_text} " in f" {text} " or (
            is_most_of_it and f" {text} " in f" {positive_text} "
        )

    def _normalize(self, passage: int) -> str:
        text = self._normalized.get(passage)
        if text is None:
            text = self._normalized[passage] = normalize_text(self._passages[passage])
        return text


@dataclass(slots=True)
class FalseNegativeFilter:
    """The rules for one query; `dropped` has the passages that each rule refused.

    `cosines` are those of the query and all passages, shape [passages]. The margin rule takes
    a passage for an unlabeled answer if its cosine is above that of the nearest positive less
    `margin`: positive-aware mining, as in NV-Retriever (Moreira et al., 2024, arXiv
    2407.15831); what unlabeled answers cost is in "Hard Negatives, Hard Lessons" (Thakur et
    al., Findings of EMNLP 2025, RLHN).
    """

    group: Group
    known: KnownPositives
    cosines: NDArray[np.float32]
    margin: float
    dropped: dict[Rule, set[int]] = field(default_factory=lambda: {r: set() for r in RULES})
    _positives: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self._positives = self.known.of_query(self.group.query)

    @property
    def max_cosine(self) -> float:
        """The highest cosine that a hard or medium negative may have."""
        return float(self.cosines[list(self.group.positives)].max()) - self.margin

    @property
    def max_random_cosine(self) -> float:
        """The highest cosine of a random negative: at least the median over the corpus.

        Where the embedder does not see that the positive answers the query, the cosine of the
        positive means nothing, and would leave no passage at all.
        """
        step = -(-len(self.cosines) // _SAMPLE)
        return max(self.max_cosine, float(np.median(self.cosines[::step])))

    def select(
        self,
        candidates: Iterable[int],
        count: int,
        max_cosine: float,
        excluded: Mapping[int, object],
    ) -> list[int]:
        """Return the first `count` candidates that pass every rule and are not excluded."""
        selected: dict[int, None] = {}
        if count <= 0:
            return []
        for passage in candidates:
            if (
                passage in excluded
                or passage in selected
                or self._is_refused(passage, max_cosine)
            ):
                continue
            selected[passage] = None
            if len(selected) == count:
                break
        return list(selected)

    def _is_refused(self, passage: int, max_cosine: float) -> bool:
        rule: Rule
        if passage in self.group.positives:
            return True
        if passage in self._positives:
            rule = "same query"
        elif self.cosines[passage] > max_cosine:
            rule = "margin"
        elif any(self.known.contains(passage, p) for p in self.group.positives):
            rule = "same text"
        else:
            return False
        self.dropped[rule].add(passage)
        return True
