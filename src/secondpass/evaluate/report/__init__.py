"""A study as one HTML page without network, as text, and as JSON."""
