"""Mining hard negatives from a collection."""
