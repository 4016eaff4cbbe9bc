"""Scores kept by pair: a policy, its keys, its memory and its file."""

from secondpass.rerank.policies.cache.policy import Cached

__all__ = ["Cached"]
