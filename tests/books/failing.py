"""A worker that kills itself at one step: `python -m tests.books.failing POINT --ready-fd N`. Nothing of this is in the gateway: the step's
function is wrapped before the worker starts."""

from __future__ import annotations

import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from gateway import __main__, connection, journal, logbook, shortcut
from gateway.proxy import answer, serve
from gateway.records import Final
from gateway.store import ingest, writer


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def after(owner: Any, name: str, when: Callable[..., bool] = lambda *_: True) -> None:
    """Dies when `owner.name` has returned, the first time that `when` says so of its arguments."""
    real = getattr(owner, name)
    if inspect.iscoroutinefunction(real):

        @functools.wraps(real)
        async def awaited(*given: Any, **named: Any) -> Any:
            result = await real(*given, **named)
            if when(*given):
                die()
            return result

        setattr(owner, name, awaited)
        return

    @functools.wraps(real)
    def called(*given: Any, **named: Any) -> Any:
        result = real(*given, **named)
        if when(*given):
            die()
        return result

    setattr(owner, name, called)


def before(owner: Any, name: str) -> None:
    def dies(*_: Any, **__: Any) -> None:
        die()

    setattr(owner, name, dies)


def third() -> Callable[..., bool]:
    count = iter(range(1, 1 << 30))
    return lambda *_: next(count) == 3


def is_last(_caller: Any, data: bytes) -> bool:
    return data == answer.LAST_CHUNK or b"\r\nContent-Length: " in data


POINTS: dict[str, Callable[[], None]] = {
    "after auth": lambda: after(serve, "authenticate"),
    "after hold": lambda: after(serve, "check"),
    "after intent": lambda: after(serve, "intend"),
    "after upstream headers": lambda: after(connection.Connection, "on_headers_complete"),
    "first byte": lambda: after(connection.Connection, "on_body"),
    "mid": lambda: after(connection.Connection, "on_body", third()),
    "last upstream byte": lambda: before(connection.Connection, "_end_of_message"),
    "after final": lambda: after(journal.Journal, "append", lambda _self, record: type(record) is Final),
    "after last client byte": lambda: after(shortcut.PlainCaller, "write", is_last),
    "mid-INSERT": lambda: before(ingest, "_move_budgets"),
    "after COMMIT": lambda: after(writer.PostgresWriter, "write"),
    "during adoption": lambda: _adopting_one_by_one(),
    "never": lambda: None,
}


def _adopting_one_by_one() -> None:
    logbook.BATCH_ROWS = 1
    after(logbook.Logbook, "_write_read")


if __name__ == "__main__":
    POINTS[sys.argv[1]]()
    sys.argv = ["gateway", "worker", *sys.argv[2:]]
    sys.exit(__main__.main())
