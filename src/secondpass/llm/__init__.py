"""Language models behind one interface, for rerankers and answers."""

from __future__ import annotations

from secondpass.llm.base import LLM, AsyncTextStream, TextStream
from secondpass.llm.providers import load_llm
from secondpass.llm.types import Completion, Prompt, Stop

__all__ = [
    "LLM",
    "AsyncTextStream",
    "Completion",
    "Prompt",
    "Stop",
    "TextStream",
    "load_llm",
]
