"""What is done to the LanceDB table itself: connecting, indexes, columns.

The stop words of Lucene's English analyser, and the languages a text can have.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from secondpass.errors import InputError, MissingExtraError, nearest
from secondpass.retrieve.backends.lance import schema as r
from secondpass.retrieve.backends.lance.schema import Plan

ENGLISH: tuple[str, ...] = (
    *("a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into"),
    *("is", "it", "no", "not", "of", "on", "or", "such", "that", "the", "their", "then"),
    *("there", "these", "they", "this", "to", "was", "will", "with"),
)

NO_LANGUAGE = "none"
"""No stemming and no stop words; words are found by Unicode's rules, CJK included."""

CODES: Mapping[str, str] = {
    **{"ar": "arabic", "da": "danish", "nl": "dutch", "en": "english", "fi": "finnish"},
    **{"fr": "french", "de": "german", "el": "greek", "hu": "hungarian", "it": "italian"},
    **{"no": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian"},
    **{"es": "spanish", "sv": "swedish", "ta": "tamil", "tr": "turkish"},
}
"""The languages with a stemmer, by their ISO 639-1 code."""


def language_name(language: str) -> str:
    """Return a language's name in lower case, from its name or its two-letter code.

    Raises InputError for a language that has no stemmer.
    """
    asked = language.strip().lower()
    name = CODES.get(asked, asked)
    if name == NO_LANGUAGE or name in CODES.values():
        return name
    raise InputError(
        f"unknown language {language!r}",
        fix=f"{nearest(asked, [*CODES.values(), NO_LANGUAGE])} "
        f"'{NO_LANGUAGE}' indexes any language without stemming.",
    )


ROWS_PER_PARTITION = 4096
LEAST_PROBES = 32
REFINE = 4
"""How many times more candidates than asked for are compared with their exact vectors."""


def load() -> Any:
    """Return the package lancedb; raises MissingExtraError where it is not installed."""
    # Read by the engine when it is loaded; without it, it warns on every query.
    os.environ.setdefault("LANCEDB_LOG", "error")
    try:
        import lancedb
    except ImportError as error:
        raise MissingExtraError("an index", package="lancedb", extra="index") from error
    return lancedb


def connect(folder: Path) -> Any:
    """Return a connection whose reads see what other processes have committed."""
    return load().connect(str(folder), read_consistency_interval=timedelta(0))


def index_text(table: Any, language: str, column: str = r.SEARCH) -> None:
    """Make the text index of a column anew."""
    from lancedb.index import FTS

    known = language != NO_LANGUAGE
    config = FTS(
        base_tokenizer="simple" if known else "icu/split",
        language=language.capitalize() if known else "English",
        stem=known,
        remove_stop_words=True,
        custom_stop_words=list(ENGLISH) if language == "english" else [],
        max_token_length=255,
    )
    table.create_index(column, config=config, replace=True)


def text_columns(table: Any) -> list[str]:
    """Return the columns that have a text index."""
    return [i.columns[0] for i in table.list_indices() if i.index_type == "FTS"]


def unindexed_share(table: Any, column: str = r.SEARCH) -> float:
    """Return how many rows the text index of a column lacks, for each that it has."""
    stats = table.index_stats(f"{column}_idx")
    return int(stats.num_unindexed_rows) / max(1, int(stats.num_indexed_rows))


def add_vectors(table: Any, dimension: int) -> None:
    """Add a column for vectors of this length, in place of one of another that is empty."""
    import pyarrow as pa

    kind = pa.list_(pa.float32(), dimension)
    if r.VECTOR in table.schema.names:
        if table.schema.field(r.VECTOR).type == kind:
            return
        table.drop_columns([r.VECTOR])
    table.add_columns([pa.field(r.VECTOR, kind)])


def index_vectors(table: Any) -> None:
    """Make the vector index, where there is none."""
    from lancedb.index import IvfRq

    if any(r.VECTOR in index.columns for index in table.list_indices()):
        return
    # RQ with refinement finds as much as HNSW_SQ (benchmarks/ann_recall.py) and is built in
    # a twentieth of the time; the default of the engine, IVF_PQ, loses most neighbours.
    partitions = max(1, int(table.count_rows()) // ROWS_PER_PARTITION)
    config = IvfRq(distance_type="cosine", num_partitions=partitions)
    table.create_index(r.VECTOR, config=config)


def probes(rows: int) -> int:
    """Return how many partitions a search must read: all of up to 32, then an eighth."""
    return max(LEAST_PROBES, rows // (8 * ROWS_PER_PARTITION))


def evolve(table: Any, change: Plan) -> None:
    """Widen and add the metadata columns that a batch needs."""
    import pyarrow as pa

    # What a crash between the steps below has left.
    stale = [n for n in table.schema.names if n.startswith(("_sp_wide_", "_sp_old_"))]
    if stale:
        table.drop_columns(stale)
    for name in change.widened:
        table.add_columns({f"_sp_wide_{name}": f"CAST(`{name}` AS DOUBLE)"})
        # Both renames are one commit: a filter on the field works at every moment.
        table.alter_columns(
            {"path": name, "rename": f"_sp_old_{name}"},
            {"path": f"_sp_wide_{name}", "rename": name},
        )
        table.drop_columns([f"_sp_old_{name}"])
    if change.new:
        kinds = [pa.field(name, r.arrow_type(change.kinds[name])) for name in change.new]
        table.add_columns(kinds)
