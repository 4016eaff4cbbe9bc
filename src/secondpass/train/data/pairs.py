"""Pairs of a query and a passage that answers it, one a line of JSON."""

from __future__ import annotations

from pathlib import Path

from secondpass.retrieve.loaders.json_rows import rows
from secondpass.retrieve.store_protocol import searchable
from secondpass.train.data.examples import Collector, Examples


def read_pairs(file: Path) -> Examples:
    """Read rows with `query`, `positive`, and optional `title`, `negatives`, `source`.

    `title` is that of the positive; `negatives` is a list of texts. Rows with the same
    query become one group. Raises InputError naming the line that cannot be used.
    """
    found = Collector()
    for row in rows(file):
        query, title, source = row.text("query"), row.optional("title"), row.optional("source")
        positive = searchable(title if title else None, row.text("positive"))
        found.judge(query, found.passage(positive), positive=True, source=source)
        for text in row.texts("negatives"):
            found.judge(query, found.passage(text), positive=False)
    return found.examples()
