"""The interface between the training loop and a model; device and precision of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from secondpass.errors import InputError
from secondpass.train.trainer.settings import TrainSettings


class PairIndices(NamedTuple):
    """A query and a passage by their indices in `Texts`."""

    query: int
    passage: int


@dataclass(frozen=True, slots=True)
class Texts:
    """All texts of a run: queries, with their augmented variants, and passages."""

    queries: Sequence[str]
    passages: Sequence[str]


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters with one learning rate; `decay` says whether weight decay applies to them."""

    parameters: list[nn.Parameter]
    learning_rate: float
    decay: bool = True


class Learner(Protocol):
    """A model in training, with the texts that it is trained on."""

    @property
    def module(self) -> nn.Module:
        """The trained module."""
        ...

    def parameter_groups(self, settings: TrainSettings) -> list[ParameterGroup]:
        """Return every trained parameter, with its learning rate."""
        ...

    def scores(self, pairs: Sequence[PairIndices]) -> Tensor:
        """Return a logit for each pair, [pairs]."""
        ...

    def cosines(self, pairs: Sequence[PairIndices]) -> Tensor | None:
        """Return the bi-encoder's cosine of each pair, [pairs], if there is a bi-encoder."""
        ...

    def description(self) -> dict[str, Any]:
        """Return what an export needs to know besides the weights, as a JSON object."""
        ...


def choose_device(settings: TrainSettings) -> str:
    """Return "cpu" or "cuda"; raises InputError if CUDA is requested and not available."""
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise InputError("CUDA is not available", fix="Use device cpu or auto.")
    if settings.device != "auto":
        return settings.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def autocast(settings: TrainSettings, device: str) -> AbstractContextManager[object]:
    """Return the context to run the model in: by default bfloat16 where it is fast."""
    precision = settings.precision
    if precision == "auto":
        precision = "bf16" if _bf16_is_fast(device) else "fp32"
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device, dtype=torch.bfloat16)


def _bf16_is_fast(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # Private in torch, so they may disappear; without them full precision is the safe choice.
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        supported = getattr(torch.cpu, name, None)
        if supported is not None and supported():
            return True
    return False
