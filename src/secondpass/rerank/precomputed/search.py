"""One search: the windows of its candidates, scored by one graph or another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from secondpass.inference.runtimes import Runtime
from secondpass.rerank.precomputed.cut import Cut
from secondpass.rerank.precomputed.records import GROUP, Records
from secondpass.rerank.precomputed.scoring import Question, read_records
from secondpass.rerank.precomputed.segments import Text


@dataclass(frozen=True, slots=True)
class Search:
    """A question and the windows of its candidates; `longest` is what the encoder reads."""

    question: Question
    cuts: Mapping[Text, Cut]
    records: Records
    longest: int

    def values(self, runtime: Runtime, texts: Iterable[Text]) -> dict[Text, list[float]]:
        """Return what a graph gives for each window of the texts, in the order of the texts."""
        wanted = list(texts)
        # By key, so that windows of the same tokens are read once and tie to the last bit.
        lengths = {
            key: length
            for text in wanted
            for key, length in zip(self.cuts[text].keys, self.cuts[text].lengths, strict=True)
        }
        order = sorted(lengths, key=lengths.__getitem__)
        found: dict[bytes, float] = {}
        for start in range(0, len(order), GROUP):
            keys = order[start : start + GROUP]
            held = self.records.get(keys)
            scores = read_records(
                runtime, self.question, [held[key] for key in keys], longest=self.longest
            )
            found.update(zip(keys, scores.tolist(), strict=True))
        return {text: [found[key] for key in self.cuts[text].keys] for text in wanted}
