"""Test doubles for rerankers and language models, for programs that use secondpass.

    >>> from secondpass.testing import ScriptedReranker

Each keeps the contract of what it replaces and needs no network. Names are imported at
first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from secondpass._lazy import load_public_name

if TYPE_CHECKING:
    from secondpass.testing.llm import OverlapLLM, ScriptedLLM
    from secondpass.testing.reranker import ScriptedReranker

_MODULES = {
    "OverlapLLM": "testing.llm",
    "ScriptedLLM": "testing.llm",
    "ScriptedReranker": "testing.reranker",
}

__all__ = [
    "OverlapLLM",
    "ScriptedLLM",
    "ScriptedReranker",
]


def __getattr__(name: str) -> object:
    return load_public_name(__name__, _MODULES, name)


def __dir__() -> list[str]:
    return __all__
