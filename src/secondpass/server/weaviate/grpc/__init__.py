"""Weaviate's gRPC, by which version 4 of its client queries and stores in batches."""
