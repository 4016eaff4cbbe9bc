"""OpenAI's dialect: chat completions from an index, embeddings, and the list of models."""
