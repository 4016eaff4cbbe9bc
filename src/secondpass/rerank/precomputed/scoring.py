"""Records to logits: the graph that reads documents for one query.

One search: the windows of its candidates, scored by one graph or another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import ModelError
from secondpass.inference.batches import PADDING_STEP, plan_batches
from secondpass.inference.token_encoder import Encoded
from secondpass.inference.types import Runtime
from secondpass.rerank.precomputed.records import GROUP, Records
from secondpass.rerank.precomputed.segments import Text
from secondpass.rerank.precomputed.types import Cut, Record

TOKEN_BUDGET = 4096
"""Tokens of documents in one batch, padding included."""


@dataclass(frozen=True, slots=True)
class EncodedQuery:
    """A query as the reader sees it; `tokens` counts its special tokens."""

    encoded: Encoded
    tokens: int


def read_records(
    runtime: Runtime, question: EncodedQuery, records: Sequence[Record], *, longest: int
) -> NDArray[np.float64]:
    """Return the logit of each record for the question, shape [records], in input order.

    A record is padded as a function of its own length alone and the padding is masked,
    so no score depends on the other records. Raises `ModelError` if the graph's output
    has another shape than it should.
    """
    states = question.encoded.states
    assert states is not None
    fixed = {
        "query_states": states[None],
        "query_embedding": question.encoded.embedding[None],
    }
    logits = np.empty(len(records), dtype=np.float64)
    for batch in plan_batches(
        [r.tokens for r in records],
        token_budget=TOKEN_BUDGET,
        step=PADDING_STEP,
        longest=longest,
    ):
        some = [records[position] for position in batch.rows]
        feeds = {**fixed, **_padded(some, batch.length)}
        present = {name: array for name, array in feeds.items() if name in runtime.inputs}
        scores = runtime.run_named(present, ["scores"])["scores"]
        if scores.shape != (len(some),):
            raise ModelError(
                "The reader's model.onnx gives something else than it should",
                why=f"scores {scores.shape} of {len(some)} documents",
            )
        logits[list(batch.rows)] = scores
    return logits


def _padded(records: Sequence[Record], length: int) -> dict[str, NDArray[np.generic]]:
    shape = (len(records), length)
    codes = np.zeros((*shape, records[0].codes.shape[1]), dtype=np.int8)
    scales = np.zeros(shape, dtype=np.float32)
    mask = np.zeros(shape, dtype=np.int64)
    for row, record in enumerate(records):
        codes[row, : record.tokens] = record.codes
        scales[row, : record.tokens] = record.scales
        mask[row, : record.tokens] = 1
    return {
        "document_codes": codes,
        "document_scales": scales,
        "document_mask": mask,
        "document_embeddings": np.stack([record.embedding for record in records]),
    }


@dataclass(frozen=True, slots=True)
class Search:
    """A question and the windows of its candidates; `longest` is what the encoder reads."""

    question: EncodedQuery
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
