"""The local record: one append-only file per worker, one `write` per record, so that what was written survives `kill -9`.

A worker's folder `OPTYX_HOME/journal/<worker id>/` holds numbered segments of JSON lines and a lock that is held while the worker
lives. The logbook reads segments back, carries the finals to Postgres, and removes a segment once everything in it is there and no
call that began in it is still open. Whoever gets a dead worker's lock adopts the folder. A torn last line is skipped.

Beside them lies a reserve, a file of a megabyte: on a full disk it makes room for the finals of calls that are already under way, and
while it is gone no call begins. A record costs about 1.5 µs plus 1.5 µs of encoding; with OPTYX_DURABILITY=power calls also wait for a
group-committed fdatasync.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from gateway.mending import cleaned
from gateway.records import Final, Intent, Record

log = logging.getLogger(__name__)

SEGMENT_SIZE = 4 << 20
RESERVE_SIZE = 1 << 20
RESERVE_AGAIN_S = 1.0
TRIES_TO_LOCK = 100

_encode_into = msgspec.json.Encoder().encode_into
_ENCODING = (UnicodeError, OverflowError, ValueError, TypeError)


class Segment:
    """One file: how far it is written, how far carried to Postgres, and how many calls that began in it are still open."""

    __slots__ = ("began_at", "carried", "fd", "is_failed", "is_sealed", "number", "open_calls", "path", "size")

    def __init__(self, path: Path, number: int) -> None:
        self.path = path
        self.number = number
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self.began_at = time.monotonic()
        self.size = 0
        self.carried = 0
        self.open_calls = 0
        self.is_sealed = False
        self.is_failed = False
        """An fdatasync of it failed: it is not written and not synced again, since a second one would claim success (fsyncgate)."""

    @property
    def is_spent(self) -> bool:
        return self.is_sealed and self.carried >= self.size and self.open_calls == 0

    def remove(self) -> None:
        os.close(self.fd)
        self.path.unlink(missing_ok=True)


class Journal:
    """A living worker's journal. `append` is synchronous and raises OSError when the record is not safely in the file."""

    def __init__(self, root: Path, worker_id: str, *, sync: bool = False) -> None:
        self.folder = root / worker_id
        self.worker_id = worker_id
        self.finals = 0
        self.has_news = asyncio.Event()
        self.news_at = 0  # set has_news once this many finals are written
        self._lock: int | None = _own(self.folder)
        self._sync = sync
        self._syncer = ThreadPoolExecutor(1, "journal") if sync else None
        self._buffer = bytearray(4096)
        self._began_in: dict[str, Segment] = {}
        self._unsynced: set[Segment] = set()
        self._being_synced: set[Segment] = set()
        self._commit: asyncio.Task[None] | None = None
        self._has_reserve = False
        self._reserve_at = 0.0
        self.segments: list[Segment] = []
        self._next_number = 1
        self._current = self._new_segment()
        with contextlib.suppress(OSError):
            self._make_reserve()

    @property
    def open_calls(self) -> int:
        """Calls that began and have no final yet."""
        return len(self._began_in)

    def append(self, record: Record) -> None:
        """One line, one write. A record that JSON can't hold is cleaned first; a write that fails is taken back."""
        buffer = self._buffer
        try:
            _encode_into(record, buffer)
        except _ENCODING as error:
            log.warning("a record is journaled cleaned: %s", error)
            _encode_into(cleaned(record), buffer)
        buffer += b"\n"
        kind = type(record)
        if kind is Final:
            try:
                segment = self._write(buffer)
            except OSError as error:
                segment = self._write_somehow(buffer, error)
            self._closed(record.call_id, segment)
        else:
            if not self._has_reserve and kind is Intent:
                self._make_reserve()
            segment = self._write(buffer)
            if kind is Intent:
                self._began_in[record.call_id] = segment
                segment.open_calls += 1
        if self._sync:
            self._unsynced.add(segment)

    async def synced(self) -> None:
        """With durability `power`: returns once everything appended so far is on the disk. Calls that wait together share one
        fdatasync. After a failed one the segment is never written again: what the kernel still holds of it can't be known. Raises
        OSError."""
        if not self._sync:
            return
        if self._commit is not None and not self._commit.done():
            await asyncio.wait({self._commit})  # began before our record was written: wait for the next one
        if self._commit is None or self._commit.done():
            self._commit = asyncio.create_task(self._sync_all(), name="journal sync")
        await asyncio.shield(self._commit)

    def rotate(self, older_than_s: float = 0.0) -> None:
        """Seals the current segment if there is anything in it, so that it can go once it is carried."""
        if self._current.size and time.monotonic() - self._current.began_at >= older_than_s:
            self._rotate()

    def close(self) -> None:
        """Gives the lock back. An empty journal leaves nothing behind."""
        if self._syncer is not None:
            self._syncer.shutdown()
        self._being_synced = set()
        self._current.is_sealed = True
        self.drop_spent()
        for segment in self.segments:
            os.close(segment.fd)
        self._reserve.unlink(missing_ok=True)
        if not self.segments:
            remove_folder(self.folder)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def drop_spent(self) -> None:
        for segment in [segment for segment in self.segments if segment.is_spent]:
            if segment not in self._being_synced:
                self.segments.remove(segment)
                self._unsynced.discard(segment)
                segment.remove()

    def _closed(self, call_id: str, written_to: Segment) -> None:
        began_in = self._began_in.pop(call_id, None)
        if began_in is not None:
            began_in.open_calls -= 1
        self.finals += 1
        if self.finals >= self.news_at:
            self.has_news.set()
        if written_to.size >= SEGMENT_SIZE:
            with contextlib.suppress(OSError):
                self._rotate()

    def _write(self, buffer: bytearray) -> Segment:
        if self._current.is_sealed:
            self._rotate()
        segment = self._current
        try:
            written = os.write(segment.fd, buffer)
            if written != len(buffer):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            try:
                os.ftruncate(segment.fd, segment.size)
            except OSError:
                segment.is_sealed = True  # what follows half a line could not be read back: this segment is over
            raise
        segment.size += written
        return segment

    def _write_somehow(self, buffer: bytearray, error: OSError) -> Segment:
        """A final that was refused: its call may have cost money already. On a full disk the reserve makes room, on a broken file another
        is tried."""
        self._free_reserve()
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            self._rotate()
        return self._write(buffer)

    def _make_reserve(self) -> None:
        """Raises OSError while there is no room for it: then no call may begin. Tried once a second."""
        now = time.monotonic()
        if now < self._reserve_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._reserve_at = now + RESERVE_AGAIN_S
        try:
            self._reserve.write_bytes(bytes(RESERVE_SIZE))
        except OSError:
            self._reserve.unlink(missing_ok=True)
            raise
        self._has_reserve = True
        self._reserve_at = 0.0

    def _free_reserve(self) -> None:
        if self._has_reserve:
            self._has_reserve = False
            self._reserve.unlink(missing_ok=True)

    @property
    def _reserve(self) -> Path:
        return self.folder / "reserve"

    def _rotate(self) -> None:
        fresh = self._new_segment()  # first: if it fails, the old one goes on
        self._current.is_sealed = True
        self._current = fresh

    def _new_segment(self) -> Segment:
        segment = Segment(self.folder / f"{self._next_number:08d}.jsonl", self._next_number)
        self._next_number += 1
        self.segments.append(segment)
        if self._sync:
            _sync_folder(self.folder)
        return segment

    async def _sync_all(self) -> None:
        self._being_synced, self._unsynced = self._unsynced, set()
        loop = asyncio.get_running_loop()
        try:
            for segment in self._being_synced:
                if segment.is_failed:
                    raise OSError(errno.EIO, f"an earlier sync of {segment.path.name} failed")
                await loop.run_in_executor(self._syncer, sync_file, segment.fd)
        except OSError:
            for segment in self._being_synced:
                segment.is_failed = segment.is_sealed = True
            raise
        finally:
            self._being_synced = set()


def sync_file(fd: int) -> None:
    """Onto the disk itself. macOS's fsync stops at the drive's cache; F_FULLFSYNC goes through it."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        fcntl.fcntl(fd, full)
    else:
        os.fdatasync(fd)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _own(folder: Path) -> int:
    """Makes the folder and locks it. Somebody looking for dead journals may get hold of the new lock first, find nothing and remove
    the folder: then it is made again."""
    for _ in range(TRIES_TO_LOCK):
        folder.mkdir(parents=True, exist_ok=True)
        lock = try_lock(folder)
        if lock is not None:
            return lock
        time.sleep(0.01)
    raise OSError(errno.EBUSY, f"{folder} belongs to a living worker")


def try_lock(folder: Path) -> int | None:
    """An flock on the folder's lock file, or None when its worker lives. The file is checked again after locking: somebody who
    adopted the folder may have removed it in between."""
    path = folder / "lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.stat(path).st_ino == os.fstat(fd).st_ino:
            return fd
    except OSError:
        pass
    os.close(fd)
    return None


def remove_folder(folder: Path) -> None:
    (folder / "lock").unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError:
        return  # something else lies there: not ours to remove
