"""Language models behind one small interface: what rerankers and answers ask."""

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
