"""What the official clients raise: a wrong key, too much, too often, and a busy server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from secondpass.server.access.api_keys import KeyFile
from secondpass.server.settings import ServerSettings
from tests.leftovers import swept  # noqa: F401
from tests.server.conftest import QUERY, TEXTS, Running, running
from tests.server.load import busy

# These packages warn of themselves, and leave sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("default")


@dataclass(frozen=True)
class Client:
    """How a client is asked, and its exceptions: for 400, 401 and 429."""

    module: str
    ask: Callable[[Any, str, str, list[Any]], Any]
    errors: tuple[str, str, str]


def cohere_v1(cohere: Any, url: str, key: str, texts: list[Any]) -> Any:
    with cohere.Client(api_key=key, base_url=url, max_retries=0) as client:
        return client.rerank(model="m", query=QUERY, documents=texts)


def cohere_v2(cohere: Any, url: str, key: str, texts: list[Any]) -> Any:
    with cohere.ClientV2(api_key=key, base_url=url, max_retries=0) as client:
        return client.rerank(model="m", query=QUERY, documents=texts)


def cohere_async(cohere: Any, url: str, key: str, texts: list[Any]) -> Any:
    async def ask() -> Any:
        async with cohere.AsyncClientV2(api_key=key, base_url=url, max_retries=0) as client:
            return await client.rerank(model="m", query=QUERY, documents=texts)

    return asyncio.run(ask())


def voyage(voyageai: Any, url: str, key: str, texts: list[Any]) -> Any:
    client = voyageai.Client(api_key=key, base_url=f"{url}/v1")
    return client.rerank(QUERY, texts, model="rerank-2.5")


def voyage_async(voyageai: Any, url: str, key: str, texts: list[Any]) -> Any:
    client = voyageai.AsyncClient(api_key=key, base_url=f"{url}/v1")
    return asyncio.run(client.rerank(QUERY, texts, model="rerank-2.5"))


def mixedbread(module: Any, url: str, key: str, texts: list[Any]) -> Any:
    with module.Mixedbread(api_key=key, base_url=url, max_retries=0) as client:
        return client.rerank(model="m", query=QUERY, input=texts)


def mixedbread_async(module: Any, url: str, key: str, texts: list[Any]) -> Any:
    async def ask() -> Any:
        async with module.AsyncMixedbread(api_key=key, base_url=url, max_retries=0) as client:
            return await client.rerank(model="m", query=QUERY, input=texts)

    return asyncio.run(ask())


COHERES = ("BadRequestError", "UnauthorizedError", "TooManyRequestsError")
VOYAGES = ("error.InvalidRequestError", "error.AuthenticationError", "error.RateLimitError")
OTHERS = ("BadRequestError", "AuthenticationError", "RateLimitError")
CLIENTS = {
    "cohere-v1": Client("cohere", cohere_v1, COHERES),
    "cohere-v2": Client("cohere", cohere_v2, COHERES),
    "cohere-async": Client("cohere", cohere_async, COHERES),
    "voyage": Client("voyageai", voyage, VOYAGES),
    "voyage-async": Client("voyageai", voyage_async, VOYAGES),
    "mixedbread": Client("mixedbread", mixedbread, OTHERS),
    "mixedbread-async": Client("mixedbread", mixedbread_async, OTHERS),
}


@dataclass
class Served:
    """A server, the address, and the keys by their names."""

    running: Running
    keys: dict[str, str]


@pytest.fixture(scope="module")
def served(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    file = KeyFile(tmp_path_factory.mktemp("errors") / "keys.json")
    keys = {"key": file.create("key", ["rerank"]), "search": file.create("s", ["search"])}
    keys |= {name: file.create(name, ["rerank"], per_minute=1) for name in CLIENTS}
    keys["few"] = file.create("few", ["rerank"], max_documents=2)
    settings = ServerSettings(
        models=[model], keys=file.file, max_documents=10, most_waiting=1000
    )
    with running(settings) as found:
        yield Served(found, keys)


@pytest.fixture(params=list(CLIENTS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def raised(served: Served, name: str) -> Callable[..., str]:
    """Return a function that asks and gives the text of the client's own exception."""
    client = CLIENTS[name]
    module = pytest.importorskip(client.module, reason="the group sdk is not installed")

    def ask(status: int, key: str = "key", texts: list[Any] = TEXTS) -> str:
        kind: Any = module
        for part in client.errors[(400, 401, 429).index(status)].split("."):
            kind = getattr(kind, part)
        with pytest.raises(kind) as caught:
            client.ask(module, served.running.url, served.keys.get(key, key), texts)
        return f"{caught.value} {getattr(caught.value, 'body', '')}"

    ask.well = lambda key="key": client.ask(  # type: ignore[attr-defined]
        module, served.running.url, served.keys[key], TEXTS
    )
    return ask


def test_a_wrong_key(raised: Callable[..., str]) -> None:
    for key in ("no", "sp-12345678-wrong"):
        assert "the key is missing or not valid" in raised(401, key)


def test_bad_input_and_too_many_documents(raised: Callable[..., str]) -> None:
    assert "is empty" in raised(400, texts=[])
    assert "11 documents, at most 10" in raised(400, texts=["x"] * 11)
    assert "4 documents, at most 2" in raised(400, "few")


def test_too_often(raised: Any, name: str) -> None:
    raised.well(name)
    assert "1 times a minute" in raised(429, name)


def test_a_busy_server(raised: Callable[..., str], served: Served) -> None:
    with busy(served.running) as let_go:
        assert "busy" in raised(429, texts=["the river " * 500] * 10)
        let_go()
