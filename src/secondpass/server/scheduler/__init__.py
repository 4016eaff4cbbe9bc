"""The queue in front of the models, and rerankers and embedders that run through it."""
