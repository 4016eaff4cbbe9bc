"""Providers by the prefix of a model's name, and which names are a provider's."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.metadata import entry_points

from secondpass.errors import ModelError
from secondpass.rerank.hosted.provider import Provider

GROUP = "secondpass.providers"
"""Entry points by prefix, for providers in other packages: a subclass of `Provider`."""

BUILT_IN = {
    "cloudflare": "Cloudflare",
    "cohere": "Cohere",
    "infinity": "Infinity",
    "jina": "Jina",
    "mixedbread": "Mixedbread",
    "tei": "TEI",
    "vllm": "VLLM",
    "voyage": "Voyage",
    "weaviate": "Weaviate",
}

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+@.*")


def provider_names() -> list[str]:
    """Return the prefixes of all providers that are installed, sorted."""
    return sorted({*BUILT_IN, *(e.name for e in entry_points(group=GROUP))})


def split_name(name: str) -> tuple[str, str] | None:
    """Return (prefix, model) of a provider's model, or None for any other name.

    A name is a provider's if what stands before its first slash, or all of it, is the
    prefix of one, unless it is "owner/model@revision": that is a repository, whoever owns
    it. A folder of such a name is written with a dot, "./cohere/model".
    """
    prefix, _, model = name.partition("/")
    if _REPOSITORY.fullmatch(name):
        return None
    # Looking through all installed packages takes a while, so it comes last.
    if prefix in BUILT_IN or (prefix and prefix in provider_names()):
        return prefix, model
    return None


def load_provider(prefix: str) -> Provider:
    """Return the provider of that prefix with its default options.

    Raises `ModelError` if there is none, `InputError` if it needs options.
    """
    if prefix in BUILT_IN:
        module = import_module(f"secondpass.rerank.hosted.{prefix}")
        made: Provider = getattr(module, BUILT_IN[prefix])()
        return made
    found = {e.name: e for e in entry_points(group=GROUP)}
    if prefix not in found:
        raise ModelError(
            f"There is no provider {prefix!r}", fix="Known: " + ", ".join(provider_names())
        )
    provider = found[prefix].load()()
    if not isinstance(provider, Provider):
        raise ModelError(f"{found[prefix].value} is no Provider", where=f"entry point {prefix}")
    return provider
