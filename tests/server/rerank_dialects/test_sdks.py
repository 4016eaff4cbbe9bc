"""The official clients against this server: answers, and their own exceptions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondpass import Reranker
from secondpass.server.access.api_keys import KeyFile
from secondpass.server.settings import ServerSettings
from tests.leftovers import swept  # noqa: F401
from tests.server.conftest import QUERY, TEXTS, running

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def served(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a server with keys, and one of them."""
    file: Path = tmp_path_factory.mktemp("keys") / "keys.json"
    key = KeyFile(file).create("sdk", ["rerank"])
    with running(ServerSettings(models=[model], keys=file, max_documents=10)) as found:
        yield found.url, key


def test_cohere(served: tuple[str, str], expected: list[int]) -> None:
    cohere = pytest.importorskip("cohere", reason="the group sdk is not installed")
    url, key = served
    with cohere.Client(api_key=key, base_url=url, max_retries=0) as old:
        first = old.rerank(
            query=QUERY,
            documents=[{"text": t, "lang": "en"} for t in TEXTS],
            model="m",
            top_n=1,
            return_documents=True,
        )
    assert [r.index for r in first.results] == expected[:1]
    assert first.results[0].document.text == TEXTS[expected[0]]
    assert first.results[0].document.lang == "en"
    assert first.meta.billed_units.search_units == 1
    for base in (url, f"{url}/v1", f"{url}/cohere"):
        with cohere.ClientV2(api_key=key, base_url=base, max_retries=0) as new:
            second = new.rerank(model="m", query=QUERY, documents=TEXTS)
        assert [r.index for r in second.results] == expected
        assert second.meta.api_version.version == "2"
    assert [r.index for r in asyncio.run(_cohere_async(cohere, url, key))] == expected


async def _cohere_async(cohere, url: str, key: str):  # type: ignore[no-untyped-def]
    async with cohere.AsyncClientV2(api_key=key, base_url=url, max_retries=0) as client:
        return (await client.rerank(model="m", query=QUERY, documents=TEXTS)).results


def test_voyage(served: tuple[str, str], expected: list[int]) -> None:
    voyageai = pytest.importorskip("voyageai", reason="the group sdk is not installed")
    url, key = served
    for base in (f"{url}/v1", f"{url}/voyage/v1", url):
        client = voyageai.Client(api_key=key, base_url=base)
        found = client.rerank(QUERY, TEXTS, model="rerank-2.5", top_k=2)
        assert [r.index for r in found.results] == expected[:2]
        assert found.results[0].document == TEXTS[expected[0]]
        assert found.total_tokens > 0
    with pytest.raises(voyageai.error.InvalidRequestError, match="documents is empty"):
        client.rerank(QUERY, [], model="rerank-2.5")
    with pytest.raises(voyageai.error.AuthenticationError):
        voyageai.Client(api_key="no", base_url=url).rerank(QUERY, TEXTS, model="m")


def test_mixedbread(served: tuple[str, str], expected: list[int]) -> None:
    mixedbread = pytest.importorskip("mixedbread", reason="the group sdk is not installed")
    url, key = served
    client = mixedbread.Mixedbread(api_key=key, base_url=url, max_retries=0)
    found = client.rerank(model="m", query=QUERY, input=TEXTS, top_k=1, return_input=True)
    assert found.data[0].index == expected[0]
    assert found.data[0].input == TEXTS[expected[0]]
    assert found.top_k == 1
    with pytest.raises(mixedbread.BadRequestError):
        client.rerank(model="m", query=" ", input=TEXTS)
    with pytest.raises(mixedbread.AuthenticationError):
        mixedbread.Mixedbread(api_key="no", base_url=url, max_retries=0).rerank(
            model="m", query=QUERY, input=TEXTS
        )


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("cohere/m", ""),
        ("cohere/m", "/cohere"),
        ("jina/m", "/v1"),
        ("jina/m", "/jina/v1"),
        ("voyage/m", "/v1"),
        ("voyage/m", "/voyage/v1"),
        ("mixedbread/m", ""),
        ("mixedbread/m", "/mixedbread"),
        ("tei", ""),
        ("tei", "/tei"),
        ("infinity/m", ""),
        ("infinity/m", "/infinity"),
        ("vllm/m", "/vllm"),
    ],
)
def test_our_own_clients(
    served: tuple[str, str], expected: list[int], name: str, path: str
) -> None:
    url, key = served
    found = Reranker(name, base_url=f"{url}{path}", api_key=key).rerank(QUERY, TEXTS)
    assert [r.index for r in found.results] == expected
