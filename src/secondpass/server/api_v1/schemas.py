"""Types of requests that more than one route has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, make_dataclass, replace
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema

from secondpass.option_types import Option, offered
from secondpass.types import Document

STRICT = ConfigDict(extra="forbid")
Count = Annotated[int, Field(ge=1, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Query = Annotated[str, Field(min_length=1)]


@dataclass
class DocumentBody:
    """A text with an optional id, title and metadata, on which searches can filter.

    An id has at most 2,000 characters.
    """

    __pydantic_config__ = STRICT

    text: str
    id: Annotated[str, Field(max_length=2000)] | None = None
    title: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def document(self) -> Document:
        """Return it as the library's type."""
        return Document(self.text, self.id, self.title, self.metadata)


def body_with_options(
    name: str,
    doc: str,
    required: Mapping[str, Any],
    options: type,
    *,
    defaults: Mapping[str, Any] | None = None,
    only: Collection[str] | None = None,
    without: Collection[str] = (),
) -> type:
    """Build the dataclass of a body: the required fields, then every option that HTTP offers.

    `options` is a `TypedDict` of declared options; pydantic checks values as the library does.
    `defaults` are those that differ from the library's. `only` or `without` these options.
    """
    fields: list[Any] = list(required.items())
    for key, option in offered(options, "http").items():
        if key in without or (only is not None and key not in only):
            continue
        if defaults is not None and key in defaults:
            option = replace(option, default=defaults[key])
        fields.append((key, _option_type(option), option.default))
    namespace = {"__pydantic_config__": STRICT, "__doc__": doc}
    return make_dataclass(name, fields, namespace=namespace)


def _option_type(option: Option) -> Any:
    def check(value: Any) -> Any:
        why = option.problem(value)
        if why is not None:
            raise ValueError(why)
        return value

    schema: dict[str, Any] = {**option.kind.schema}
    if option.takes_null:
        schema = {"anyOf": [schema, {"type": "null"}]}
    described = {**schema, "description": option.help, "default": option.default}
    return Annotated[Any, AfterValidator(check), WithJsonSchema(described)]
