"""Explanations: why a document has its rank, stage by stage, and what would change it."""

from secondpass.explain.explain import explain, explain_text
from secondpass.explain.types import Explanation

__all__ = ["Explanation", "explain", "explain_text"]
