"""JSON that can carry any text that a request brought."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse


class Reply(JSONResponse):
    """A JSON response; lone surrogates, which UTF-8 has no bytes for, are sent as escapes."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        try:
            return super().render(content)
        except UnicodeEncodeError:
            return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")
