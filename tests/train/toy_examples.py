"""A small world to train on: things, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path

from secondpass.train.data.examples import Examples, Group

THINGS = ("river", "ship", "sky", "storm", "bread", "mail", "password", "sea", "water")
DEEDS = ("lost", "found", "changed", "put away", "reset", "forgotten")


def toy_examples(sources: tuple[str, ...] = ("one", "two")) -> Examples:
    """Return a group for every thing and deed; the negatives have another thing or deed."""
    passages = [f"the {thing} was {deed} by you" for thing in THINGS for deed in DEEDS]
    groups = []
    for thing in range(len(THINGS)):
        for deed in range(len(DEEDS)):
            own = thing * len(DEEDS) + deed
            others = [
                thing * len(DEEDS) + (deed + 1) % len(DEEDS),
                (thing + 1) % len(THINGS) * len(DEEDS) + deed,
            ]
            query = f"who {DEEDS[deed]} my {THINGS[thing]}?"
            groups.append(Group(query, (own,), tuple(others), sources[own % len(sources)]))
    return Examples(passages, groups)


def write_pairs(file: Path, examples: Examples) -> Path:
    """Write examples as JSON lines that `secondpass train` reads."""
    rows = [
        {
            "query": group.query,
            "positive": examples.passages[group.positives[0]],
            "negatives": [examples.passages[place] for place in group.negatives],
            "source": group.source,
        }
        for group in examples.groups
    ]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return file
