"""Precomputed document representations: only the query is encoded at query time."""

from secondpass.rerank.precomputed.model import PrecomputedReranker

__all__ = ["PrecomputedReranker"]
