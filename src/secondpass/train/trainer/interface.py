"""What the training loop asks of a model, whatever its architecture.

Where training runs, and in which numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from secondpass.errors import InputError
from secondpass.train.trainer.settings import Settings


def choose_device(settings: Settings) -> str:
    """Return "cpu" or "cuda"; raises InputError if the one wanted is not there."""
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' is not there", fix="Pass --device cpu or auto.")
    if settings.device != "auto":
        return settings.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def precision(settings: Settings, device: str) -> AbstractContextManager[object]:
    """Return what to run the model under: half precision only where it is fast."""
    wanted = settings.precision
    if wanted == "auto":
        wanted = "bf16" if _fast_halves(device) else "fp32"
    if wanted == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device, dtype=torch.bfloat16)


def _fast_halves(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # Private in torch, so they may go; without them full precision is the safe answer.
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        supported = getattr(torch.cpu, name, None)
        if supported is not None and supported():
            return True
    return False


class QueryBatch(NamedTuple):
    """A query and a passage by their places in `Texts`."""

    query: int
    passage: int


@dataclass(frozen=True, slots=True)
class Texts:
    """All that a run reads: queries, with their variants, and passages."""

    queries: Sequence[str]
    passages: Sequence[str]


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """Parameters that share a learning rate; without `decay` they are not pulled to 0."""

    parameters: list[nn.Parameter]
    rate: float
    decay: bool = True


class Learner(Protocol):
    """A model with the texts that it is trained on."""

    @property
    def module(self) -> nn.Module:
        """What is trained."""
        ...

    def rated(self, settings: Settings) -> list[ScoredBatch]:
        """Return every parameter that is trained, with its learning rate."""
        ...

    def scores(self, pairs: Sequence[QueryBatch]) -> Tensor:
        """Return a logit for each pair, [pairs]."""
        ...

    def cosines(self, pairs: Sequence[QueryBatch]) -> Tensor | None:
        """Return the bi-encoder's cosine of each pair, [pairs], if there is a bi-encoder."""
        ...

    def description(self) -> dict[str, Any]:
        """Return what an export needs to know besides the weights, as a JSON object."""
        ...
