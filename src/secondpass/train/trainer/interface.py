"""What the training loop asks of a model, whatever its architecture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from secondpass.train.trainer.settings import Settings


class Asked(NamedTuple):
    """A query and a passage by their places in `Texts`."""

    query: int
    passage: int


@dataclass(frozen=True, slots=True)
class Texts:
    """All that a run reads: queries, with their variants, and passages."""

    queries: Sequence[str]
    passages: Sequence[str]


@dataclass(frozen=True, slots=True)
class Rated:
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

    def rated(self, settings: Settings) -> list[Rated]:
        """Return every parameter that is trained, with its learning rate."""
        ...

    def scores(self, pairs: Sequence[Asked]) -> Tensor:
        """Return a logit for each pair, [pairs]."""
        ...

    def cosines(self, pairs: Sequence[Asked]) -> Tensor | None:
        """Return the bi-encoder's cosine of each pair, [pairs], if there is a bi-encoder."""
        ...

    def description(self) -> dict[str, Any]:
        """Return what an export needs to know besides the weights, as a JSON object."""
        ...
