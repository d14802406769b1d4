"""The facts of one call, and what the steps need of a server and of the worker around them.

The steps know bytes, a header look-up and a small writer, never the HTTP server's own classes, so that another server can stand
in front of them. `Call` collects facts for the log; it is never how one step tells the next what to do.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from gateway import clock
from gateway.capture import Captured, Outcome, Ticket
from gateway.catalog import Catalog, Key, Project, Target
from gateway.health import Health
from gateway.ledger import Price, Usage, UsageSource
from gateway.limits.limits import Hold, Limits
from gateway.limits.pools import Stood
from gateway.metrics import Metrics
from gateway.networks import Networks
from gateway.providers.provider import Adapter, Endpoint
from gateway.proxy.choose import Route, Routes
from gateway.records import NOT_TRIED, AttemptRecord, EndReason, Final, Record
from gateway.reply import Reply
from gateway.upstream import Upstream

if TYPE_CHECKING:
    from gateway.proxy.forward import Relay
    from gateway.proxy.heading import Heading

_numbers = iter(range(1, 1 << 62))


class Caller(Protocol):
    """One request as a server hands it over, and the way back. Writes are synchronous and never block: bytes go to the
    transport's buffer, and `is_paused` says that it is full."""

    digest: bytes | None
    heading: Heading | None
    """What its head says, where it has been read."""
    is_gone: bool
    is_paused: bool
    keep_alive: bool
    """False: the answer says `Connection: close`."""
    is_http_10: bool
    on_gone: Callable[[], None] | None
    on_cut: Callable[[], None] | None
    """Called when the gateway's own shutdown can wait no longer."""
    on_resume: Callable[[bool], None] | None
    """Called with True when writing must pause, with False when it may go on."""

    def header(self, name: str) -> str | None:
        """A request header's value; `name` in lower case."""
        ...

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises errors.TooLarge (by its length, before a byte is read), errors.BadRequest (slow or broken), ConnectionError."""
        ...

    def write(self, data: bytes) -> None: ...

    @property
    def address(self) -> str | None:
        """The connection's peer; None when that has none."""
        ...

    @property
    def forwarded_for(self) -> str:
        """Every X-Forwarded-For of the request, in their order, as one list: some proxies add to the header, some add a second one."""
        ...


class Journal(Protocol):
    def append(self, record: Record) -> None: ...

    async def synced(self) -> None: ...


class LateKey(msgspec.Struct):
    """A key that no longer works and is still used: how often, and when last (epoch seconds)."""

    calls: int = 0
    last: float = 0.0


class Plane:
    """What a worker's calls share. Built once in `app`."""

    __slots__ = (
        "adapters", "callers", "capture", "cors_origins", "durable", "find_key", "force_openai_failover", "health", "holder", "idempotency",
        "is_draining", "journal", "late_keys", "limits", "max_body", "metrics", "on_quiet", "on_unrecorded", "relays", "routes", "running_on",
        "trusted_proxies", "uncounting", "upstream", "version",
    )  # fmt: skip

    def __init__(
        self,
        *,
        holder: CatalogHolder,
        find_key: Callable[[bytes], Awaitable[Key | None]],
        limits: Limits,
        journal: Journal,
        upstream: Upstream,
        health: Health,
        metrics: Metrics,
        adapters: dict[str, Adapter],
        max_body: int,
        version: str,
        force_openai_failover: bool = False,
        cors_origins: tuple[str, ...] = (),
        durable: bool = False,
        on_unrecorded: Callable[[Final], None] | None = None,
        idempotency: Idempotency | None = None,
        capture: Capture | None = None,
        on_quiet: Callable[[], object] = bool,
        trusted_proxies: Networks | None = None,
    ) -> None:
        self.holder = holder
        self.find_key = find_key
        self.limits = limits
        self.journal = journal
        self.late_keys: dict[str, LateKey] = {}
        self.upstream = upstream
        self.health = health
        self.metrics = metrics
        self.adapters = adapters
        self.max_body = max_body
        self.version = version
        self.force_openai_failover = force_openai_failover
        self.cors_origins = cors_origins
        self.durable = durable
        self.on_unrecorded = on_unrecorded
        self.idempotency = idempotency
        self.capture = capture
        self.callers: set[Caller] = set()
        """Whose calls are under way."""
        self.on_quiet = on_quiet
        """Called when the last of them is over while the gateway stops."""
        self.trusted_proxies = trusted_proxies
        self.is_draining = False
        self.relays: set[Relay] = set()
        self.routes = Routes()
        self.uncounting: set[str] = set()
        """Ids of providers that refuse `stream_options`, learnt from their refusals."""
        self.running_on = 0
        """Calls whose client has left and whose answer is read to its end all the same."""


class CatalogHolder(Protocol):
    catalog: Catalog


class Capture(Protocol):
    def keep(self, ticket: Ticket, captured: Captured) -> Outcome: ...


class Replay(Protocol):
    """An Idempotency-Key's entry: `stored` is a finished answer, else this call owns the key and must `finish` or `abandon`."""

    stored: tuple[int, str, bytes] | None
    """Status, content type and body."""
    max_size: int
    """A larger answer is not kept."""

    async def finish(self, status: int, content_type: str, body: bytes) -> None: ...

    async def abandon(self) -> None: ...


