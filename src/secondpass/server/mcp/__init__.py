"""The Model Context Protocol: search, rerank and explain as tools for agents."""
