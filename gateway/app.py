"""The composition root of a worker: what lives, in the order it starts; shutdown is the reverse."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from gateway import config as configuration
from gateway import exposition, ids, plain, upkeep
from gateway.admin import dispatch
from gateway.admin.desk import Desk
from gateway.admin.routes import ROUTES
from gateway.admin.tail import Tail
from gateway.alerts import Alerts
from gateway.build import Surroundings
from gateway.capture import Capture
from gateway.config import Config
from gateway.descriptors import raise_limit
from gateway.front import Serve, Server, require_fast_parser
from gateway.health import Health
from gateway.journal import Journal
from gateway.limits.idempotency import PostgresIdempotency
from gateway.limits.pools import CoordinatorAway
from gateway.limits.postgres import CHANNEL as SHARES_CHANNEL
from gateway.limits.postgres import PostgresCoordinator
from gateway.limits.shares import Shares
from gateway.logbook import Logbook
from gateway.metrics import Metrics
from gateway.providers import anthropic, google, openai
from gateway.providers.provider import Adapter, Endpoint
from gateway.proxy.call import Caller, LateKey, Plane
from gateway.proxy.explain import explain
from gateway.proxy.serve import serve
from gateway.refresh import Refresh
from gateway.sealing import Sealer, SealError, key_of
from gateway.secret import Secret
from gateway.shortcut import Shortcut
from gateway.store import payloads, workers
from gateway.store.pool import TROUBLE, connect, open_pool
from gateway.store.providers import CIRCUITS
from gateway.store.writer import PostgresWriter
from gateway.upstream import Upstream
from gateway.version import VERSION

if TYPE_CHECKING:
    from gateway.limits.redis import RedisCoordinator

log = logging.getLogger(__name__)

HEARTBEAT_S = 2.0
FLUSH_S = 10.0
HURRIED_S = 1.0
CAPTURE_FLUSH_S = 2.0
ADMIN_CONNECTIONS = 4
ADAPTERS: dict[str, Adapter] = {"openai": openai.ADAPTER, "google": google.ADAPTER, "anthropic": anthropic.ADAPTER}
CALL_PATHS: dict[str, Endpoint] = {
    "/v1/chat/completions": "chat",
    "/chat/completions": "chat",
    "/v1/embeddings": "embeddings",
    "/embeddings": "embeddings",
}


class Worker:
    """One process's share of the gateway."""

    def __init__(self, config: Config, url: Secret, sandbox_url: str | None) -> None:
        self.config = config
        self.url = url
        self.id = ids.new("wrk")
        self.machine = socket.gethostname()
        self.shortcuts: set[Shortcut] = set()
        self.lame_duck_s = config.lame_duck_s
        self._no_call = asyncio.Event()
        self.metrics = Metrics()
        self.health = Health()
        self.upstream = Upstream(config.max_answer, config.egress)
        self.stopping = asyncio.Event()
        self.hurry = asyncio.Event()
        self.has_failed = False
        self._tasks: list[asyncio.Task[None]] = []
        sealing_key = key_of(config.home, config.secret_key, may_create=False)
        self.sealer = Sealer(sealing_key) if sealing_key else None
        self.refresh = Refresh(url, surroundings(config, self.sealer, sandbox_url), config.home, self.sealer)

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Starts everything, serves until told to stop, and takes it all down again."""
        async with contextlib.AsyncExitStack() as lives:
            pool = await open_pool(self.url)
            lives.push_async_callback(_terminate, pool)
            admin_pool = await open_pool(self.url, ADMIN_CONNECTIONS)
            lives.push_async_callback(_terminate, admin_pool)
            self.tail = Tail(lambda: connect(self.url, "tail"))
            self.desk = Desk(
                admin_pool,
                self.refresh,
                self.config,
                VERSION,
                self.id,
                self.tail,
                ADAPTERS,
                lambda *asked: explain(self.plane, *asked),
                self.sealer,
            )
            journal = Journal(self.config.home / "journal", self.id, sync=self.config.durability == "power")
            lives.callback(journal.close)
            writer = PostgresWriter(self.url, VERSION)
            lives.push_async_callback(writer.close)
            shares = self._share_limits(lives)  # before the catalog is loaded: it listens for both
            self.refresh.listeners[CIRCUITS] = self.health.close
            await self.refresh.start()
            lives.push_async_callback(self.refresh.close)
            lives.callback(self.upstream.close)
            with contextlib.suppress(*TROUBLE):
                async with asyncio.timeout(2), pool.acquire() as connection:
                    await workers.read_clock(connection)
            idempotency = PostgresIdempotency(pool, self.id)
            logbook = Logbook(journal, self.config.home / "journal", writer, self.metrics, shares.ingested)
            capture = Capture(self.sealer, self.metrics, functools.partial(payloads.keep, pool))
            self.plane = Plane(
                holder=self.refresh,
                find_key=self.refresh.find_key,
                limits=shares,
                journal=journal,
                upstream=self.upstream,
                health=self.health,
                metrics=self.metrics,
                adapters=ADAPTERS,
                max_body=self.config.max_body,
                version=VERSION,
                force_openai_failover=self.config.force_openai_failover,
                cors_origins=self.config.dashboard_origins,
                durable=self.config.durability == "power",
                on_unrecorded=logbook.keep,
                idempotency=idempotency,
                capture=capture,
                on_quiet=self._no_call.set,
                trusted_proxies=self.config.trusted_proxies,
            )
            self.logbook = logbook
            self.backlog = upkeep.Backlog(journal, logbook)
            is_kept = await upkeep.first_days(pool, self.refresh)
            self._start("catalog", self.refresh.run())
            self._start("logbook", logbook.run())
            self._start("capture", capture.run())
            self._start("shares", shares.run())
            self._start("idempotency", idempotency.run())
            self._start("heartbeat", self._beat(pool))
            alerts = Alerts(lambda: self.refresh.catalog.settings.alert_webhook, self.config.alert_secret, self.metrics)
            self._start("alerts", alerts.run(pool))
            self._start("tail", self.tail.run())
            self._start("housekeeping", upkeep.keep_house(pool, self.refresh, is_kept))
            self._start("books", upkeep.check_books(pool, self.metrics, self.id))
            if not isinstance(self.rates, PostgresCoordinator):
                self._start("wanted", _return_wanted(self.rates, shares))
            lives.push_async_callback(self._stop_tasks)
            async with self._listening() as sites:
                gc.collect()
                gc.freeze()  # a full collection of a loaded catalog pauses for 26-29 ms; what lives from the start is left out of it
                on_ready()
                await self.stopping.wait()
                await self._drain(sites)
            await self._stop_tasks()
            if not await logbook.flush(HURRIED_S if self.hurry.is_set() else FLUSH_S):
                log.warning("records are left in the journal; the next worker carries them over")
            await capture.flush(CAPTURE_FLUSH_S)
            await shares.close()
            with contextlib.suppress(*TROUBLE):
                await asyncio.wait_for(workers.stopped(pool, self.id), 2)
            (self.config.home / "run" / f"{self.id}.json").touch()

    def _share_limits(self, lives: contextlib.AsyncExitStack) -> Shares:
        self.money = PostgresCoordinator(self.url, self.id)
        self.rates: PostgresCoordinator | RedisCoordinator
        if self.config.redis_url:
            from gateway.limits.redis import RedisCoordinator  # 22 MB of client library, for those who have a Redis

            self.rates = RedisCoordinator(self.config.redis_url, self.id)
        else:
            self.rates = PostgresCoordinator(self.url, self.id)
        for coordinator in (self.money, self.rates):
            lives.push_async_callback(coordinator.close)
        shares = self.shares = Shares(self.money, self.rates, self.metrics, lambda: self.refresh.catalog.settings)
        self.refresh.on_change.append(lambda _: shares.catalog_changed())
        self.refresh.listeners[SHARES_CHANNEL] = self._on_wanted(shares)
        return shares

    def stop(self) -> None:
        """The first signal drains, the second hurries."""
        if self.stopping.is_set():
            self.hurry.set()
        self.stopping.set()

    def orphaned(self) -> None:
        """The parent is gone: nobody would replace us or pass a signal on. The port is freed at once for whoever starts anew; what is
        under way may finish."""
        log.error("the parent is gone; this worker finishes its calls and ends")
        self.interrupt()

    def interrupt(self) -> None:
        """Ctrl-C: no balancer is waiting to notice, so the listeners close at once; calls may still finish."""
        self.lame_duck_s = 0.0
        self.stop()

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[list[web.BaseSite]]:
        """The gateway's listener, and the admin API on the same one or on its own."""
        config = self.config
        gateway = self._application()
        calls: dict[str, Serve] = {
            path: functools.partial(serve, self.plane, endpoint=of) for path, of in CALL_PATHS.items()
        }
        plain.add_routes(gateway)
        sockets = [(gateway, calls, listener(config.host, config.port))]
        if config.admin_port is None:
            self.admin_app = gateway
        else:
            self.admin_app = self._application()
            self.admin_app.router.add_get("/health", plain.health)
            sockets.append((self.admin_app, {}, listener(config.admin_host, config.admin_port)))
        dispatch.add_routes(self.admin_app, self.desk, ROUTES)
        async with contextlib.AsyncExitStack() as runners:
            sites: list[web.BaseSite] = []
            for app, routes, opened in sockets:
                runner = Runner(app, functools.partial(Server, app, config, routes, self.shortcuts))
                await runner.setup()
                runners.push_async_callback(runner.cleanup)
                sites.append(web.SockSite(runner, opened, backlog=1024))
                await sites[-1].start()
            yield sites

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[plain.in_our_shape], client_max_size=self.config.max_body)
        app[plain.PLANE] = self.plane
        app[plain.VERSION] = VERSION
        app[plain.READINESS] = self._readiness
        app[plain.NUMBERS] = self._numbers
        return app

    async def _drain(self, sites: list[web.BaseSite]) -> None:
        """Not ready at once; the listeners stay a moment for balancers that have not noticed; calls may finish until the deadline."""
        self.plane.is_draining = True
        self.tail.end()
        await self._hurried(self.lame_duck_s)
        for site in sites:
            await site.stop()
        if not self.plane.callers:
            self._no_call.set()
        else:
            self._no_call.clear()
        await self._hurried(self.config.drain_s, self._no_call)
        for caller in list(self.plane.callers):
            if caller.on_cut is not None:
                caller.on_cut()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HURRIED_S):
                await self._no_call.wait()

    async def _hurried(self, seconds: float, event: asyncio.Event | None = None) -> None:
        """At most `seconds`, and no longer than until the event, or the second signal."""
        awaited = [asyncio.create_task(one.wait()) for one in (self.hurry, event) if one is not None]
        await asyncio.wait(awaited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in awaited:
            task.cancel()

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A background task never ends by itself: if one does, the worker goes down and is replaced."""
        if task.cancelled() or self.stopping.is_set():
            return
        log.error("the task %s ended", task.get_name(), exc_info=task.exception())
        self.has_failed = True
        self.stop()

    async def _stop_tasks(self) -> None:
        """Asked again until all have ended: a cancelled statement may raise a connection's error in place of the cancellation, which a
        task waits out like any other."""
        waiting = {task for task in self._tasks if not task.done()}
        while waiting:
            for task in waiting:
                task.cancel()
            _, waiting = await asyncio.wait(waiting, timeout=0.5)
        self._tasks.clear()

    def _on_wanted(self, shares: Shares) -> Callable[[str], None]:
        def wanted(payload: str) -> None:
            worker, kind, limit_id = payload.split("|", 2)
            if worker != self.id:
                task = asyncio.create_task(shares.return_wanted(kind, limit_id), name="return shares")
                self._given.add(task)
                task.add_done_callback(self._given.discard)

        self._given: set[asyncio.Task[None]] = set()
        return wanted

    async def _beat(self, pool: Any) -> None:
        """Heartbeat, numbers for /metrics, idle upstream connections."""
        since: dict[Caller, float] = {}
        while True:
            now = time.monotonic()
            since = {caller: since.get(caller, now) for caller in self.plane.callers}
            self.upstream.sweep()
            await asyncio.to_thread(exposition.leave, self.config.home / "run", self._mine())
            state = {
                "in_flight": len(self.plane.callers),
                "streams": len(self.plane.relays),
                "oldest_s": round(now - min(since.values(), default=now), 1),
                "targets": self.health.report(now),
                "journal": self.backlog.report(len(self.plane.callers)),
                "late_keys": self._late_keys(),
                "budgets": self.shares.budgets_in_use(),
            }
            with contextlib.suppress(*TROUBLE):
                async with asyncio.timeout(HEARTBEAT_S), pool.acquire() as connection:
                    text = msgspec.json.encode(state).decode()
                    self.shares.workers = await workers.beat(
                        connection, self.id, self.machine, os.getpid(), VERSION, text
                    )
            await asyncio.sleep(HEARTBEAT_S)

    def _late_keys(self) -> dict[str, LateKey]:
        """Of the last hour."""
        late, horizon = self.plane.late_keys, time.time() - 3600
        for key_id in [key_id for key_id, one in late.items() if one.last < horizon]:
            del late[key_id]
        return late

    def _readiness(self) -> tuple[bool, dict[str, str]]:
        components = {
            "catalog": "ok" if self.refresh.catalog.complete else "missing",
            "database": "ok" if self.refresh.is_connected else "away",
            "logbook": "ok" if self.logbook.is_healthy else "waiting for the database",
        }
        return self.refresh.catalog.complete, components

    def _mine(self) -> exposition.Numbers:
        gauges: dict[str, float] = {
            "calls_in_flight": len(self.plane.callers),
            "streams_open": len(self.plane.relays),
            **self.shares.held(),
        }
        for busy, resting in self.upstream.counts.values():
            gauges["upstream_connections_busy"] = gauges.get("upstream_connections_busy", 0) + busy
            gauges["upstream_connections_idle"] = gauges.get("upstream_connections_idle", 0) + resting
        return exposition.numbers(self.id, self.metrics, {name: float(value) for name, value in gauges.items()})

    def _numbers(self) -> list[exposition.Numbers]:
        return exposition.gather(self.config.home / "run", self._mine())


class Runner(web.AppRunner):
    """Runs the application behind our own server."""

    def __init__(self, app: web.Application, make_server: Callable[[], Server]) -> None:
        super().__init__(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        self._make_ours = make_server

    async def _make_server(self) -> web.Server:
        await super()._make_server()
        return self._make_ours()


def surroundings(config: Config, sealer: Sealer | None, sandbox_url: str | None) -> Surroundings:
    def open_sealed(sealed: bytes, what: str) -> bytes | None:
        try:
            return sealer.open(sealed, what) if sealer else None
        except SealError as error:
            log.warning("%s", error)
            return None

    def default_of(name: str) -> str | None:
        variable = configuration.BY_NAME.get(name)
        return variable.default if variable else None

    return Surroundings(lambda name: config.environment.get(name) or None, default_of, open_sealed, sandbox_url)


def listener(host: str, port: int) -> socket.socket:
    """A socket that shares its port with the other workers."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # TCP is named: only then does asyncio set TCP_NODELAY on what comes in
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((host, port))
    made.setblocking(False)
    return made


async def _return_wanted(rates: RedisCoordinator, shares: Shares) -> None:
    while True:
        try:
            async for kind, limit_id in rates.wanted():
                await shares.return_wanted(kind, limit_id)
        except CoordinatorAway:
            await asyncio.sleep(1)


async def _terminate(pool: Any) -> None:
    pool.terminate()


def run_worker(
    config: Config, *, sandbox_url: str | None = None, ready_fd: int | None = None, parent_fd: int | None = None
) -> int:
    """A worker process from start to end; its exit status. `parent_fd` is a pipe that ends with the parent, also when that is killed:
    it works on every system, and a signal at the parent's death does not."""
    require_fast_parser()
    raise_limit()
    assert config.database_url is not None
    url = config.database_url

    async def main() -> int:
        worker = Worker(config, url, sandbox_url)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, worker.stop)
        loop.add_signal_handler(signal.SIGINT, worker.interrupt)
        if parent_fd is not None:

            def parent_ended() -> None:
                loop.remove_reader(parent_fd)
                worker.orphaned()

            loop.add_reader(parent_fd, parent_ended)
        await worker.run(lambda: _tell(ready_fd))
        return 1 if worker.has_failed else 0

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main())


def _tell(fd: int | None) -> None:
    if fd is not None:
        os.write(fd, b"ready\n")
        os.close(fd)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed; asyncio's own loop works too."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
