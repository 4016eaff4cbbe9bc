"""One encoder for all who use it: a text's embedding, and the states of its tokens."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

import numpy as np

from secondpass.errors import ModelDamagedError
from secondpass.inference.batches import Progress, each_batch
from secondpass.inference.model_folder import ModelFolder, longest_input
from secondpass.inference.runtimes import Float32, load_runtime
from secondpass.inference.tokenizer import Tokenizer, TokenSequence

_EMBEDDINGS, _STATES = "embeddings", "states"

# A search encodes its query for the first pass and again for the second; a few more for
# searches that run at the same time.
_REMEMBERED = 16


@dataclass(frozen=True, slots=True)
class Encoded:
    """One sequence: `embedding` float32 [dimension], `states` float32 [tokens, width].

    `states` is None for an encoder that gives none.
    """

    embedding: Float32
    states: Float32 | None


class TokenEncoder:
    """An embedder's model folder, opened; `open_encoder` shares one among all users.

    - `digest`: of the weights and the tokenizer; `dimension`: of an embedding;
      `states_width`: of a token's state, None where the graph has no output `states`.
    - `max_length`: tokens that the embedder reads of a text; `longest`: those it could.

    Safe to use from several threads at once. Raises `ModelDamagedError` for a folder
    whose manifest says something else than its graph.
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
            raise _damaged(folder, f"secondpass.json lacks or garbles {error}") from error
        self.longest = longest_input(folder.config) if folder.config else self.max_length
        self.tokeniser = Tokenizer(folder.path / "tokenizer.json")
        self._runtime = load_runtime(folder, threads=threads)
        if states is not None and not {_EMBEDDINGS, _STATES} <= set(self._runtime.outputs):
            raise _damaged(
                folder, f"the graph gives {', '.join(self._runtime.outputs)} and no states"
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

        A batch has a bounded number of tokens, so memory does not grow with the number
        of sequences. Only for an encoder with states.
        """
        for rows, embeddings, states in self._run(sequences, states=True):
            assert states is not None
            lengths = tuple(len(sequences[position][0]) for position in rows)
            yield EncodedBatch(rows, lengths, embeddings, states)

    def encode_one(self, sequence: TokenSequence) -> Encoded:
        """Return one sequence's embedding and states; the last few are remembered."""
        ids, _ = sequence
        key = ids.tobytes()
        with self._lock:
            known = self._recent.get(key)
            if known is not None:
                self._recent.move_to_end(key)
                return known
        wanted = self.states_width is not None
        ((_, embeddings, states),) = self._run([sequence], states=wanted)
        # Copies: a view would keep the padding alive.
        exact = None if states is None else states[0, : len(ids)].copy()
        found = Encoded(embeddings[0].copy(), exact)
        for array in (found.embedding, found.states):
            if array is not None:
                array.flags.writeable = False
        with self._lock:
            self._recent[key] = found
            while len(self._recent) > _REMEMBERED:
                self._recent.popitem(last=False)
        return found

    def _run(
        self, sequences: Sequence[TokenSequence], *, states: bool
    ) -> Iterator[tuple[tuple[int, ...], Float32, Float32 | None]]:
        names = [self._embeddings, _STATES] if states else [self._embeddings]
        for batch, found in each_batch(
            self._runtime,
            sequences,
            pad_id=self.tokeniser.pad_id,
            longest=self.longest,
            names=names,
        ):
            with self._lock:
                self._encoded += len(batch.rows)
            yield batch.rows, found[self._embeddings], found.get(_STATES)


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """Some of the sequences: where they stood, and what became of them.

    `lengths` is tokens without padding; `embeddings` float32 [batch, dimension]; `states`
    float32 [batch, padded tokens, width], of which a row counts up to its length.
    """

    rows: tuple[int, ...]
    lengths: tuple[int, ...]
    embeddings: Float32
    states: Float32


_opened: WeakValueDictionary[tuple[str, str, int | None], TokenEncoder] = WeakValueDictionary()
_opening = threading.Lock()


def open_encoder(folder: ModelFolder, *, threads: int | None = None) -> TokenEncoder:
    """Return the encoder of a folder, the same one for as long as somebody uses it.

    The embedder of an index and a reader over it then share one session and its memory.
    Folders are told apart by content, not by place; `threads` that differ are separate.
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
