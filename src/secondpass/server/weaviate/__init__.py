"""Weaviate's database, as its clients see it: REST and GraphQL over our own indexes."""
