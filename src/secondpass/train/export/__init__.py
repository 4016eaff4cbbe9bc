"""Exporting and quantizing models."""
