"""Rerankers behind an HTTP interface: hosted services and self-hosted servers."""

from secondpass.remote.retry import RetryPolicy
from secondpass.rerank.hosted.model import HostedReranker
from secondpass.rerank.hosted.provider import Provider
from secondpass.rerank.hosted.registry import load_provider, provider_names, split_name

__all__ = [
    "HostedReranker",
    "Provider",
    "RetryPolicy",
    "load_provider",
    "provider_names",
    "split_name",
]
