"""A cross-encoder trained on open data, to tell what stored states cannot know."""
