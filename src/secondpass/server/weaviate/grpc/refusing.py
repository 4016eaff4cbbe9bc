"""What is understood of a message and not supported."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from secondpass.server.weaviate.responses import refused

MOST_PARTS = 100_000
"""How many messages may be within one: two bytes make one, and each is looked at."""


def refuse_unsupported(message: Any, most: int = MOST_PARTS) -> int:
    """Return how many messages are within one.

    Raises Problem (422) for more than `most`, and where one holds what is not supported.
    """
    seen = 0
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
            seen += 1
            if seen > most:
                raise refused(f"the message has more than {MOST_PARTS:,} parts")
            seen += refuse_unsupported(one, most - seen)
    return seen
