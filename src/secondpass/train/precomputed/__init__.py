"""Training of a precomputed reranker: query layers over the stored states of a document."""
