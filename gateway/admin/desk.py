"""What handlers get: the `Desk`, which lives as long as the worker, and the `Ask`, one request that was admitted and decoded."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from aiohttp import web

from gateway import errors
from gateway.admin.schema.people import Role
from gateway.admin.shared import Shared
from gateway.admin.tail import Tail
from gateway.catalog import Catalog, Key, Project
from gateway.config import Config
from gateway.explanation import Explained
from gateway.networks import Address
from gateway.providers.provider import Adapter, Endpoint
from gateway.sealing import Sealer
from gateway.store.pool import Connection, Pool

Body = TypeVar("Body")
Query = TypeVar("Query")


class Holder(Protocol):
    """Whoever keeps the catalog current (gateway.refresh)."""

    @property
    def catalog(self) -> Catalog: ...

    async def reached(self, epoch: int, timeout_s: float) -> bool: ...


Explain = Callable[[Project, Key | None, Endpoint, Mapping[str, str], bytes, Address | None], Awaitable[Explained]]
"""What the data plane would do: handed in by `app`, because the admin API never imports the proxy."""


class Desk(msgspec.Struct):
    """`pool` is the admin API's own: a slow report never keeps the heartbeat waiting. `clock` gives epoch seconds."""

    pool: Pool
    holder: Holder
    config: Config
    version: str
    worker_id: str
    tail: Tail
    adapters: Mapping[str, Adapter]
    explain: Explain
    sealer: Sealer | None = None
    shared: Shared = msgspec.field(default_factory=Shared)
    clock: Callable[[], float] = time.time

    @property
    def catalog(self) -> Catalog:
        return self.holder.catalog


class Who(msgspec.Struct, frozen=True):
    """Whose token it is. `name` is what the audit writes down."""

    token_id: str
    name: str
    role: Role
    user_id: str | None = None


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """The body or the query of a route that takes none."""


class Ask(Generic[Body, Query]):
    """One request. `db` is a connection (of a transaction, where the route writes); `path` holds the parts in braces."""

    __slots__ = ("_db", "body", "desk", "entries", "path", "query", "reason", "request", "request_id", "via", "who")

    def __init__(self, desk: Desk, who: Who, request: web.Request, request_id: str, body: Body, query: Query) -> None:
        self.desk = desk
        self.who = who
        self.request = request
        self.request_id = request_id
        self.body = body
        self.query = query
        self.path: dict[str, str] = dict(request.match_info)
        self.reason: str | None = None
        self.via = "api"
        self.entries: list[Any] = []
        """What the audit will say (gateway.admin.audit)."""
        self._db: Connection | None = None

    @property
    def db(self) -> Connection:
        """Raises AssertionError on routes that are declared `db="none"`: they take connections of `desk.pool` themselves."""
        assert self._db is not None, "this route has no connection: it is declared db='none'"
        return self._db

    def give(self, connection: Connection) -> None:
        self._db = connection

    def require_match(self, version: int | str) -> None:
        """If-Match, where it was sent, must name the version that is there. Raises PreconditionFailed."""
        wanted = self.request.headers.get("If-Match")
        if wanted is None or wanted.strip() == "*":
            return
        current = etag(version)
        if current not in (part.strip().removeprefix("W/") for part in wanted.split(",")):
            raise errors.PreconditionFailed(
                f"This was changed meanwhile: it is now version {current}, If-Match said {wanted[:80]}. Read it again, then repeat the change.",
                headers={"ETag": current},
            )


class Reply(msgspec.Struct):
    """An answer with more than its body. Handlers return this, or the bare struct for a 200 without an ETag."""

    body: Any
    status: int = 200
    version: int | str | None = None
    """Becomes the ETag."""
    headers: dict[str, str] = {}


def moment(updated_at: datetime) -> str:
    """A version for rows that count none: when they changed last."""
    return f"{int(updated_at.timestamp() * 1e6):x}"


def etag(version: int | str) -> str:
    return f'"{version}"'
