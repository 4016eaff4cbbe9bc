"""Single key presses from a terminal or a stream."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

END = ""
"""The key returned at the end of a stream."""


class Keys:
    """Reads one character at a time and skips line breaks, spaces and tabs."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def next(self) -> str:
        """Return the next key in lower case, or `END`."""
        while True:
            # Unbuffered on a terminal: a buffered read would wait for further keys.
            byte = (
                os.read(self._stream.fileno(), 1) if self._is_terminal else self._stream.read(1)
            )
            if byte == b"\x04" or not byte:
                return END
            if byte == b"\x03":
                raise KeyboardInterrupt
            if byte not in b"\r\n \t":
                return byte.decode("latin-1").lower()

    @property
    def _is_terminal(self) -> bool:
        try:
            return os.isatty(self._stream.fileno())
        except (OSError, ValueError):
            return False


@contextmanager
def keyboard() -> Iterator[Keys]:
    """Yield the keys of standard input; on a terminal, without Enter."""
    stream = sys.stdin.buffer
    if sys.platform == "win32" or not sys.stdin.isatty():
        # Here keys need Enter, or come from a file or pipe.
        yield Keys(stream)
        return
    import termios
    import tty

    descriptor = stream.fileno()
    attributes = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield Keys(stream)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, attributes)
