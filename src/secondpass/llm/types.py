"""Prompts and completions of language models: immutable, without input or output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from secondpass.errors import InputError


class Stop(StrEnum):
    """Why a model stopped generating."""

    END = "end"
    """The answer is complete, or a stop sequence was generated."""
    LENGTH = "length"
    """The token limit was reached: the text is incomplete."""
    REFUSAL = "refusal"
    """The model declined to answer, or a content filter removed the answer."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt for a model.

    - `system`, `user`: the two texts; an empty `system` is not sent.
    - `max_tokens`: the limit of the answer, at least 1; `stop`: texts that end it.
    - `schema`: a JSON schema for the answer, for servers with structured output; others ignore
      it. `schema_name` is its name.
    - `top_logprobs`: the number of candidates of each token whose log-probability is requested,
      0 to 20; 0 for none.
    - `temperature`, `top_p`, `seed`: of sampling; None leaves them to the server. They are left
      out for a model that rejects them.

    Raises `InputError` for numbers out of these ranges.
    """

    system: str
    user: str
    max_tokens: int = 1024
    stop: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    schema_name: str = "answer"
    top_logprobs: int = 0
    temperature: float | None = 0.0
    seed: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise InputError(f"max_tokens must be at least 1, not {self.max_tokens}")
        if not 0 <= self.top_logprobs <= 20:
            raise InputError(f"top_logprobs must be from 0 to 20, not {self.top_logprobs}")


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answer.

    - `input_tokens`, `output_tokens`: None where the server does not report them.
    - `logprobs`: for each token of the answer a mapping from candidates to the natural
      logarithms of their probabilities; empty where none were requested or returned.
    """

    text: str
    stop: Stop = Stop.END
    input_tokens: int | None = None
    output_tokens: int | None = None
    logprobs: tuple[Mapping[str, float], ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens of prompt and answer together, as far as the server reports them."""
        counts = (self.input_tokens, self.output_tokens)
        return sum(count for count in counts if count is not None)
