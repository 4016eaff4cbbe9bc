"""Work in front of a model, and what puts it there."""
