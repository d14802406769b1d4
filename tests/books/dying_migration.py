"""Migrates and kills itself at one step: `python -m tests.books.dying_migration URL ID middle|unmarked`. `unmarked`: the step's SQL is
committed, yoyo's note of it is not."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from yoyo.backends.base import DatabaseBackend
from yoyo.migrations import MigrationStep

from gateway import migrate
from gateway.secret import Secret

url, wanted, moment = sys.argv[1:]
real_apply, real_mark, real_execute = DatabaseBackend.apply_one, DatabaseBackend.mark_one, MigrationStep._execute
current: list[str] = []
statements: list[str] = []


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def apply_one(self: Any, migration: Any, **more: Any) -> Any:
    current[:] = [migration.id]
    statements.clear()
    return real_apply(self, migration, **more)


def mark_one(self: Any, migration: Any, **more: Any) -> Any:
    if moment == "unmarked" and migration.id == wanted:
        die()
    return real_mark(self, migration, **more)


def execute(self: Any, cursor: Any, statement: str, *more: Any) -> Any:
    result = real_execute(self, cursor, statement, *more)
    statements.append(statement)
    if moment == "middle" and current == [wanted]:
        die()
    return result


DatabaseBackend.apply_one, DatabaseBackend.mark_one, MigrationStep._execute = apply_one, mark_one, execute
migrate.up(Secret(url))
