"""Types of requests that more than one route has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from secondpass.types import Document

STRICT = ConfigDict(extra="forbid")
Count = Annotated[int, Field(ge=1, strict=True)]
Share = Annotated[float, Field(ge=0, le=1)]
Flag = Annotated[bool, Field(strict=True)]
Query = Annotated[str, Field(min_length=1)]


@dataclass
class DocumentBody:
    """A text with an optional id, title and metadata, on which searches can filter."""

    __pydantic_config__ = STRICT

    text: str
    id: str | None = None
    title: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def document(self) -> Document:
        """Return it as the library's type."""
        return Document(self.text, self.id, self.title, self.metadata)
