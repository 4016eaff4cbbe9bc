"""The server's own interface, `/api/v1`, with an OpenAPI document."""

from secondpass.server.api_v1.routes import native

__all__ = ["native"]
