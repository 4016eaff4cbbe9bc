"""Readers: models that read documents in advance, and only the query at query time."""

from secondpass.rerank.reader.model import Reader

__all__ = ["Reader"]
