"""Rerankers behind an HTTP interface: hosted services and self-hosted servers.

Names are imported at first use: the names of providers are known without their client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from secondpass._lazy import load_public_name

if TYPE_CHECKING:
    from secondpass.remote.retry import RetryPolicy
    from secondpass.rerank.hosted.model import HostedReranker
    from secondpass.rerank.hosted.provider import Provider
    from secondpass.rerank.hosted.registry import load_provider, provider_names, split_name

_MODULES = {
    "HostedReranker": "rerank.hosted.model",
    "Provider": "rerank.hosted.provider",
    "RetryPolicy": "remote.retry",
    "load_provider": "rerank.hosted.registry",
    "provider_names": "rerank.hosted.registry",
    "split_name": "rerank.hosted.registry",
}

__all__ = [
    "HostedReranker",
    "Provider",
    "RetryPolicy",
    "load_provider",
    "provider_names",
    "split_name",
]


def __getattr__(name: str) -> object:
    return load_public_name(__name__, _MODULES, name)
