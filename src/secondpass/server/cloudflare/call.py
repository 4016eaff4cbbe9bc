"""A request to this dialect: what its path, its query and its body say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from secondpass.errors import SecondpassError
from secondpass.inference.unicode import clean
from secondpass.server.cloudflare.checking import whole
from secondpass.server.cloudflare.context import Hub
from secondpass.server.cloudflare.instance import Instance
from secondpass.server.cloudflare.item import Item
from secondpass.server.cloudflare.names import DEFAULT
from secondpass.server.cloudflare.responses import listed, missing
from secondpass.server.exchange import Exchange
from secondpass.server.request_handler import Answering, Work

Answer = Callable[["Call"], Any]
"""What answers a call, in a thread: it may block."""
DIALECT = "cloudflare"
_PER_PAGE = 20
_MOST_PER_PAGE = 100


@dataclass(slots=True)
class Call:
    """One request; what its properties look up blocks, and raises Problem (404)."""

    hub: Hub
    exchange: Exchange
    body: Mapping[str, Any] = field(default_factory=dict)
    _instance: Instance | None = None

    @property
    def tenant(self) -> str:
        """Whose instances are meant; the account in the path tells nothing."""
        return self.exchange.caller.tenant

    @property
    def query(self) -> Mapping[str, str]:
        """The query string."""
        return {k: clean(v) for k, v in self.exchange.request.query_params.items()}

    def named(self, part: str) -> str | None:
        """Return a part of the path, or None where the path has none of that name."""
        found: str | None = self.exchange.request.path_params.get(part)
        return None if found is None else clean(found)

    @property
    def namespace(self) -> str:
        """The namespace in the path, which must be there; the default one without any."""
        name = self.named("namespace")
        if name is None:
            return DEFAULT
        return str(self.hub.book.get(self.tenant, name)["name"])

    @property
    def instance(self) -> Instance:
        """The instance in the path."""
        if self._instance is None:
            name = self.named("instance") or ""
            self._instance = self.hub.instance(self.tenant, self.namespace, name)
        return self._instance

    def answered(self, answer: Answer) -> Any:
        """Return the answer; what fails as the instance is being removed is a 404."""
        try:
            return answer(self)
        except SecondpassError:
            if self._instance is not None and self._instance.gone:
                raise missing(f"instance {self._instance.name!r}") from None
            raise

    def item(self, instance: Instance) -> Item:
        """Return the file in the path."""
        number = self.named("item") or ""
        found = instance.items.get(number)
        if found is None:
            raise missing(f"item {number!r}")
        return found

    def page(self, *, most: int = _MOST_PER_PAGE) -> tuple[int, int]:
        """Return which page of a list is wanted, from 1, and how long pages are."""
        page = whole(self.query, "page", 1, most=10**9)
        return page, whole(self.query, "per_page", _PER_PAGE, most=most)

    def paged(self, rows: list[Any]) -> dict[str, Any]:
        """Return the page of a list that is wanted; beyond the last one it is empty."""
        page, size = self.page()
        some = rows[(page - 1) * size : page * size]
        return listed(some, page=page, per_page=size, total=len(rows))


def work_of(
    answering: Answering, hub: Hub, answer: Answer, *, reads: bool, writes: bool
) -> Work:
    """Return what answers exchanges by a function that blocks.

    `reads`: whether the body is one of JSON; `writes`: whether it may take long.
    """

    async def work(exchange: Exchange) -> Any:
        call = Call(hub, exchange)
        if reads:
            call.body = (await answering.body(exchange)).found
        timeout = answering.service.settings.write_timeout if writes else None
        return await answering.done(exchange, lambda: call.answered(answer), timeout=timeout)

    return work
