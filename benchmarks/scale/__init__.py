"""How costs grow with the number of passages, and what smaller token states cost."""
