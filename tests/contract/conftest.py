from __future__ import annotations

import json
from pathlib import Path

import pytest

from secondpass import BaseReranker
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
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(64), strict=False)]
    return [text[: 20 + 37 * i] for i, text in enumerate(texts)]
