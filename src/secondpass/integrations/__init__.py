"""Rerankers in the shapes of other frameworks; each module needs the extra of its name."""
