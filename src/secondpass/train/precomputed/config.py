"""The shape of a reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from secondpass.errors import InputError


@dataclass(frozen=True, slots=True)
class ReaderConfig:
    """How large a reader is.

    - `width`: numbers in an encoder's state of one token, of one layer or several; the
      first `hidden` of them are where the query's tokens start from.
    - `codes`: int8 numbers that are kept of a document's token.
    - `gate`: what is added at first to the attention logits towards the document, a head;
      the lower it is, the closer an untrained reader is to the bi-encoder.
    - `matching`: width of the late-interaction feature, 0 for none.

    Raises InputError for sizes that do not fit together.
    """

    hidden: int = 384
    heads: int = 12
    intermediate: int = 1536
    layers: int = 2
    codes: int = 128
    width: int = 384
    gate: float = -3.0
    matching: int = 0

    def __post_init__(self) -> None:
        why = None
        for one in fields(self):
            value = getattr(self, one.name)
            least = {"gate": None, "matching": 0}.get(one.name, 1)
            if least is not None and (type(value) is not int or value < least):
                why = f"{one.name} is {value!r}, and {least} is the least"
        if why is None and self.hidden % self.heads:
            why = f"hidden {self.hidden} is no multiple of heads {self.heads}"
        if why is None and self.codes > self.hidden:
            why = f"codes {self.codes} are more than hidden {self.hidden}"
        if why is None and self.width < self.hidden:
            why = f"the width {self.width} of a state is less than hidden {self.hidden}"
        if why is None and self.matching > self.codes:
            why = f"matching {self.matching} is more than codes {self.codes}"
        if why is not None:
            raise InputError("a reader cannot have this shape", why=why)

    def as_object(self) -> dict[str, Any]:
        """Return a JSON object that `from_object` reads."""
        return asdict(self)

    @classmethod
    def from_object(cls, value: Mapping[str, Any]) -> ReaderConfig:
        """Read what `as_object` gave; raises InputError for anything else."""
        known = {one.name for one in fields(cls)}
        if not isinstance(value, Mapping) or set(value) - known:
            raise InputError("a reader's shape cannot be read", why=f"it is {value!r}")
        return cls(**value)
