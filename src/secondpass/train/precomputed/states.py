"""Encoder states of many texts, computed once and kept on disk.

States of queries and passages, put together for one step.
"""

from __future__ import annotations

import hashlib
import json
import os
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
from secondpass.train.precomputed.module import Documents, Queries

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Progress = Callable[[str, int, int], None]

# Texts after which the work done so far is safe from an interruption.
BLOCK = 4096
_DONE = "done.json"
_FILES = ("states.npy", "scales.npy", "embeddings.npy")


@dataclass(frozen=True, slots=True)
class States:
    """The states of texts, one after the other.

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
        """How many tokens each text has."""
        return np.diff(self.offsets)

    @property
    def width(self) -> int:
        """How many numbers a state has."""
        return int(self.codes.shape[1])

    def take(self, texts: Sequence[int]) -> tuple[NDArray[np.int8], Float32]:
        """Return codes [tokens, width] and scales [tokens] of some texts, one after another."""
        spans = [slice(self.offsets[i], self.offsets[i + 1]) for i in texts]
        return (
            np.concatenate([self.codes[one] for one in spans]),
            np.concatenate([self.scales[one] for one in spans]),
        )

    def sample(self, texts: int, seed: int) -> Float32:
        """Return the states of about so many texts, drawn at random, [tokens, width]."""
        count = len(self.offsets) - 1
        random = np.random.default_rng(seed)
        chosen = random.permutation(count)[:texts]
        codes, scales = self.take([int(i) for i in np.sort(chosen)])
        return codes.astype(np.float32) * scales[:, None]


def encode_states(
    encoder: TokenEncoder,
    texts: Sequence[str],
    *,
    tokens: int,
    cache: Path,
    label: str = "encode",
    progress: Progress | None = None,
) -> States:
    """Return the states of the first `tokens` tokens of each text, special ones included.

    They are kept in a folder in `cache` that is named by the texts, the encoder and
    `tokens`; what is there already is not computed again, and an interruption loses at
    most one block. `progress` is called with `label`, texts done and their number.
    Raises InputError if `tokens` is not possible, ModelError for an encoder without states.
    """
    if encoder.states_width is None:
        raise ModelError(
            "The encoder gives no states",
            where=encoder.name,
            fix="Export it again with: secondpass export SOURCE --kind embedder "
            "--states-layers LAYER,LAYER --out FOLDER",
        )
    if not encoder.tokeniser.special < tokens <= encoder.longest:
        raise InputError(
            f"{tokens} tokens of a text cannot be encoded",
            why=f"the encoder reads up to {encoder.longest}",
        )
    if not texts:
        raise InputError("there are no texts to encode")
    folder = cache / _key(encoder, texts, tokens)
    if not (folder / _DONE).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        np.save(folder / "offsets.npy", np.zeros(0, np.int64))
        _record(folder, 0)
    done = _recorded(folder)
    if done < len(texts):
        _encode(encoder, _sequences(encoder, texts, tokens), folder, done, label, progress)
    offsets = np.load(folder / "offsets.npy")
    codes, scales, embeddings = (np.load(folder / n, mmap_mode="r") for n in _FILES)
    return States(offsets, codes, np.array(scales), np.array(embeddings))


def _key(encoder: TokenEncoder, texts: Sequence[str], tokens: int) -> str:
    digest = hashlib.sha256(f"{encoder.digest} {tokens} {len(texts)}\n".encode())
    for text in texts:
        digest.update(hashlib.sha256(text.encode("utf-8", "replace")).digest())
    return digest.hexdigest()[:32]


def _sequences(encoder: TokenEncoder, texts: Sequence[str], tokens: int) -> list[TokenSequence]:
    room = tokens - encoder.tokeniser.special
    encoded = encoder.tokeniser.encode(texts, limit=room)
    return [encoder.tokeniser.single(one.ids[:room]) for one in encoded]


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
    shapes = ((offsets[-1], encoder.states_width), (offsets[-1],))
    kinds = (np.int8, np.float32, np.float32)
    wanted = (*shapes, (len(sequences), encoder.dimension))
    np.save(folder / "offsets.npy", offsets)
    codes, scales, embeddings = (
        np.lib.format.open_memmap(folder / name, "w+", kind, tuple(map(int, shape)))
        if done == 0
        else np.load(folder / name, mmap_mode="r+")
        for name, kind, shape in zip(_FILES, kinds, wanted, strict=True)
    )
    # Texts of like length share a block, so that batches inside it are full.
    order = np.argsort(lengths, kind="stable")
    while done < len(order):
        block = order[done : done + BLOCK]
        told = done
        for batch in encoder.encode([sequences[i] for i in block]):
            for row, place in enumerate(batch.rows):
                text, length = block[place], batch.lengths[row]
                span = slice(offsets[text], offsets[text + 1])
                state = batch.states[row, :length]
                scale = np.maximum(np.abs(state).max(axis=1), 1e-12) / 127
                codes[span] = np.rint(state / scale[:, None])
                scales[span] = scale
                embeddings[text] = batch.embeddings[row]
            told += len(batch.rows)
            if progress is not None:
                progress(label, told, len(order))
        for array in (codes, scales, embeddings):
            array.flush()
        done += len(block)
        _record(folder, done)


def _recorded(folder: Path) -> int:
    return int(json.loads((folder / _DONE).read_text(encoding="utf-8"))["texts"])


def _record(folder: Path, texts: int) -> None:
    temporary = folder / f"{_DONE}.tmp"
    with temporary.open("w", encoding="utf-8") as stream:
        json.dump({"texts": texts}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(folder / _DONE)


def gather_queries(states: States, texts: Sequence[int], device: str = "cpu") -> Queries:
    """Return the queries of pairs, each query once, padded to the longest."""
    once = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    packed = _dequantised(states, list(once), device)
    lengths = states.lengths[list(once)]
    places, mask = _places(lengths)
    return Queries(
        packed[torch.from_numpy(places).to(device)],
        torch.from_numpy(mask).to(device),
        torch.tensor([once[text] for text in texts], device=device),
    )


def gather_documents(states: States, texts: Sequence[int], device: str = "cpu") -> Documents:
    """Return the documents of pairs, the states of each document once."""
    once = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    places, mask = _places(states.lengths[list(once)])
    rows = np.array([once[text] for text in texts], dtype=np.int64)
    embeddings = np.asarray(states.embeddings[list(texts)])
    return Documents(
        _dequantised(states, list(once), device),
        torch.from_numpy(places[rows]).to(device),
        torch.from_numpy(mask[rows]).to(device),
        torch.from_numpy(embeddings).to(device),
    )


def _dequantised(states: States, texts: Sequence[int], device: str) -> Tensor:
    codes, scales = states.take(texts)
    numbers = torch.from_numpy(codes).to(device).float()
    return numbers.mul_(torch.from_numpy(scales).to(device).unsqueeze(1))


def _places(lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Where in the packed tokens those of each text are, 0 at padding; and the mask."""
    starts = np.cumsum(lengths) - lengths
    steps = np.arange(int(lengths.max()))
    inside = steps[None, :] < lengths[:, None]
    places = np.where(inside, starts[:, None] + steps[None, :], 0)
    return places.astype(np.int64), inside.astype(np.float32)
