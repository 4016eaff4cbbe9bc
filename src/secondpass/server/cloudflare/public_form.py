"""What may be said of an endpoint that needs no key."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

Host = Annotated[str, Field(min_length=1, max_length=253)]
Hosts = Annotated[list[Host], Field(max_length=50)]


class Mcp(TypedDict, total=False):
    """The endpoint for agents."""

    disabled: bool
    description: Annotated[str, Field(max_length=2000)]


class Switch(TypedDict, total=False):
    """One of the endpoints, which can be switched off by itself."""

    disabled: bool


class RateLimit(TypedDict, total=False):
    """How many requests a period may have; `period_ms` in milliseconds."""

    requests: Annotated[int, Field(ge=1, le=1_000_000)]
    period_ms: Annotated[int, Field(ge=1000, le=86_400_000)]
    technique: Literal["fixed", "sliding"]


class PublicEndpoint(TypedDict, total=False):
    """The endpoints of an instance or a namespace.

    `authorized_hosts`: whose pages browsers may ask from, all if there are none;
    `instances_allowed`: of a namespace only.
    """

    enabled: bool
    authorized_hosts: Hosts
    custom_domains: Hosts
    default_domain_enabled: bool
    search_endpoint: Switch
    chat_completions_endpoint: Switch
    mcp: Mcp
    rate_limit: RateLimit
    instances_allowed: Annotated[list[str], Field(max_length=10)]


class NamespaceForm(TypedDict, total=False):
    """What may be said of a namespace."""

    name: str
    description: Annotated[str, Field(max_length=256)]
    public_endpoint_params: PublicEndpoint
