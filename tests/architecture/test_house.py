"""How easily a stranger finds a file: what scripts/house.py measures stays within bounds."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
HOUSE: dict[str, Any] = runpy.run_path(str(REPOSITORY / "scripts" / "house.py"))

# Small files with one importer beside them that are looked for by their own name.
NAMED = {
    "evaluate/rescore_simulation.py": "what `report` and `tune` know of a second reading",
    "index/rerankers.py": "rerankers of an index",
    "index/storage/states.py": "token states that versions of an index carry",
    "inference/native/graph_match.py": "which shapes of encoders the native engine finds",
    "retrieve/backends/lance/client_import.py": "what makes `import lancedb` twice as fast",
    "retrieve/backends/lance/migrations.py": "what changes an index of an older version",
    "retrieve/protocol.py": "what an adapter of another database implements",
    "server/api_v1/rerank.py": "the route of that name",
    "server/health.py": "the routes that monitors ask",
    "server/openai/embeddings.py": "the endpoint of that name",
    "server/openai/models.py": "the endpoint of that name",
    "server/scheduler/batch_time.py": "the estimate that requests are refused by",
}
# Base names that stand in several rooms of a package because each room has one.
IN_EVERY_ROOM = {
    "rerank/calibration",
    "rerank/model",
    "rerank/registry",
    "server/chat",
    "server/filters",
    "server/operation",
    "server/rerank",
    "server/search",
    "server/search_request",
}


@pytest.fixture(scope="module")
def report() -> Any:
    return HOUSE["measure"](REPOSITORY)


def test_no_file_is_longer_than_a_reader_takes_in(report: Any) -> None:
    assert max(report.largest.values()) <= 600


def test_a_small_file_with_one_importer_is_something_that_is_looked_for(report: Any) -> None:
    assert set(report.small_single_importer) <= NAMED.keys()


def test_base_names_are_used_once_but_for_those_of_rooms(report: Any) -> None:
    assert set(report.repeated_names) <= IN_EVERY_ROOM


def test_modules_are_named_by_nouns_and_terms_of_the_field(report: Any) -> None:
    assert report.gerunds == []
