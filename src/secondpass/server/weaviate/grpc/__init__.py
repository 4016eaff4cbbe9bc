"""Weaviate's gRPC interface, used by version 4 of its client for searches and batches."""
