"""Single keys, from a terminal or from any stream."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

END = ""
"""What a stream gives at its end."""


class Keys:
    """Reads one character at a time; a stream's line breaks are no keys."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def next(self) -> str:
        """Return the next key in lower case, or `END`."""
        while True:
            # Past the buffer: a key must not wait for the next one.
            byte = os.read(self._stream.fileno(), 1) if self._raw else self._stream.read(1)
            if byte == b"\x04" or not byte:
                return END
            if byte == b"\x03":
                raise KeyboardInterrupt
            if byte not in b"\r\n \t":
                return byte.decode("latin-1").lower()

    @property
    def _raw(self) -> bool:
        try:
            return os.isatty(self._stream.fileno())
        except (OSError, ValueError):
            return False


@contextmanager
def keyboard() -> Iterator[Keys]:
    """Give the keys of standard input; a terminal hands them over without Enter."""
    stream = sys.stdin.buffer
    if sys.platform == "win32" or not sys.stdin.isatty():
        # Keys then come with Enter, or from a file.
        yield Keys(stream)
        return
    import termios
    import tty

    number = stream.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        yield Keys(stream)
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
