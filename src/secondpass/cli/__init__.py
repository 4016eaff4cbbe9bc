"""Command line: one module for each command."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with 0 (ok), 1 (failed) or 2 (wrong usage)."""
    from secondpass.cli.app import run

    run()
