"""Readers: models that read documents in advance, and only the query at query time."""

from secondpass.rerank.precomputed.model import PrecomputedReranker

__all__ = ["PrecomputedReranker"]
