"""Rerankers behind an HTTP interface: hosted services and servers of one's own."""

from secondpass.remote.hosted_retrying import Retrying
from secondpass.rerank.hosted.model import Hosted
from secondpass.rerank.hosted.provider import Provider
from secondpass.rerank.hosted.table import load_provider, provider_names, split_name

__all__ = ["Hosted", "Provider", "Retrying", "load_provider", "provider_names", "split_name"]
