"""The older interface, AutoRAG."""