class Idempotency(Protocol):
    async def begin(self, key_id: str, idempotency_key: str, endpoint: str, body: bytes, request_id: str) -> Replay:
        """Raises errors.Conflict (in flight) or errors.Unprocessable (another body)."""
        ...


class Call:
    """One client request, fact by fact. Made once per call on the hot path. No msgspec.Struct: setting a fact takes 60 instructions of a
    slotted class, 240 of a struct, and some forty are set."""

    __slots__ = (
        "answered_by", "attempts", "body", "call_id", "captured", "cost_nusd", "created_at", "end_reason", "endpoint", "error_code",
        "exchanged_ns", "finish", "first_byte_ns", "hold", "is_cut", "is_gone", "is_recorded", "key", "own_ms", "price", "project",
        "prompt_estimate", "prompt_guess", "refusal", "relayed", "reply", "request_id", "requested_model", "route", "runs_on", "standing",
        "started_ns", "status", "stream", "tags", "target", "tier", "traceparent", "upstream_ns", "usage", "usage_source", "user",
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint, request_id: str = "") -> None:
        """`request_id`: the caller's own, else one is made of the call's id."""
        self.started_ns = time.perf_counter_ns()
        self.created_at = int(clock.now() * 1e6) / 1e6  # round() goes by way of a text: 1 µs
        self.call_id, number = new_ids()
        self.request_id = request_id or number
        self.endpoint: Endpoint = endpoint
        self.key: Key | None = None
        self.project: Project | None = None
        self.tier: str | None = None
        self.requested_model: str | None = None
        self.stream = False
        self.user: str | None = None
        self.tags: list[str] | None = None
        self.traceparent: str | None = None
        self.prompt_estimate = 0
        """Prompt tokens from above, for holds."""
        self.body = b""
        """The request, for an estimate if the provider counts nothing."""
        self.prompt_guess: int | None = None
        """That estimate, once it was needed."""
        self.attempts: list[AttemptRecord] = []
        self.answered_by: tuple[str, str] | None = None
        """Provider's name and the model's id."""
        self.status = 0
        self.error_code: str | None = None
        self.end_reason: EndReason = "complete"
        self.usage: Usage | None = None
        self.usage_source: UsageSource = "none"
        self.cost_nusd: int | None = None
        self.price: Price | None = None
        self.hold: Hold | None = None
        self.first_byte_ns = 0
        self.upstream_ns = 0
        """Time spent waiting for upstream."""
        self.exchanged_ns = 0
        """When the last attempt's waiting was counted: what is relayed of a stream is waited for from there on."""
        self.captured: Captured | None = None
        """Its bodies, where the project captures them."""
        self.finish: str | None = None
        self.route: Route | None = None
        self.standing: list[Stood] | None = None
        """The limits that count the call, as they stood when it was let through or refused."""
        self.refusal: str | None = None
        """What we told the caller instead of an answer."""
        self.relayed = ""
        """Header lines of the provider's that go on to the client."""
        self.reply: Reply | None = None
        self.target: Target | None = None
        """The target that has been asked and has not failed."""
        self.is_gone = False
        self.runs_on = False
        """The client has left, and upstream is read to its end all the same."""
        self.is_cut = False
        """Our own shutdown has ended it."""
        self.is_recorded = False
        self.own_ms = 0.0
        """`overhead_ms` as it was recorded: the answer's header says the same."""

    def elapsed_ms(self) -> float:
        return ms(time.perf_counter_ns() - self.started_ns)

    def overhead_ms(self) -> float:
        """Our own part: everything but the waiting for upstream. So far, or what the record says."""
        if self.is_recorded:
            return self.own_ms
        return ms(max(0, time.perf_counter_ns() - self.started_ns - self.upstream_ns))

    def tried(self) -> int:
        """Attempts that reached for a provider; a resting target was none."""
        tried = 0
        for attempt in self.attempts:  # a generator costs three times as much for the one attempt of most calls
            if attempt.failure not in NOT_TRIED:
                tried += 1
        return tried


def ms(ns: int) -> float:
    """Milliseconds, with whole microseconds: rounding a float costs twice as much."""
    return ns // 1000 / 1000


def new_call_id() -> str:
    return new_ids()[0]


class _Ids:
    """What all ids of this worker have in common, for the next 16 million of them."""

    high = -1
    call = request = ""
    worker = secrets.token_hex(4)
    tail = secrets.token_hex(3)


def new_ids() -> tuple[str, str]:
    """A call's id and a request id made of it. The call's is a UUID's text: version 8, a random part per worker and a number. Both cost
    half a microsecond, uuid4 as text 2.6."""
    number = next(_numbers)
    if number >> 24 != _Ids.high:
        _Ids.high = number >> 24
        high = f"{_Ids.high:010x}"
        _Ids.call = f"{_Ids.worker}-{high[:4]}-8{high[4:7]}-8{high[7:10]}-"
        _Ids.request = "req_" + _Ids.call.replace("-", "")
    end = (number & 0xFFFFFF).to_bytes(3, "big").hex() + _Ids.tail
    return _Ids.call + end, _Ids.request + end
