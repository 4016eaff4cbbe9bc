"""A cross-encoder trained on the lists that first stages find, and on the answers."""
