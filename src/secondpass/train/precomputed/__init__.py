"""Training a reader: a few layers that read a document's kept states for one query."""
