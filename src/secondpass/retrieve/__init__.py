"""The first pass: stores that find passages, and what fills and searches them."""
