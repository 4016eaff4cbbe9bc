"""OpenAI's dialect: chat completions and responses from an index, embeddings, models."""
