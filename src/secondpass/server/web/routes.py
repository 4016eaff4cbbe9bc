"""`/ui`: the page, its assets, and the reports of its Content-Security-Policy."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import mimetypes
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from secondpass.server.http_errors import HttpError, default_error
from secondpass.server.http_json import BodyLimits, raw_bytes
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import Operation, RequestHandler

STATIC = Path(__file__).parent / "static"
"""The folder of the built page: `index.html` and `assets/`."""
PATH = "/ui"
CSP_REPORT_PATH = "/ui/csp-report"
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        f"report-uri {CSP_REPORT_PATH}",
    )
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_MAX_REPORT_BYTES = 16_384
# A page that breaks its policy does so again with each visit.
_MAX_LOGGED_REPORTS = 20
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".svg": "image/svg+xml"}
_COMPRESSED = ("text/", "image/svg+xml", "application/json", "application/manifest+json")
_log = logging.getLogger("secondpass.server")


@dataclass(frozen=True)
class Asset:
    """A file of the page, plain and gzipped; `gzipped` is None where that is no smaller."""

    name: str
    content: bytes
    media_type: str
    gzipped: bytes | None

    @cached_property
    def etag(self) -> str:
        """The entity tag: a hash of the content."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


def read_assets(folder: Path) -> dict[str, Asset]:
    """Return the files of a built page by their path below its folder, "/" between names.

    Raises OSError for a file that cannot be read; a folder that is not there has none.
    """
    assets = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name, content = path.relative_to(folder).as_posix(), path.read_bytes()
            assets[name] = _make_asset(name, content)
    return assets


def is_built(folder: Path = STATIC) -> bool:
    """Return whether the package has the page."""
    return (folder / "index.html").is_file()


def _make_asset(name: str, content: bytes) -> Asset:
    suffix = Path(name).suffix.lower()
    media_type = _TYPES.get(suffix) or mimetypes.guess_type(name)[0]
    media_type = media_type or "application/octet-stream"
    gzipped = None
    if media_type.startswith(_COMPRESSED):
        smaller = gzip.compress(content, mtime=0)
        gzipped = smaller if len(smaller) < len(content) else None
        media_type = f"{media_type}; charset=utf-8"
    return Asset(name, content, media_type, gzipped)


class WebRoutes:
    """The routes of the page; its files are read once, when the first is requested."""

    def __init__(self, handler: RequestHandler, folder: Path = STATIC) -> None:
        self._handler, self._folder = handler, folder
        self._reports: Counter[tuple[str, str]] = Counter()

    @cached_property
    def _assets(self) -> dict[str, Asset]:
        return read_assets(self._folder)

    def routes(self) -> list[Route]:
        """Return the routes. No key is needed for the page, which asks for one itself."""
        serve = self._handler.serve
        page = _keyless(respond=lambda context, query, result: self._page(context.request))
        asset = _keyless(respond=lambda context, query, result: self._asset(context.request))
        report = _keyless(run_async=self._record_report, respond=_no_content)
        return [
            Route(PATH, serve(page), methods=["GET"]),
            Route(f"{PATH}/assets/{{name:path}}", serve(asset), methods=["GET"]),
            Route(CSP_REPORT_PATH, serve(report), methods=["POST"]),
        ]

    def _page(self, request: Request) -> Response:
        found = self._assets.get("index.html")
        if found is None:
            raise HttpError(
                501,
                "missing",
                "this installation has no page: it was built without "
                "secondpass/server/web/static; install a release, or run: make ui",
            )
        # Asked again each time, so that a new release is seen; its assets have other names.
        return _write(request, found, {"cache-control": "no-cache"})

    def _asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        found = self._assets.get(f"assets/{name}")
        if found is None:
            raise HttpError(404, "not found", f"the page has no file {name[:200]!r}")
        caching = {"cache-control": "public, max-age=31536000, immutable"}
        return _write(request, found, caching)

    async def _record_report(self, context: RequestContext, query: None) -> None:
        """Log what the browser kept the page from doing; each violation once."""
        if self._handler.keys is not None:
            # Browsers send no key with a report: anybody could fill the log.
            return
        limits = BodyLimits(_MAX_REPORT_BYTES, 4, "a report")
        content = await raw_bytes(context.request, limits)
        try:
            report = json.loads(content)["csp-report"]
            violated = str(report.get("effective-directive") or report["violated-directive"])
            blocked = str(report.get("blocked-uri", ""))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise HttpError(400, "invalid", "the body is not a CSP report") from None
        violation = (violated[:100], blocked[:200])
        if violation not in self._reports and len(self._reports) >= _MAX_LOGGED_REPORTS:
            return
        self._reports[violation] += 1
        if self._reports[violation] == 1:
            fields = {"directive": violation[0], "blocked": violation[1]}
            _log.warning("the page broke its content security policy", extra={"fields": fields})


def _keyless(**steps: Any) -> Operation[Any, Any]:
    return Operation(
        dialect="ui", fail=default_error, scope=None, keyless=True, read=None, **steps
    )


def _no_content(context: RequestContext, query: Any, result: Any) -> Response:
    return Response(status_code=204)


def _write(request: Request, asset: Asset, caching: dict[str, str]) -> Response:
    headers = {**_HEADERS, **caching, "etag": asset.etag, "vary": "accept-encoding"}
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    content = asset.content
    if asset.gzipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
        content = asset.gzipped
        headers["content-encoding"] = "gzip"
    return Response(content, media_type=asset.media_type, headers=headers)
