"""Hard-negative mining from a collection."""
