"""The speed suite: the same pairs, the same weights, several engines."""
