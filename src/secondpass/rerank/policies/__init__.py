"""Policies: wrappers around a reranker that are rerankers themselves."""
