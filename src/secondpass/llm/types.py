"""What is asked of a language model and what it answers: frozen, without input or output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from secondpass.errors import InputError


class Stop(StrEnum):
    """Why a model stopped."""

    END = "end"
    """It was done, or met a stop sequence."""
    LENGTH = "length"
    """It reached the limit of tokens: the text is a part."""
    REFUSAL = "refusal"
    """It declined to answer, or a filter took the answer away."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question to a model.

    - `system`, `user`: the two texts; an empty `system` is not sent.
    - `max_tokens`: of the answer, at least 1; `stop`: texts that end it.
    - `schema`: a JSON schema that the answer should follow, for servers that can hold a
      model to one; others ignore it. `schema_name` names it.
    - `top_logprobs`: for how many candidates of each token the log-probability is wanted,
      0 to 20; 0 asks for none.
    - `temperature`, `top_p`, `seed`: as in sampling; None leaves them to the server. A model
      that does not take one is asked without it.

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

    `input_tokens` and `output_tokens` are None where the server does not say. `logprobs`
    has one mapping for each token of the answer, from candidates to natural logarithms of
    their probabilities; it is empty where none were asked for or offered.
    """

    text: str
    stop: Stop = Stop.END
    input_tokens: int | None = None
    output_tokens: int | None = None
    logprobs: tuple[Mapping[str, float], ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens of question and answer together, those that the server told."""
        counts = (self.input_tokens, self.output_tokens)
        return sum(count for count in counts if count is not None)
