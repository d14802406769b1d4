"""The schema: up, status, down, by yoyo, one at a time. Called by the parent (`up`, `demo`), the CLI, and `serve`, which only looks.

yoyo's own lock is a row that a killed process leaves behind; ours is an advisory lock that Postgres drops with the connection, so
whoever holds ours may break theirs. The lock is polled and never waited for: a session waiting for it would hold a snapshot that
blocks other sessions' DDL.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg2
import yoyo

from gateway.secret import Secret

MIGRATION_LOCK = 0x6F70747978  # "optyx"
LOCK_TIMEOUT_S = 300.0
NOT_YET = ("starting up", "shutting down", "recovery mode", "too many", "connection slots")
"""Words of a Postgres that answers and can't be used now; anything else it says (a wrong password) won't pass by waiting."""


class MigrateError(Exception):
    """Says what is wrong and what to do."""


class DatabaseAway(MigrateError):
    """Nobody answers there, or not yet."""


class Step(msgspec.Struct, frozen=True):
    """One migration; `first_line` says why it exists."""

    id: str
    is_applied: bool
    first_line: str


def folder() -> Path:
    """The migrations of the wheel, or of the checkout."""
    for place in (Path(__file__).parent / "_data/migrations", Path(__file__).parent.parent / "migrations"):
        if place.is_dir():
            return place
    raise MigrateError("the migrations are missing from this installation; install Optyx again")


def up(url: Secret) -> list[str]:
    """Applies what is missing; returns the ids applied. Any number of processes may call it at once."""
    with _locked(url) as backend:
        steps = backend.to_apply(_migrations())
        with backend.lock():
            backend.apply_migrations(steps)
        return [step.id for step in steps]


def status(url: Secret) -> list[Step]:
    """Every migration in order, without taking the lock."""
    migrations = _migrations()
    with _backend(url) as backend:
        missing = {step.id for step in backend.to_apply(migrations)}
    return [Step(step.id, step.id not in missing, _first_line(step.path)) for step in migrations]


def down(url: Secret, to: str) -> list[str]:
    """Rolls back everything after the migration `to` (`0`: everything); returns the ids rolled back. Raises MigrateError."""
    migrations = _migrations()
    ids = [step.id for step in migrations]
    keep = [step for step in ids if step == to or step.split("_")[0] == to]
    if to != "0" and not keep:
        raise MigrateError(f"there is no migration {to!r}; there are {', '.join(ids)}")
    after = set(ids[ids.index(keep[0]) + 1 :]) if keep else set(ids)
    with _locked(url) as backend:
        steps = backend.to_rollback(migrations.filter(lambda step: step.id in after))
        with backend.lock():
            backend.rollback_migrations(steps)
        return [step.id for step in steps]


def missing(url: Secret) -> list[str]:
    """Ids of the migrations this version needs and the database lacks."""
    return [step.id for step in status(url) if not step.is_applied]


def _migrations() -> Any:
    return yoyo.read_migrations(str(folder()))


def _first_line(path: str) -> str:
    with Path(path).open() as file:
        return file.readline().removeprefix("--").removeprefix(" Why:").strip()


@contextmanager
def _backend(url: Secret) -> Iterator[Any]:
    os.environ.setdefault("LOGNAME", "optyx")  # yoyo writes the user's name down, and containers have none
    os.environ.setdefault("PGCONNECT_TIMEOUT", "10")  # libpq's own default is for ever
    try:
        backend = yoyo.get_backend(url.reveal())
    except psycopg2.OperationalError as error:
        said = str(error).strip()
        kind = DatabaseAway if "FATAL:" not in said or any(words in said for words in NOT_YET) else MigrateError
        raise kind(f"Postgres can't be reached: {said}") from None
    try:
        yield backend
    finally:
        backend.connection.close()


@contextmanager
def _locked(url: Secret) -> Iterator[Any]:
    with _backend(url) as backend:
        guard = psycopg2.connect(url.reveal())
        guard.autocommit = True
        try:
            _take_lock(guard)
            backend.break_lock()  # only a dead process can hold it while we hold ours
            yield backend
        finally:
            guard.close()


def _take_lock(guard: Any) -> None:
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    with guard.cursor() as cursor:
        while True:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (MIGRATION_LOCK,))
            row = cursor.fetchone()
            if row and row[0]:
                return
            if time.monotonic() > deadline:
                raise MigrateError(
                    "another process has been migrating this database for five minutes; look at it before trying again"
                )
            time.sleep(0.05)
