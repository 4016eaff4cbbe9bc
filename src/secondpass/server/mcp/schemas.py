"""Arguments of the tools, with the descriptions that agents read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

Query = Annotated[str, Field(min_length=1, description="What is looked for, in plain words.")]
TopK = Annotated[int, Field(ge=1, le=50, description="How many passages to return.")]
Mode = Annotated[
    Literal["bm25", "vector", "hybrid"],
    Field(description="Find by words, by meaning, or by both."),
]
IndexName = Annotated[
    str | None, Field(description="Which index; without one, the server's default.")
]
Filters = Annotated[
    dict[str, Any] | None,
    Field(
        description='Metadata that documents must have, as in {"lang": "en"}, '
        '{"lang": ["en", "fr"]} or {"year": {"$gte": 2015}}.'
    ),
]
Texts = Annotated[list[str], Field(min_length=1, description="The texts to put in order.")]
TopN = Annotated[int | None, Field(ge=1, description="How many to return; all without it.")]
WithSpans = Annotated[
    bool, Field(description="Whether to say which sentences of each text answer.")
]
DocumentId = Annotated[
    str, Field(min_length=1, description="The id of a passage or a document.")
]
