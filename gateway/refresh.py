"""Keeps the catalog current: loads it, listens for changes, polls in case a notification is lost, and keeps a sealed copy on disk so
that a worker can start while the database is away. Building may fail; swapping is one assignment.

A changed key is reloaded alone; any other change reloads the configuration (not the keys), which takes milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from gateway.build import Surroundings, build, build_key, build_keys
from gateway.catalog import EMPTY, Catalog, Key
from gateway.errors import Unavailable
from gateway.sealing import Sealer, SealError
from gateway.secret import Secret
from gateway.store import catalog as store
from gateway.store.pool import TROUBLE, Connection, connect

log = logging.getLogger(__name__)

CHANNEL = "optyx_catalog"
STAMP_SIZE = 8
HEARTBEAT_S = 1.0
POLL_EVERY = 2  # heartbeats
NEGATIVE_S = 5.0
NEGATIVE_MAX = 10_000
NEWS_S = 1.0
SNAPSHOT_EVERY_S = 1.0
SNAPSHOT_SHARE = 0.05
"""Of a worker's time at most: with 100,000 keys a copy takes a second to write."""


class Snapshot(msgspec.Struct):
    config: store.ConfigRows
    keys: list[store.KeyRow]


class Refresh:
    """`catalog` is what calls read. `is_connected` says whether changes arrive."""

    def __init__(self, url: Secret, around: Surroundings, home: Path, sealer: Sealer | None) -> None:
        self.catalog: Catalog = EMPTY
        self.is_connected = False
        self.on_change: list[Callable[[Catalog], None]] = []
        self.listeners: dict[str, Callable[[str], None]] = {}
        """Other channels to listen to on the same connection: channel to callback with the payload."""
        self._url = url
        self._around = around
        self._snapshot_path = home / "catalog.snapshot"
        self._sealer = sealer
        self._connection: Connection | None = None
        self._config: store.ConfigRows | None = None
        self._digests: dict[str, set[bytes]] = {}
        self._changed = asyncio.Event()
        self._stale_config = False
        self._stale_keys: set[str] = set()
        self._asking: dict[bytes, asyncio.Task[Key | None]] = {}
        self._unknown: OrderedDict[bytes, float] = OrderedDict()
        self._asker: Connection | None = None
        self._asker_lock = asyncio.Lock()
        self._snapshot_due = False
        self._snapshot_after = 0.0
        self._loaded_ns = 0

    async def start(self) -> None:
        """The first catalog: from the database, or from the last good snapshot when that is away."""
        try:
            await self._open()
        except TROUBLE as error:
            log.warning("the database is away (%s); starting from the last known configuration", type(error).__name__)
            self._restore()

    async def run(self) -> None:
        """Until cancelled. Every failure is logged once and tried again."""
        try:
            while True:
                try:
                    if self._connection is None:
                        await self._open()
                    await self._watch()
                except TROUBLE as error:
                    if self.is_connected or self.catalog is EMPTY:
                        log.warning("the database is away (%s); known keys go on working", type(error).__name__)
                    await self._close()
                    await asyncio.sleep(0.5)
        finally:
            await self._close()

    async def find_key(self, digest: bytes) -> Key | None:
        """A key that the catalog does not know: asked once for all callers, remembered for five seconds when there is none. Raises
        Unavailable `key_store_unavailable` when the database can't be asked."""
        now = time.monotonic()
        since = self._unknown.get(digest)
        if since is not None and now - since < NEGATIVE_S:
            return None
        task = self._asking.get(digest)
        if task is None:
            task = self._asking[digest] = asyncio.create_task(self._ask(digest), name="unknown key")
            task.add_done_callback(lambda _: self._asking.pop(digest, None))
        return await asyncio.shield(task)

    async def reached(self, epoch: int, timeout_s: float) -> bool:
        """Whether the catalog is as new as that within the time."""
        deadline = time.monotonic() + timeout_s
        while self.catalog.epoch < epoch:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.002)
        return True

    async def close(self) -> None:
        await self._close()
        if self._asker is not None:
            self._asker.terminate()

    async def _ask(self, digest: bytes) -> Key | None:
        try:
            async with asyncio.timeout(3), self._asker_lock:
                if self._asker is None or self._asker.is_closed():
                    self._asker = await connect(self._url, "keys", 2)
                row = await store.read_key(self._asker, digest)
        except TROUBLE:
            if self._asker is not None:
                self._asker.terminate()
                self._asker = None
            raise Unavailable(
                "This key is not known here, and the key store can't be asked. Try again shortly.",
                code="key_store_unavailable",
                retry_after_s=2,
            ) from None
        if row is not None:
            key = build_key(row)
            self._swap(msgspec.structs.replace(self.catalog, keys={**self.catalog.keys, digest: key}))
            self._digests.setdefault(key.id, set()).add(digest)
            await self._hear_of(key.project_id)
            return key
        self._unknown[digest] = time.monotonic()
        if len(self._unknown) > NEGATIVE_MAX:
            self._unknown.popitem(last=False)
        return None

    async def _hear_of(self, project_id: str) -> None:
        """A project that was made along with its key may still be on its way here: the key's first call waits for it."""
        if project_id in self.catalog.projects:
            return
        self._stale_config = True
        self._changed.set()
        deadline = time.monotonic() + NEWS_S
        while project_id not in self.catalog.projects and self.is_connected:
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(0.005)

    async def _open(self) -> None:
        connection = await connect(self._url, "catalog", 10)
        try:
            await connection.add_listener(CHANNEL, self._notified)
            for channel in self.listeners:
                await connection.add_listener(channel, self._heard)
            self._connection = connection
            await self._load_all()
        except BaseException:
            self._connection = None
            connection.terminate()
            raise
        self.is_connected = True

    async def _close(self) -> None:
        self.is_connected = False
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    def _notified(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        _table, _, key_id = payload.partition(":")
        if key_id:
            self._stale_keys.add(key_id)
        else:
            self._stale_config = True
        self._unknown.clear()
        self._changed.set()

    def _heard(self, _connection: Any, _pid: int, channel: str, payload: str) -> None:
        self.listeners[channel](payload)

    async def _watch(self) -> None:
        """Waits for changes; a heartbeat finds a dead connection, every second one compares the epoch."""
        beats = 0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._changed.wait()
            if self._changed.is_set():
                self._changed.clear()
                await self._reload()
                self._keep_snapshot()
                continue
            beats += 1
            assert self._connection is not None
            epoch = await asyncio.wait_for(store.read_epoch(self._connection), 2)
            if beats % POLL_EVERY == 0 and epoch != self.catalog.epoch and not self._changed.is_set():
                log.warning("a change of configuration came without its notification; loading everything")
                await self._load_all()
            self._keep_snapshot()

    async def _reload(self) -> None:
        """What has been notified of. The new epoch is claimed only when nothing else has been meanwhile: it may count a change that was
        not read here, and who waits for an epoch must find its change."""
        keys, self._stale_keys = self._stale_keys, set()
        is_config_stale, self._stale_config = self._stale_config, False
        assert self._connection is not None
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            rows = await store.read_keys(self._connection, sorted(keys)) if keys else []
            config = await store.read_config(self._connection) if is_config_stale else None
            epoch = await store.read_epoch(self._connection)
        if self._changed.is_set():
            epoch = self.catalog.epoch
        known = self.catalog.keys
        if keys:
            known = dict(known)
            for key_id in keys:
                for digest in self._digests.pop(key_id, ()):
                    known.pop(digest, None)
            for row in rows:
                known[row.digest] = build_key(row)
                self._digests.setdefault(row.id, set()).add(row.digest)
        if config is not None:
            self._config = config
            self._swap(msgspec.structs.replace(build(config, known, self._around), epoch=epoch))
        else:
            self._swap(msgspec.structs.replace(self.catalog, keys=known, epoch=epoch))

    async def _load_all(self) -> None:
        assert self._connection is not None
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            self._config = await store.read_config(self._connection)
            rows = await store.read_keys(self._connection)
        self._take_keys(rows)
        self._keep_snapshot()

    def _take_keys(self, rows: list[store.KeyRow]) -> None:
        keys = build_keys(rows)
        self._digests = {}
        for digest, key in keys.items():
            self._digests.setdefault(key.id, set()).add(digest)
        assert self._config is not None
        self._swap(build(self._config, keys, self._around))

    def _swap(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._loaded_ns, self._snapshot_due = time.time_ns(), True
        for tell in self.on_change:
            tell(catalog)

    def _keep_snapshot(self) -> None:
        """Soon after each change, in a thread: a worker that starts without the database must not take back a revoked key."""
        now = time.monotonic()
        if self._sealer is None or self._config is None or not self._snapshot_due or now < self._snapshot_after:
            return
        self._snapshot_due, self._snapshot_after = False, float("inf")
        work = asyncio.get_running_loop().run_in_executor(
            None, self._write_snapshot, self._config, self.catalog.keys, self._loaded_ns
        )

        def written(_: object) -> None:
            took = time.monotonic() - now
            self._snapshot_after = time.monotonic() + max(SNAPSHOT_EVERY_S, took / SNAPSHOT_SHARE)

        work.add_done_callback(written)

    def _write_snapshot(self, config: store.ConfigRows, keys: Mapping[bytes, Key], loaded_ns: int) -> None:
        """The newest copy stands, whichever worker writes last: each begins with the moment it was loaded at."""
        assert self._sealer is not None
        snapshot = Snapshot(config, [_row(digest, key) for digest, key in keys.items()])
        sealed = self._sealer.seal(msgspec.msgpack.encode(snapshot), "catalog snapshot")
        fresh = self._snapshot_path.with_name(f"catalog.{os.getpid()}.new")
        try:
            with (
                os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file,
                self._snapshot_path.with_name("catalog.lock").open("w") as lock,
            ):
                fcntl.flock(lock, fcntl.LOCK_EX)
                if loaded_ns < self._kept_ns() <= time.time_ns():  # from the future: a clock that was set back
                    fresh.unlink()
                    return
                file.write(loaded_ns.to_bytes(STAMP_SIZE, "big") + sealed)
                file.flush()
                fresh.replace(self._snapshot_path)
        except OSError as error:
            log.warning("the catalog's snapshot can't be written: %s", error.strerror)

    def _kept_ns(self) -> int:
        try:
            with self._snapshot_path.open("rb") as file:
                return int.from_bytes(file.read(STAMP_SIZE), "big")
        except FileNotFoundError:
            return 0

    def _restore(self) -> None:
        if self._sealer is None or not self._snapshot_path.exists():
            return
        try:
            opened = self._sealer.open(self._snapshot_path.read_bytes()[STAMP_SIZE:], "catalog snapshot")
            snapshot = msgspec.msgpack.decode(opened, type=Snapshot)
        except (SealError, OSError, msgspec.DecodeError) as error:
            log.warning("the catalog's snapshot can't be read: %s", error)
            return
        self._config = snapshot.config
        self._take_keys(snapshot.keys)
        self._snapshot_due = False


def _row(digest: bytes, key: Key) -> store.KeyRow:
    allowed = None if key.allowed_models is None else sorted(key.allowed_models)
    addresses = None if key.networks is None else list(key.networks.cidrs)
    return store.KeyRow(
        key.id, key.project_id, key.name, key.public_id, digest, allowed, key.disabled, key.expires_at, addresses
    )
