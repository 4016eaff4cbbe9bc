"""What the cross-encoder and the embedder share: model folders, tokens, batches, runtimes."""
