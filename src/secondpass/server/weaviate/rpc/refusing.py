"""What is understood of a message and not supported."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from secondpass.server.weaviate.refusals import refused


def refuse_unsupported(message: Any) -> None:
    """Raise Problem (422) where a message, or one within it, holds what is not supported."""
    for field, value in message.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        kind = field.message_type
        if kind.name == "Unsupported":
            raise refused(f"{field.name} is not supported here")
        if kind.GetOptions().map_entry or kind.file.name != message.DESCRIPTOR.file.name:
            # Values, which hold nothing but what they are.
            continue
        # Not by the field's label, which one version of protobuf names otherwise than the next.
        for one in value if hasattr(value, "__len__") else [value]:
            refuse_unsupported(one)
