"""Bulk work and search on several machines, with Ray."""
