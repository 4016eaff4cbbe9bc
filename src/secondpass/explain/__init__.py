"""Why a document is where it is: what each stage made of it, and what would change that."""

from secondpass.explain.explain import explain, explain_text
from secondpass.explain.types import Explanation

__all__ = ["Explanation", "explain", "explain_text"]
