"""From a question to chunks: filters, retrieval, the second pass, and kept answers."""
