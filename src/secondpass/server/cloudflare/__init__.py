"""Cloudflare AI Search: instances with uploaded files, searches and chat completions."""

from __future__ import annotations

from secondpass.server.cloudflare.routes import AISearch

__all__ = ["AISearch"]
