"""Rerank endpoints of providers and inference servers: one file a dialect."""
