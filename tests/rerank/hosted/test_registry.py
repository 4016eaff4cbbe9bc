from __future__ import annotations

from pathlib import Path

import pytest

from secondpass import InputError
from secondpass.rerank.hosted.registry import load_prices, provider_names, split_name
from tests.loopback.clients import client
from tests.loopback.server import Loopback

OWN = """
["cohere/rerank-v3.5"]
per = "search"
usd = 0.0
["vllm/m"]
per = "million tokens"
usd = 3
"""


def test_the_table_is_dated_and_names_providers() -> None:
    for model, price in load_prices().items():
        split = split_name(model)
        assert split is not None
        assert split[0] in provider_names()
        assert price.as_of is not None
        assert price.usd > 0


def test_own_prices_come_first(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(OWN, encoding="utf-8")
    free = client("cohere", server, prices=file).rerank("q", ["a"])
    assert free.usage.cost == 0.0
    assert client("vllm", server).rerank("q", ["a"]).usage.cost is None
    monkeypatch.setenv("SECONDPASS_PRICES", str(file))
    usage = client("vllm", server).rerank("q", ["a"]).usage
    assert usage.cost == pytest.approx(3e-6 * usage.tokens)
    assert load_prices()["voyage/rerank-2.5"].usd == 0.05


@pytest.mark.parametrize(
    "text",
    [
        "[",
        '["m"]\nusd = 1\n',
        '["m"]\nper = "day"\nusd = 1\n',
        '["m"]\nper="search"\nusd=-1\n',
        "m = 3\n",
        '["m"]\nper = "search"\nusd = nan\n',
    ],
)
def test_a_damaged_file_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"prices\.toml"):
        load_prices(file)


def test_an_unknown_price_is_none_and_not_zero(server: Loopback) -> None:
    usage = client("jina", server).rerank("q", ["a"]).usage
    assert usage.cost is None
    assert usage.tokens > 0
    assert usage.requests == 1
