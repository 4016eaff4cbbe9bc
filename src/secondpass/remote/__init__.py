"""What asking a server takes, whether it reranks or writes: its address, key and pauses."""
