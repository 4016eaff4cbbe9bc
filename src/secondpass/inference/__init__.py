"""Model inference: model folders, tokenizer, batches, and the engines that run a graph."""
