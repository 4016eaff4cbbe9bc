"""Token encoder: embeddings of texts and states of their tokens, shared by all users."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

import numpy as np

from secondpass.errors import ModelDamagedError
from secondpass.inference.batches import Progress, iter_batches
from secondpass.inference.model_folder import ModelFolder, longest_input
from secondpass.inference.runtimes import load_runtime
from secondpass.inference.tokenizer import Tokenizer, TokenSequence
from secondpass.inference.types import Float32

_EMBEDDINGS, _STATES = "embeddings", "states"

# A search encodes its query for the first stage and again for the reranker; the others are
# for searches that run at the same time.
_CACHE_SIZE = 16


@dataclass(frozen=True, slots=True)
class Encoded:
    """One sequence: `embedding` float32 [dimension], `states` float32 [tokens, width].

    `states` is None for an encoder without that output.
    """

    embedding: Float32
    states: Float32 | None


class TokenEncoder:
    """A loaded embedder model; `open_encoder` shares one among all users.

    - `digest`: of the weights and the tokenizer; `dimension`: of an embedding;
      `states_width`: of a token's state, None if the graph has no output `states`.
    - `max_length`: tokens that the embedder reads of a text; `longest`: the model's limit.

    Safe to use from several threads at once. Raises `ModelDamagedError` if the manifest does
    not match the graph.
    """

    def __init__(self, folder: ModelFolder, *, threads: int | None = None) -> None:
        self.digest = folder.digest
        try:
            self.name = str(folder.manifest["name"])
            self.dimension = int(folder.manifest["dimension"])
            self.max_length = int(folder.manifest["max_length"])
            states = folder.manifest.get("states")
            self.states_width = None if states is None else int(states["width"])
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(
                folder, f"secondpass.json is missing or has an invalid {error}"
            ) from error
        self.longest = longest_input(folder.config) if folder.config else self.max_length
        self.tokenizer = Tokenizer(folder.path / "tokenizer.json")
        self._runtime = load_runtime(folder, threads=threads)
        if states is not None and not {_EMBEDDINGS, _STATES} <= set(self._runtime.outputs):
            raise _damaged(
                folder, f"the graph has outputs {', '.join(self._runtime.outputs)}, not states"
            )
        self._embeddings = _EMBEDDINGS if states is not None else self._runtime.outputs[0]
        self._lock = threading.Lock()
        self._recent: OrderedDict[bytes, Encoded] = OrderedDict()
        self._encoded = 0

    @property
    def encoded(self) -> int:
        """How many sequences have been run through the model so far."""
        return self._encoded

    def embed(
        self, sequences: Sequence[TokenSequence], *, progress: Progress | None = None
    ) -> Float32:
        """Return unit vectors, float32 [sequences, dimension], in input order.

        `progress` is called with the number of sequences done since its last call.
        """
        output = np.empty((len(sequences), self.dimension), dtype=np.float32)
        for rows, embeddings, _ in self._run(sequences, states=False):
            output[list(rows)] = embeddings
            if progress is not None:
                progress(len(rows))
        return output

    def encode(self, sequences: Sequence[TokenSequence]) -> Iterator[EncodedBatch]:
        """Yield embeddings and states, batch by batch, in no particular order.

        Memory is bounded by one batch, not by the number of sequences. Only for an encoder
        with states.
        """
        for rows, embeddings, states in self._run(sequences, states=True):
            assert states is not None
            lengths = tuple(len(sequences[position][0]) for position in rows)
            yield EncodedBatch(rows, lengths, embeddings, states)

    def encode_one(self, sequence: TokenSequence) -> Encoded:
        """Return one sequence's embedding and states; the last few are cached."""
        ids, _ = sequence
        key = ids.tobytes()
        with self._lock:
            cached = self._recent.get(key)
            if cached is not None:
                self._recent.move_to_end(key)
                return cached
        has_states = self.states_width is not None
        ((_, embeddings, states),) = self._run([sequence], states=has_states)
        # Copies: a view would keep the padding in memory.
        unpadded = None if states is None else states[0, : len(ids)].copy()
        encoded = Encoded(embeddings[0].copy(), unpadded)
        for array in (encoded.embedding, encoded.states):
            if array is not None:
                array.flags.writeable = False
        with self._lock:
            self._recent[key] = encoded
            while len(self._recent) > _CACHE_SIZE:
                self._recent.popitem(last=False)
        return encoded

    def _run(
        self, sequences: Sequence[TokenSequence], *, states: bool
    ) -> Iterator[tuple[tuple[int, ...], Float32, Float32 | None]]:
        names = [self._embeddings, _STATES] if states else [self._embeddings]
        for batch, outputs in iter_batches(
            self._runtime,
            sequences,
            pad_id=self.tokenizer.pad_id,
            longest=self.longest,
            names=names,
        ):
            with self._lock:
                self._encoded += len(batch.rows)
            yield batch.rows, outputs[self._embeddings], outputs.get(_STATES)


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """The outputs of one batch; `rows` are the positions of its sequences in the input.

    `lengths` is tokens without padding; `embeddings` float32 [batch, dimension]; `states`
    float32 [batch, padded tokens, width], of which a row is valid up to its length.
    """

    rows: tuple[int, ...]
    lengths: tuple[int, ...]
    embeddings: Float32
    states: Float32


_opened: WeakValueDictionary[tuple[str, str, int | None], TokenEncoder] = WeakValueDictionary()
_opening = threading.Lock()


def open_encoder(folder: ModelFolder, *, threads: int | None = None) -> TokenEncoder:
    """Return the encoder of a folder, the same object as long as it is in use.

    The embedder of an index and a precomputed reranker over it then share one session and its
    memory. Folders with the same content share one; a different `threads` does not.
    """
    key = (folder.digest, json.dumps(folder.manifest, sort_keys=True), threads)
    with _opening:
        encoder = _opened.get(key)
        if encoder is None:
            encoder = _opened[key] = TokenEncoder(folder, threads=threads)
        return encoder


def _damaged(folder: ModelFolder, why: str) -> ModelDamagedError:
    return ModelDamagedError(
        "The encoder cannot be used",
        where=str(folder.path),
        why=why,
        fix="Export it again with: secondpass export SOURCE --kind embedder --out FOLDER",
    )
