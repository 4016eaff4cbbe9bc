"""Arguments of the tools, with the descriptions that agents read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from secondpass.option_types import declared
from secondpass.options import PlacementOptions

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
_PLACEMENT = declared(PlacementOptions)
GroupBy = Annotated[str | None, Field(min_length=1, description=_PLACEMENT["group_by"].help)]
GroupSize = Annotated[int, Field(ge=1, description=_PLACEMENT["group_size"].help)]
Boosts = Annotated[list[str], Field(description=_PLACEMENT["boost"].help)]
Diversity = Annotated[float | None, Field(ge=0, le=1, description=_PLACEMENT["diversity"].help)]
Texts = Annotated[list[str], Field(min_length=1, description="The texts to put in order.")]
TopN = Annotated[int | None, Field(ge=1, description="How many to return; all without it.")]
WithSpans = Annotated[
    bool, Field(description="Whether to say which sentences of each text answer.")
]
DocumentId = Annotated[
    str, Field(min_length=1, description="The id of a passage or a document.")
]
