"""Reports of a study: an HTML page with figures, text, and JSON."""
