"""The index: first stage and reranking over one folder of documents."""
