"""A language model that counts how often it is built and closed, as an installed provider."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from secondpass.llm import LLM, Completion, Prompt, Stop, TextStream
from secondpass.llm.providers import PROVIDERS

ANSWER = "Paris is the capital of France [1]."
built: list[CountingLLM] = []


class CountingLLM(LLM):
    """Answers every prompt alike."""

    def __init__(self, model: str) -> None:
        self.model, self.prompts, self.closed = model, 0, False
        built.append(self)

    @property
    def name(self) -> str:
        return f"counting/{self.model}"

    def complete(self, prompt: Prompt) -> Completion:
        self.prompts += 1
        return Completion(ANSWER, Stop.END, 5, 5)

    def stream(self, prompt: Prompt) -> TextStream:
        def pieces() -> Iterator[str | Completion]:
            yield ANSWER
            yield self.complete(prompt)

        return TextStream(pieces())

    def close(self) -> None:
        self.closed = True


def build(model: str, **options: Any) -> LLM:
    return CountingLLM(model)


def install(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Install the provider "counting" as a distribution would: by an entry point."""
    about = folder / "counting_llm-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: counting-llm\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{PROVIDERS}]\ncounting = {__name__}:build\n")
    patch.setattr(sys, "path", [str(folder), *sys.path])
