"""Command line: one module for each command."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def main() -> None:
    """Run the command line and exit with 0 (ok), 1 (failed) or 2 (wrong usage)."""
    with no_collection():
        from secondpass.cli.app import run

    try:
        run()
    finally:
        # Looking for cycles among all modules before exit takes as long as a short search.
        gc.freeze()


@contextmanager
def no_collection() -> Iterator[None]:
    """Look for no cycles among what the block makes, then or later: for what is loaded to stay.

    It takes a tenth of the time of imports, and finds next to nothing.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
