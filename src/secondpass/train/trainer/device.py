"""Where training runs, and in which numbers."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch

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
