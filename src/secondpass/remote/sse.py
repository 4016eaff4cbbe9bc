"""A parser of server-sent events, after the WHATWG HTML standard (section 9.2)."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE_BREAK = re.compile(r"\r\n|\n|\r(?!\Z)")


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `name` is "" where the server gave none."""

    name: str
    data: str


class EventParser:
    """Takes bytes in pieces of any size and gives whole events; comments are dropped."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._incomplete_line = ""
        self._name = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that these bytes complete."""
        # A \r at the end may be the first half of a line break: it waits for what follows.
        text = self._incomplete_line + self._decoder.decode(chunk)
        *lines, self._incomplete_line = _LINE_BREAK.split(text)
        for line in lines:
            yield from self._parse_line(line)

    def end(self) -> Iterator[Event]:
        """Yield the events that the end of the stream completes; half an event is dropped."""
        rest = self._incomplete_line + self._decoder.decode(b"", final=True)
        self._incomplete_line = ""
        for line in re.split(r"\r\n|\n|\r", rest)[:-1]:
            yield from self._parse_line(line)

    def _parse_line(self, line: str) -> Iterator[Event]:
        if not line:
            if self._data:
                yield Event(self._name, "\n".join(self._data))
            self._name, self._data = "", []
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
