"""Endpoints of rerank providers and inference servers: one file a dialect and endpoint."""
