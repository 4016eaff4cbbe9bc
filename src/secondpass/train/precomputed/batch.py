"""States of queries and passages, put together for one step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondpass.train.precomputed.data import States
from secondpass.train.precomputed.module import Documents, Queries


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
