"""What a call cost, from a dated table that a user can override."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from secondpass.errors import InputError

VARIABLE = "SECONDPASS_PRICES"
"""Names a TOML file in the form of prices.toml; what it holds comes before the table here."""
SEARCH, TOKENS = "search", "million tokens"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for one search or one million tokens, as a price list said on a day."""

    per: str
    usd: float
    as_of: date | None = None

    def cost(self, *, searches: float | None, tokens: int | None) -> float | None:
        """Return the dollars for what was counted, or None if it was not."""
        if self.per == SEARCH:
            return None if searches is None else self.usd * searches
        return None if tokens is None else self.usd * tokens / 1e6


def load_prices(path: str | Path | None = None) -> Mapping[str, Price]:
    """Return prices by model, those in `path` (or in $SECONDPASS_PRICES) before the rest.

    Raises `InputError` for a file that cannot be read or understood.
    """
    own = os.environ.get(VARIABLE, "").strip() if path is None else path
    return _built_in() if not own else {**_built_in(), **_read(Path(own))}


@cache
def _built_in() -> Mapping[str, Price]:
    return _read(Path(__file__).with_name("prices.toml"))


def _read(file: Path) -> dict[str, Price]:
    try:
        rows = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError("The prices cannot be read", where=str(file), why=str(error)) from None
    return {model: _price(file, model, row) for model, row in rows.items()}


def _price(file: Path, model: str, row: Any) -> Price:
    try:
        per, usd, as_of = row["per"], float(row["usd"]), row.get("as_of")
        sound = per in (SEARCH, TOKENS) and 0 <= usd < 1e6
    except (TypeError, ValueError, KeyError, AttributeError):
        sound = False
    if not sound:
        raise InputError(
            f"The price of {model!r} cannot be understood",
            where=str(file),
            fix=f'Write it as ["{model}"] with per = "{SEARCH}" or "{TOKENS}" and usd = 0.002.',
        )
    return Price(per, usd, as_of if isinstance(as_of, date) else None)
