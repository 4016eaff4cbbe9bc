"""Encoder states of many texts: computed once, cached on disk, gathered for a batch."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondpass.errors import InputError, ModelError
from secondpass.inference.token_encoder import TokenEncoder
from secondpass.inference.tokenizer import TokenSequence
from secondpass.storage import replace_file
from secondpass.train.precomputed.module import Documents, Queries

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Progress = Callable[[str, int, int], None]

# After this many texts the work done so far is flushed to the disk.
BLOCK = 4096
_DONE = "done.json"
_FILES = ("states.npy", "scales.npy", "embeddings.npy")


@dataclass(frozen=True, slots=True)
class EncoderStates:
    """The quantized states of texts, concatenated.

    Text i has the tokens from `offsets[i]` to `offsets[i + 1]`; a token's state is about
    `codes[token] * scales[token]`. `codes` is int8 [tokens, width], `scales` float32
    [tokens], `embeddings` float32 [texts, dimension] of unit length.
    """

    offsets: Int64
    codes: NDArray[np.int8]
    scales: Float32
    embeddings: Float32

    @property
    def lengths(self) -> Int64:
        """The number of tokens of each text."""
        return np.diff(self.offsets)

    @property
    def width(self) -> int:
        """The number of values of a state."""
        return int(self.codes.shape[1])

    def take(self, texts: Sequence[int]) -> tuple[NDArray[np.int8], Float32]:
        """Return codes [tokens, width] and scales [tokens] of these texts, concatenated."""
        spans = [slice(self.offsets[i], self.offsets[i + 1]) for i in texts]
        return (
            np.concatenate([self.codes[span] for span in spans]),
            np.concatenate([self.scales[span] for span in spans]),
        )

    def sample(self, texts: int, seed: int) -> Float32:
        """Return the states of up to `texts` texts, drawn at random, [tokens, width]."""
        count = len(self.offsets) - 1
        drawn = np.random.default_rng(seed).permutation(count)[:texts]
        codes, scales = self.take([int(i) for i in np.sort(drawn)])
        return codes.astype(np.float32) * scales[:, None]


def encode_states(
    encoder: TokenEncoder,
    texts: Sequence[str],
    *,
    tokens: int,
    cache: Path,
    label: str = "encode",
    progress: Progress | None = None,
) -> EncoderStates:
    """Return the states of the first `tokens` tokens of each text, special ones included.

    They are stored in a folder in `cache`, named by a digest of the texts, the encoder and
    `tokens`. Stored states are not computed again, and an interruption loses at most one
    block. `progress` is called with `label`, the number of texts done and their total.
    Raises InputError if `tokens` is out of range, ModelError for an encoder without states.
    """
    if encoder.states_width is None:
        raise ModelError(
            "The encoder has no output of token states",
            where=encoder.name,
            fix="Export it again with: secondpass export SOURCE --kind embedder "
            "--states-layers LAYER,LAYER --out FOLDER",
        )
    if not encoder.tokenizer.special < tokens <= encoder.longest:
        raise InputError(
            f"{tokens} tokens of a text cannot be encoded",
            why=f"the encoder takes from {encoder.tokenizer.special + 1} to {encoder.longest}",
        )
    if not texts:
        raise InputError("there are no texts to encode")
    folder = cache / _cache_key(encoder, texts, tokens)
    if not (folder / _DONE).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        np.save(folder / "offsets.npy", np.zeros(0, np.int64))
        _write_done(folder, 0)
    done = _read_done(folder)
    if done < len(texts):
        _encode(encoder, _sequences(encoder, texts, tokens), folder, done, label, progress)
    offsets = np.load(folder / "offsets.npy")
    codes, scales, embeddings = (np.load(folder / n, mmap_mode="r") for n in _FILES)
    return EncoderStates(offsets, codes, np.array(scales), np.array(embeddings))


def _cache_key(encoder: TokenEncoder, texts: Sequence[str], tokens: int) -> str:
    digest = hashlib.sha256(f"{encoder.digest} {tokens} {len(texts)}\n".encode())
    for text in texts:
        digest.update(hashlib.sha256(text.encode("utf-8", "replace")).digest())
    return digest.hexdigest()[:32]


def _sequences(encoder: TokenEncoder, texts: Sequence[str], tokens: int) -> list[TokenSequence]:
    room = tokens - encoder.tokenizer.special
    encoded = encoder.tokenizer.encode(texts, limit=room)
    return [encoder.tokenizer.single(text_tokens.ids[:room]) for text_tokens in encoded]


def _encode(
    encoder: TokenEncoder,
    sequences: Sequence[TokenSequence],
    folder: Path,
    done: int,
    label: str,
    progress: Progress | None,
) -> None:
    lengths = np.array([len(ids) for ids, _ in sequences], dtype=np.int64)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    assert encoder.states_width is not None
    shapes = (
        (offsets[-1], encoder.states_width),
        (offsets[-1],),
        (len(sequences), encoder.dimension),
    )
    dtypes = (np.int8, np.float32, np.float32)
    np.save(folder / "offsets.npy", offsets)
    codes, scales, embeddings = (
        np.lib.format.open_memmap(folder / name, "w+", dtype, tuple(map(int, shape)))
        if done == 0
        else np.load(folder / name, mmap_mode="r+")
        for name, dtype, shape in zip(_FILES, dtypes, shapes, strict=True)
    )
    # Texts of similar length share a block, so that its batches have little padding.
    order = np.argsort(lengths, kind="stable")
    while done < len(order):
        block = order[done : done + BLOCK]
        encoded = done
        for batch in encoder.encode([sequences[i] for i in block]):
            for row, index in enumerate(batch.rows):
                text, length = block[index], batch.lengths[row]
                span = slice(offsets[text], offsets[text + 1])
                state = batch.states[row, :length]
                scale = np.maximum(np.abs(state).max(axis=1), 1e-12) / 127
                codes[span] = np.rint(state / scale[:, None])
                scales[span] = scale
                embeddings[text] = batch.embeddings[row]
            encoded += len(batch.rows)
            if progress is not None:
                progress(label, encoded, len(order))
        for array in (codes, scales, embeddings):
            array.flush()
        done += len(block)
        _write_done(folder, done)


def _read_done(folder: Path) -> int:
    return int(json.loads((folder / _DONE).read_text(encoding="utf-8"))["texts"])


def _write_done(folder: Path, texts: int) -> None:
    replace_file(folder / _DONE, json.dumps({"texts": texts}))


def gather_queries(states: EncoderStates, texts: Sequence[int], device: str = "cpu") -> Queries:
    """Return the queries of a batch of pairs, each query once, padded to the longest."""
    row_of = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    concatenated = _dequantize(states, list(row_of), device)
    lengths = states.lengths[list(row_of)]
    positions, mask = _positions(lengths)
    return Queries(
        concatenated[torch.from_numpy(positions).to(device)],
        torch.from_numpy(mask).to(device),
        torch.tensor([row_of[text] for text in texts], device=device),
    )


def gather_documents(
    states: EncoderStates, texts: Sequence[int], device: str = "cpu"
) -> Documents:
    """Return the documents of a batch of pairs, the states of each document once."""
    row_of = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    positions, mask = _positions(states.lengths[list(row_of)])
    rows = np.array([row_of[text] for text in texts], dtype=np.int64)
    embeddings = np.asarray(states.embeddings[list(texts)])
    return Documents(
        _dequantize(states, list(row_of), device),
        torch.from_numpy(positions[rows]).to(device),
        torch.from_numpy(mask[rows]).to(device),
        torch.from_numpy(embeddings).to(device),
    )


def _dequantize(states: EncoderStates, texts: Sequence[int], device: str) -> Tensor:
    codes, scales = states.take(texts)
    values = torch.from_numpy(codes).to(device).float()
    return values.mul_(torch.from_numpy(scales).to(device).unsqueeze(1))


def _positions(lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the positions of each text's tokens among all, 0 at padding, and the mask."""
    starts = np.cumsum(lengths) - lengths
    steps = np.arange(int(lengths.max()))
    inside = steps[None, :] < lengths[:, None]
    positions = np.where(inside, starts[:, None] + steps[None, :], 0)
    return positions.astype(np.int64), inside.astype(np.float32)
