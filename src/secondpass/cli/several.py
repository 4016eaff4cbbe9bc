"""Options that take several values: `--depths 5 10 20` as well as `--depths 5 --depths 10`."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand


class Several(TyperCommand):
    """A command without arguments, whose repeatable options take all values that follow."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read `--name a b` as `--name a --name b`, for options that may stand twice."""
        repeatable = {
            name
            for option in self.params
            if getattr(option, "multiple", False)
            for name in option.opts
        }
        spread: list[str] = []
        current = None
        for place, word in enumerate(args):
            if word.startswith("--"):
                current = word if word in repeatable else None
                spread.append(word)
            elif current is not None and args[place - 1] != current:
                spread += [current, word]
            else:
                spread.append(word)
        return super().parse_args(ctx, spread)
