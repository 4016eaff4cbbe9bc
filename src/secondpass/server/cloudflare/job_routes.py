"""The endpoints for jobs, and the list of tokens that nobody needs here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from secondpass.server.cloudflare.context import CloudflareCall
from secondpass.server.cloudflare.instance import Instance
from secondpass.server.cloudflare.responses import listed, missing, ok
from secondpass.server.cloudflare.schemas import Form
from secondpass.server.http_errors import HttpError, invalid


class _New(TypedDict, total=False):
    description: Annotated[str, Field(max_length=1000)]


class _Change(TypedDict, total=False):
    action: Literal["cancel"]


_NEW, _CHANGE = Form(_New), Form(_Change)


def create(call: CloudflareCall) -> Any:
    """Begin a job: files that failed or are outdated are indexed again."""
    instance = call.instance
    number = instance.jobs.create(_NEW.read(call.body).get("description"), everything=False)
    call.hub.worker.wake(instance)
    return ok(_job(instance, number))


def list_them(call: CloudflareCall) -> Any:
    """Return a page of the jobs, the newest first."""
    page, size = call.page()
    rows, total = call.instance.jobs.listed(start=(page - 1) * size, count=size)
    return listed(rows, page=page, per_page=size, total=total)


def get(call: CloudflareCall) -> Any:
    """Return one job."""
    return ok(_job(call.instance, call.named("job") or ""))


def update(call: CloudflareCall) -> Any:
    """End a job; the file that is under way is finished."""
    if "action" not in _CHANGE.read(call.body):
        raise invalid("action is missing: it must be cancel")
    instance, number = call.instance, call.named("job") or ""
    _job(instance, number)
    instance.jobs.cancel(number)
    return ok(_job(instance, number))


def logs(call: CloudflareCall) -> Any:
    """Return a page of what a job has noted."""
    instance, number = call.instance, call.named("job") or ""
    _job(instance, number)
    page, size = call.page()
    rows = instance.jobs.log(number, start=(page - 1) * size, count=size)
    return ok(rows)


def _job(instance: Instance, number: str) -> dict[str, Any]:
    found = instance.jobs.get(number)
    if found is None:
        raise missing(f"job {number!r}")
    return found


def list_tokens(call: CloudflareCall) -> Any:
    """Return no tokens: nothing here needs one to read its data."""
    return call.paged([])


def refuse_token(call: CloudflareCall) -> Any:
    """Raise Problem: 404 for a token, 400 for making one."""
    name = call.named("token")
    if name is not None:
        raise missing(f"token {name!r}")
    raise HttpError(400, "invalid", "service tokens are not needed here, so none are made")
