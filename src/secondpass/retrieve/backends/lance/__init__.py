"""LanceDB store: a table in a folder."""
