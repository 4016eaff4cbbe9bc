"""Command line: one module for each command."""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command line and exit with 0 (ok), 1 (failed) or 2 (wrong usage)."""
    from secondpass.cli.app import run

    try:
        run()
    finally:
        # Looking for cycles among all modules before exit takes as long as a short search.
        gc.freeze()
