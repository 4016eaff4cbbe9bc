"""Providers by the prefix of a model's name, and the prices of their models."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondpass.errors import InputError, ModelError

if TYPE_CHECKING:
    from secondpass.rerank.hosted.provider import Provider

VARIABLE = "SECONDPASS_PRICES"
"""The path of a TOML file in the form of prices.toml, whose prices come before that table."""
SEARCH, TOKENS = "search", "million tokens"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for one search or one million tokens, by a price list of the day `as_of`."""

    per: str
    usd: float
    as_of: date | None = None

    def cost(self, *, searches: float | None, tokens: int | None) -> float | None:
        """Return the cost in US dollars, or None if the unit of the price was not counted."""
        if self.per == SEARCH:
            return None if searches is None else self.usd * searches
        return None if tokens is None else self.usd * tokens / 1e6


def load_prices(path: str | Path | None = None) -> Mapping[str, Price]:
    """Return prices by model; those of `path` (or $SECONDPASS_PRICES) come before the table.

    Raises `InputError` for a file that cannot be read or is not valid.
    """
    file = os.environ.get(VARIABLE, "").strip() if path is None else path
    return {**_built_in(), **_read(Path(file))} if file else _built_in()


@cache
def _built_in() -> Mapping[str, Price]:
    return _read(Path(__file__).with_name("prices.toml"))


def _read(file: Path) -> dict[str, Price]:
    try:
        rows = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError("The prices cannot be read", where=str(file), why=str(error)) from None
    return {model: _price(file, model, row) for model, row in rows.items()}


def _price(file: Path, model: str, row: Any) -> Price:
    try:
        per, usd, as_of = row["per"], float(row["usd"]), row.get("as_of")
        valid = per in (SEARCH, TOKENS) and 0 <= usd < 1e6
    except (TypeError, ValueError, KeyError, AttributeError):
        valid = False
    if not valid:
        raise InputError(
            f"The price of {model!r} is not valid",
            where=str(file),
            fix=f'Write it as ["{model}"] with per = "{SEARCH}" or "{TOKENS}" and usd = 0.002.',
        )
    return Price(per, usd, as_of if isinstance(as_of, date) else None)


GROUP = "secondpass.providers"
"""Entry points by prefix, for providers in other packages: a subclass of `Provider`."""

BUILT_IN = {
    "azure": "Azure",
    "bedrock": "Bedrock",
    "cloudflare": "Cloudflare",
    "cohere": "Cohere",
    "contextual": "Contextual",
    "dashscope": "DashScope",
    "infinity": "Infinity",
    "jina": "Jina",
    "llama-server": "LlamaServer",
    "localai": "LocalAI",
    "mixedbread": "Mixedbread",
    "nim": "NIM",
    "nvidia": "NVIDIA",
    "pinecone": "Pinecone",
    "tei": "TEI",
    "vertex": "Vertex",
    "vllm": "VLLM",
    "voyage": "Voyage",
    "weaviate": "Weaviate",
    "zeroentropy": "ZeroEntropy",
}

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+@.*")


def provider_names() -> list[str]:
    """Return the prefixes of all providers that are installed, sorted."""
    return sorted({*BUILT_IN, *(e.name for e in entry_points(group=GROUP))})


def split_name(name: str) -> tuple[str, str] | None:
    """Return (prefix, model) of a provider's model, or None for any other name.

    A name is a provider's if the part before its first slash, or all of it, is the prefix of
    one, unless it is "owner/model@revision", which is a repository. Write a folder of such a
    name with a dot, "./cohere/model".
    """
    prefix, _, model = name.partition("/")
    if _REPOSITORY.fullmatch(name):
        return None
    # Reading the entry points of all packages takes a while, so it comes last.
    if prefix in BUILT_IN or (prefix and prefix in provider_names()):
        return prefix, model
    return None


def load_provider(prefix: str) -> Provider:
    """Return the provider of that prefix with its default options.

    Raises `ModelError` if there is none, `InputError` if it needs options.
    """
    from secondpass.rerank.hosted.provider import Provider

    if prefix in BUILT_IN:
        module = import_module(f"secondpass.rerank.hosted.{prefix.replace('-', '_')}")
        built_in: Provider = getattr(module, BUILT_IN[prefix])()
        return built_in
    plugins = {e.name: e for e in entry_points(group=GROUP)}
    if prefix not in plugins:
        raise ModelError(
            f"There is no provider {prefix!r}", fix="Known: " + ", ".join(provider_names())
        )
    provider = plugins[prefix].load()()
    if not isinstance(provider, Provider):
        raise ModelError(
            f"{plugins[prefix].value} is not a Provider", where=f"entry point {prefix}"
        )
    return provider
