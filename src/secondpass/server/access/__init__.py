"""Access to the server: API keys, rate limits, slow clients, and cross-origin requests."""
