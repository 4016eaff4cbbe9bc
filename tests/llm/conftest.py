from __future__ import annotations

from collections.abc import Iterator

import pytest

from secondpass.llm import LLM, load_llm
from tests.llm.server import KEY, Loopback, serving


@pytest.fixture
def server() -> Iterator[Loopback]:
    with serving() as state:
        yield state


@pytest.fixture(params=["openai", "anthropic"])
def llm(request: pytest.FixtureRequest, server: Loopback) -> Iterator[LLM]:
    with model(request.param, server) as one:
        yield one


def model(provider: str, server: Loopback, **options: object) -> LLM:
    chosen = {"timeout": 5.0, "deadline": 10.0, "api_key": KEY, **options}
    return load_llm(f"{provider}/m-1", base_url=getattr(server, provider), **chosen)  # type: ignore[arg-type]
