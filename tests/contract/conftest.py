from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondpass import BaseReranker
from secondpass.retrieve.store_protocol import DocumentStore
from tests.contract.document_stores import DOCUMENT_STORES, Open
from tests.contract.rerankers import FACTORIES, SEPARATES_COPIES

SAMPLE = Path(__file__).parents[2] / "examples" / "wikipedia"


@pytest.fixture(scope="session", params=sorted(FACTORIES))
def reranker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> BaseReranker:
    return FACTORIES[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture
def separates_copies(request: pytest.FixtureRequest) -> bool:
    return request.node.callspec.params["reranker"] in SEPARATES_COPIES


@pytest.fixture(scope="session")
def passages() -> list[str]:
    """Real passages of many lengths: whole paragraphs, and their beginnings."""
    with (SAMPLE / "corpus.jsonl").open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(32), strict=False)]
    return [text[: 20 + 74 * i] for i, text in enumerate(texts)]


@pytest.fixture(params=DOCUMENT_STORES)
def opener(request: pytest.FixtureRequest) -> Open:
    return DOCUMENT_STORES[request.param]


@pytest.fixture
def store(opener: Open, tmp_path: Path) -> Iterator[DocumentStore]:
    store = opener(tmp_path / "index")
    yield store
    store.close()
