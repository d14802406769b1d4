"""What a worker left behind when it died: its journal, read back by whoever gets the lock. Called by `logbook`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gateway.journal import remove_folder, try_lock
from gateway.mending import repaired
from gateway.records import Final, Intent, Progress, ReadFinal, Record, interrupted

_decode = msgspec.json.Decoder(Record).decode
_decode_final = msgspec.json.Decoder(ReadFinal).decode


class DeadJournal:
    """The journal of a worker that is gone, with its lock in our hands: everything it left, to be carried once more."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self.worker_id = folder.name
        self._lock = lock

    def records(self) -> Iterator[Final | bytes]:
        """Every final, and an `interrupted` one for each call that has none. A line that is no record but should be comes as it is."""
        open_calls: dict[str, Intent] = {}
        progress: dict[str, Progress] = {}
        for path in sorted(self.folder.glob("*.jsonl")):
            for record in read_records(path.read_bytes()):
                if isinstance(record, Intent):
                    open_calls[record.call_id] = record
                elif isinstance(record, Progress):
                    progress[record.call_id] = record
                else:
                    if isinstance(record, Final):
                        open_calls.pop(record.call_id, None)
                        progress.pop(record.call_id, None)
                    yield record
        for intent in open_calls.values():
            yield interrupted(intent, progress.get(intent.call_id))

    def remove(self) -> None:
        """The oldest first: a final without its intent is only carried once more, an intent without its final would say too much."""
        for path in sorted(self.folder.glob("*.jsonl")):
            path.unlink()
        (self.folder / "reserve").unlink(missing_ok=True)
        remove_folder(self.folder)
        os.close(self._lock)

    def close(self) -> None:
        """Gives the lock back and leaves everything as it is."""
        os.close(self._lock)


def adoptable(root: Path) -> Iterator[DeadJournal]:
    """The journals whose workers are dead, each locked for us as it comes: whoever takes one closes or removes it."""
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        lock = try_lock(folder) if folder.is_dir() else None
        if lock is not None:
            yield DeadJournal(folder, lock)


def read_final(line: bytes) -> Final | bytes:
    """The final on a line that begins like one; a line that even `repaired` can't read is given as it is."""
    try:
        return _decode_final(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        mended = repaired(line)
        return mended if isinstance(mended, Final) else line.rstrip(b"\n")


def read_records(data: bytes) -> Iterator[Record | bytes]:
    """The records of a segment's bytes. What follows the last line end was torn off and is skipped; a whole line that even `repaired`
    can't read is given as it is."""
    for line in data[: data.rfind(b"\n") + 1].split(b"\n"):
        if not line:
            continue
        try:
            yield _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            mended = repaired(line)
            if mended is not None:
                yield mended
            elif line.startswith(b'["f"') or not line.startswith(b"["):
                yield line
