"""Endpoints that need no key."""
