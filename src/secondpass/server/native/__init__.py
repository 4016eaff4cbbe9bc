"""The server's own interface, `/api/v1`, with an OpenAPI document."""

from secondpass.server.native.routes import native

__all__ = ["native"]
