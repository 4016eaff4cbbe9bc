"""Weaviate's interface, as its clients see it: REST, GraphQL and gRPC over our indexes."""
