"""Document stores and retrievers, one adapter a database."""
