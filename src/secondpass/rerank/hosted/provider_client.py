"""An HTTP client for one provider: retries, a deadline, and errors that say what failed."""

from __future__ import annotations

from collections.abc import Mapping

from secondpass.errors import ProviderError, ProviderTimeoutError
from secondpass.remote.client import (
    HttpClient,
    HttpRequest,
    HttpResponse,
    RequestFailedError,
    Sign,
)
from secondpass.remote.endpoint import ApiKey, redact_url
from secondpass.remote.retry import (
    AttemptFailedError,
    Deadline,
    RetryPolicy,
    is_retryable,
    retry,
)
from secondpass.rerank.hosted.provider import error_message

MAX_RESPONSE_BYTES = 64 * 2**20
CONNECT_SECONDS = 5.0
_MAX_MESSAGE = 300


class ProviderClient:
    """Sends the requests of one hosted reranker, from the background loop only.

    At most `concurrency` requests run at a time; `attempt_timeout` is in seconds; `sign` makes
    the headers that authenticate, None for a bearer token.
    """

    def __init__(
        self,
        title: str,
        base_url: str,
        key: ApiKey,
        *,
        headers: Mapping[str, str],
        retries: RetryPolicy,
        attempt_timeout: float,
        concurrency: int,
        sign: Sign | None = None,
    ) -> None:
        self.title, self.base_url, self.key = title, base_url, key
        self._retries, self._attempt_timeout = retries, attempt_timeout
        self._http = HttpClient(
            base_url,
            key,
            purpose="A hosted reranker",
            extra="hosted",
            max_bytes=MAX_RESPONSE_BYTES,
            concurrency=concurrency,
            connect_timeout=CONNECT_SECONDS,
            headers={"accept": "application/json", **headers},
            sign=sign,
        )

    async def send(self, request: HttpRequest, deadline: Deadline) -> HttpResponse:
        """Return the JSON response with status 200, after as many attempts as it takes.

        The caller cancels what runs past the deadline. Raises `ProviderError`.
        """
        return await retry(lambda: self._attempt(request), self._retries, deadline)

    async def _attempt(self, request: HttpRequest) -> HttpResponse:
        seconds = self._attempt_timeout
        try:
            response = await self._http.send(request, idle_timeout=seconds, timeout=seconds)
        except RequestFailedError as failed:
            raise AttemptFailedError(self._failure(request, failed)) from None
        if response.status != 200:
            raise AttemptFailedError(self._refusal(request, response), response.headers)
        try:
            _ = response.body
        except ValueError as error:
            raise AttemptFailedError(self.unusable_response(request, str(error))) from None
        return response

    def _failure(self, request: HttpRequest, failed: RequestFailedError) -> ProviderError:
        reason = self.key.redact(failed.reason)
        if failed.timed_out:
            return ProviderTimeoutError(
                f"{self.title} took too long",
                where=self._shown_url(request),
                why=reason,
                fix=self._http.describe_proxy(),
            )
        if failed.status is not None:
            return self.unusable_response(request, reason, status=failed.status)
        return ProviderError(
            f"{self.title} could not be reached",
            where=self._shown_url(request),
            why=reason,
            fix=self._http.describe_proxy(),
            retryable=failed.retryable,
        )

    def _refusal(self, request: HttpRequest, response: HttpResponse) -> ProviderError:
        status = response.status
        try:
            message = error_message(response.body)
        except ValueError:
            message = response.content[:_MAX_MESSAGE].decode("utf-8", "replace")
        message = " ".join((message or "").split())[:_MAX_MESSAGE]
        fix = _FIXES.get(status)
        if 300 <= status < 400:
            fix = "Set base_url to the URL that it redirects to: a key is not sent elsewhere."
        proxy = self._http.describe_proxy(status)
        if proxy is not None:
            fix = proxy if fix is None else f"{fix} {proxy}"
        return ProviderError(
            f"{self.title} {'refused the request' if 400 <= status < 500 else 'failed'}",
            where=self._shown_url(request),
            why=f"status {status}" + (f", “{self.key.redact(message)}”" if message else ""),
            fix=fix,
            status=status,
            retryable=is_retryable(status, response.headers),
        )

    def unusable_response(
        self, request: HttpRequest, reason: str, *, status: int = 200
    ) -> ProviderError:
        """Return the error for a response whose body cannot be used."""
        return ProviderError(
            f"{self.title} gave no usable response",
            where=self._shown_url(request),
            why=self.key.redact(reason),
            status=status,
        )

    def _shown_url(self, request: HttpRequest) -> str:
        return redact_url(self.base_url + request.path)


_FIXES = {
    401: "Check the key.",
    402: "Check the account's balance.",
    403: "Check what the key is allowed to do.",
    404: "Check the model's name and the base URL.",
    413: "Give a smaller batch.",
    429: "Lower concurrency, or ask the provider for a higher limit.",
}
