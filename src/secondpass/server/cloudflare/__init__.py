"""Cloudflare AI Search: instances that files are uploaded to, searched and asked."""

from __future__ import annotations

from secondpass.server.cloudflare.routes import AISearch

__all__ = ["AISearch"]
