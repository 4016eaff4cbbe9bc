"""Windows of documents to records: one forward pass of the encoder, then compression."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from secondpass.errors import ModelError
from secondpass.inference.runtimes import Runtime
from secondpass.inference.token_encoder import Encoded, TokenEncoder
from secondpass.inference.tokenizer import TokenSequence
from secondpass.rerank.precomputed.types import Record


class StateReader:
    """Reads windows with an encoder and compresses their states.

    `compress` is a graph from `states` float32 [batch, tokens, width] to `codes` int8
    [batch, tokens, codes] and `scales` float32 [batch, tokens].
    """

    def __init__(self, encoder: TokenEncoder, compress: Runtime, codes: int) -> None:
        self.encoder = encoder
        self.codes = codes
        self._compress = compress

    def read(self, sequences: Sequence[TokenSequence]) -> Iterator[list[tuple[int, Record]]]:
        """Yield the records of one batch after the other, each with its position.

        At no time are there states of more than one batch in full precision. Raises
        `ModelError` if the graph's output has another shape than it should.
        """
        for batch in self.encoder.encode(sequences):
            found = self._compress.run_named({"states": batch.states}, ["codes", "scales"])
            codes, scales = found["codes"], found["scales"]
            shape = batch.states.shape[:2]
            if codes.shape != (*shape, self.codes) or scales.shape != shape:
                raise ModelError(
                    "The reader's compress.onnx gives something else than it should",
                    why=f"codes {codes.shape} and scales {scales.shape} of {shape} tokens, "
                    f"{self.codes} codes each",
                )
            yield [
                (
                    position,
                    Record(
                        codes[row, :length].astype(np.int8),
                        scales[row, :length].astype(np.float16),
                        batch.embeddings[row].astype(np.float32),
                    ),
                )
                for row, (position, length) in enumerate(
                    zip(batch.rows, batch.lengths, strict=True)
                )
            ]

    def compress(self, encoded: Encoded) -> Record:
        """Return the record of one sequence that is encoded already."""
        assert encoded.states is not None
        found = self._compress.run_named({"states": encoded.states[None]}, ["codes", "scales"])
        return Record(
            found["codes"][0].astype(np.int8),
            found["scales"][0].astype(np.float16),
            encoded.embedding,
        )
