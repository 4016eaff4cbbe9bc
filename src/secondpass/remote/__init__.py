"""Requests to remote servers: client, retries, event streams, base URLs and API keys."""
