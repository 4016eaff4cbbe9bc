"""Fakes of models, for tests of programs that use secondpass; they need no network."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from secondpass.testing.reranker import ScriptedReranker

_MODULES = {"ScriptedReranker": "reranker"}

__all__ = ["ScriptedReranker"]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
