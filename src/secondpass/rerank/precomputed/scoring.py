"""Scores of records for one query, by an ONNX graph."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import ModelError
from secondpass.inference.batches import PADDING_STEP, plan_batches
from secondpass.inference.token_encoder import Encoded
from secondpass.inference.types import Runtime
from secondpass.rerank.precomputed.records import WINDOWS_AT_ONCE, RecordLookup
from secondpass.rerank.precomputed.segments import Text
from secondpass.rerank.precomputed.types import Record, Segments

TOKEN_BUDGET = 4096
"""Tokens of documents in one batch, padding included."""


@dataclass(frozen=True, slots=True)
class EncodedQuery:
    """An encoded query; `tokens` includes its special tokens."""

    encoded: Encoded
    tokens: int


def score_records(
    runtime: Runtime, query: EncodedQuery, records: Sequence[Record], *, longest: int
) -> NDArray[np.float64]:
    """Return the logit of each record for the query, shape [records], in input order.

    Raises `ModelError` if the graph's output has the wrong shape.
    """
    logits = np.empty(len(records), dtype=np.float64)
    for rows, outputs in run_records(runtime, query, records, ["scores"], longest=longest):
        scores = outputs["scores"]
        if scores.shape != (len(rows),):
            raise ModelError(
                "The output of the scoring graph has the wrong shape",
                why=f"scores {scores.shape} for {len(rows)} windows",
            )
        logits[list(rows)] = scores
    return logits


def run_records(
    runtime: Runtime,
    query: EncodedQuery,
    records: Sequence[Record],
    outputs: Sequence[str],
    *,
    longest: int,
    step: int = PADDING_STEP,
) -> Iterator[tuple[Sequence[int], Mapping[str, NDArray[Any]]]]:
    """Yield positions of records, and the outputs of a graph that reads these for the query.

    A record is padded to a multiple of `step` tokens, as a function of its own length alone,
    and the padding is masked, so no output depends on the other records.
    """
    states = query.encoded.states
    assert states is not None
    query_inputs = {
        "query_states": states[None],
        "query_embedding": query.encoded.embedding[None],
    }
    for batch in plan_batches(
        [r.tokens for r in records],
        token_budget=TOKEN_BUDGET,
        step=step,
        longest=longest,
    ):
        rows = [records[position] for position in batch.rows]
        inputs = {**query_inputs, **_pad(rows, batch.length, runtime.inputs)}
        inputs = {name: array for name, array in inputs.items() if name in runtime.inputs}
        yield batch.rows, runtime.run_named(inputs, outputs)


def _pad(
    records: Sequence[Record], length: int, names: Collection[str]
) -> dict[str, NDArray[np.generic]]:
    """Return records as a graph's inputs; scales and embeddings if they are among `names`."""
    shape = (len(records), length)
    codes = np.zeros((*shape, records[0].codes.shape[1]), dtype=np.int8)
    mask = np.zeros(shape, dtype=np.int64)
    for row, record in enumerate(records):
        codes[row, : record.tokens] = record.codes
        mask[row, : record.tokens] = 1
    inputs: dict[str, NDArray[np.generic]] = {"document_codes": codes, "document_mask": mask}
    if "document_scales" in names:
        inputs["document_scales"] = scales = np.zeros(shape, dtype=np.float32)
        for row, record in enumerate(records):
            scales[row, : record.tokens] = record.scales
    if "document_embeddings" in names:
        inputs["document_embeddings"] = np.stack([record.embedding for record in records])
    return inputs


@dataclass(frozen=True, slots=True)
class WindowScorer:
    """A query and the windows of its candidates, to be scored by one graph or another.

    `segments` are those of each distinct text; `longest` is the encoder's input limit in
    tokens.
    """

    query: EncodedQuery
    segments: Mapping[Text, Segments]
    records: RecordLookup
    longest: int

    def score(self, runtime: Runtime, texts: Iterable[Text]) -> dict[Text, list[float]]:
        """Return the output of a graph for each window of the texts, in the texts' order."""
        texts = list(texts)
        # By key, so that windows of the same tokens are scored once and tie to the last bit.
        lengths = {
            key: length
            for text in texts
            for key, length in zip(
                self.segments[text].keys, self.segments[text].lengths, strict=True
            )
        }
        order = sorted(lengths, key=lengths.__getitem__)
        scores: dict[bytes, float] = {}
        for start in range(0, len(order), WINDOWS_AT_ONCE):
            keys = order[start : start + WINDOWS_AT_ONCE]
            records = self.records.get(keys)
            values = score_records(
                runtime, self.query, [records[key] for key in keys], longest=self.longest
            )
            scores.update(zip(keys, values.tolist(), strict=True))
        return {text: [scores[key] for key in self.segments[text].keys] for text in texts}
