"""How many labels a calibration needs."""

from __future__ import annotations

import math

from secondpass.errors import InputError

QUERIES = 10
"""Fewer queries say too little about the next one, however many pairs they have."""

_WIDTH = {"platt": 0.5, "temperature": 0.5, "isotonic": 0.25}
"""What the base rate may be off by, in log-odds, at 95%."""


def check_enough(method: str, relevant: int, irrelevant: int, queries: int) -> None:
    """Raise `InputError` that says how many labels are needed, if these are too few.

    The rule: the base rate must be known to within 0.5 in log-odds at 95% (0.25 for
    isotonic, which fits many steps), that is 1.96 · sqrt(1/relevant + 1/irrelevant), from
    at least 10 queries. With equal shares that is 31 of each kind, and 123 for isotonic.
    """
    most = (_WIDTH[method] / 1.96) ** 2
    have = f"{relevant} relevant and {irrelevant} irrelevant pairs of {queries} queries"
    what = "There are too few labels to calibrate on"
    if not relevant or not irrelevant:
        missing = "relevant" if not relevant else "irrelevant"
        needed = math.ceil(2 / most)
        raise InputError(
            what,
            why=f"{have}: none is {missing}",
            fix=f"Add {missing} pairs: about {needed} of each kind are needed.",
        )
    # A hair of room, so that the number that is said to be enough is enough.
    if 1 / relevant + 1 / irrelevant > most * (1 + 1e-9):
        growth = (1 / relevant + 1 / irrelevant) / most
        need = math.ceil(relevant * growth), math.ceil(irrelevant * growth)
        raise InputError(
            what,
            why=have,
            fix=f"At this share of relevant ones, {need[0]} relevant and {need[1]} irrelevant "
            f"pairs are needed for {method}: label more with secondpass label.",
        )
    if queries < QUERIES:
        raise InputError(
            what, why=have, fix=f"Label pairs of at least {QUERIES} queries, not {queries}."
        )
