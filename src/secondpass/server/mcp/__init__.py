"""Model Context Protocol (MCP): search, rerank and explain as tools for agents."""
