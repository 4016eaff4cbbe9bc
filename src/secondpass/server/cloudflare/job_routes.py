"""Endpoints of indexing jobs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from secondpass.server.cloudflare.context import ApiRequest
from secondpass.server.cloudflare.responses import list_page, not_found, ok
from secondpass.server.cloudflare.schemas import Schema
from secondpass.server.http_errors import invalid


class _CreateBody(TypedDict, total=False):
    description: Annotated[str, Field(max_length=1000)]


class _UpdateBody(TypedDict, total=False):
    action: Literal["cancel"]


_CREATE, _UPDATE = Schema(_CreateBody), Schema(_UpdateBody)


def create_job(request: ApiRequest) -> Any:
    """Start a job that indexes the failed and outdated items again."""
    instance = request.instance
    description = _CREATE.parse(request.body).get("description")
    job_id = instance.jobs.create(description, everything=False)
    request.app.worker.schedule(instance)
    return ok(instance.jobs.get(job_id))


def list_jobs(request: ApiRequest) -> Any:
    """Return a page of the jobs, newest first."""
    page, size = request.page()
    rows, total = request.instance.jobs.list_jobs(start=(page - 1) * size, count=size)
    return list_page(rows, page=page, per_page=size, total=total)


def get_job(request: ApiRequest) -> Any:
    """Return one job."""
    return ok(_find_job(request))


def update_job(request: ApiRequest) -> Any:
    """Cancel a job; the item that is being indexed is finished."""
    if "action" not in _UPDATE.parse(request.body):
        raise invalid("action is missing: it must be cancel")
    job = _find_job(request)
    request.instance.jobs.cancel(job["id"])
    return ok(_find_job(request))


def list_job_logs(request: ApiRequest) -> Any:
    """Return a page of the log of a job."""
    job = _find_job(request)
    page, size = request.page()
    return ok(request.instance.jobs.read_log(job["id"], start=(page - 1) * size, count=size))


def _find_job(request: ApiRequest) -> dict[str, Any]:
    """Return the job in the path; raises HttpError (404)."""
    job_id = request.path_param("job") or ""
    job = request.instance.jobs.get(job_id)
    if job is None:
        raise not_found(f"job {job_id!r}")
    return job
