"""The server's own HTTP API, `/api/v1`, with an OpenAPI document."""
