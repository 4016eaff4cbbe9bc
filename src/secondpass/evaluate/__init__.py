"""Measurements: whether reranking pays, and what a score means."""
