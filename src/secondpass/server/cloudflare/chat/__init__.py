"""Answers from chunks, whole or as a stream."""
