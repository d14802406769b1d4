"""`optyx events tail`: calls, changes and providers' health as they happen, on one stream; after a break it goes on where it was."""

from __future__ import annotations

import sys
import threading
import time
from typing import Annotated, Any

import msgspec
import typer

from tui import calls_shown, faults
from tui import log_filter as f
from tui.columns import time_of_day
from tui.flags import seconds
from tui.invocation import Invocation, current
from tui.output import note
from tui.wire import BEATS_S, EventStream, GatewayError, Unreachable

events = typer.Typer(no_args_is_help=True, help="What happens: calls, changes, providers' health.")

LONGEST_WAIT_S = 10.0


@events.command("tail")
def tail(
    words: f.Words = None,
    topics: Annotated[
        str, typer.Option("--topics", help="log, audit, provider; commas. Without it: all of them.")
    ] = "log,audit,provider",
    how_long: Annotated[str, typer.Option("--for", help="End after this long, like 60s.")] = "",
    most: Annotated[int, typer.Option("--max", min=0, help="End after N events.")] = 0,
) -> None:
    """Follow what happens until Ctrl-C. The filter is the log's, and leaves the other topics alone."""
    run = current()
    query = {"topics": topics, "filter": f.text_of(words, "", projects=run.projects)}
    Tail(run, query, seconds(how_long, "--for") if how_long else None, most).run()


class Tail:
    def __init__(self, run: Invocation, query: dict[str, str], how_long_s: float | None, most: int) -> None:
        self._run, self._query, self._most = run, query, most
        self._ends_at = None if how_long_s is None else time.monotonic() + how_long_s
        self._stream: EventStream | None = None
        self._last_id = ""
        self._shown = 0

    def run(self) -> None:
        timer = None
        if self._ends_at is not None:
            timer = threading.Timer(max(0.0, self._ends_at - time.monotonic()), self._close)
            timer.daemon = True
            timer.start()
        failures = 0
        try:
            while not self._is_over:
                try:
                    self._read()
                    failures = 0
                except Unreachable as error:
                    if not self._last_id:
                        raise faults.not_reached(error) from None
                    note(f"note: {error}; going on after event {self._last_id}", self._run.flags)
                    time.sleep(min(LONGEST_WAIT_S, 0.5 * 2 ** min(failures, 5)))
                    failures += 1
        except GatewayError as error:
            raise faults.said_no(error) from None
        finally:
            if timer is not None:
                timer.cancel()
            self._close()

    @property
    def _is_over(self) -> bool:
        is_late = self._ends_at is not None and time.monotonic() >= self._ends_at
        return is_late or bool(self._most and self._shown >= self._most)

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()

    def _read(self) -> None:
        self._stream = EventStream(self._run.wire, "/admin/v1/events", self._query, self._last_id, timeout_s=BEATS_S)
        for event, ident, data in self._stream.events():
            self._last_id = ident or self._last_id
            if event == "error":
                told = msgspec.json.decode(data)["error"]
                raise faults.Fault(str(told["message"]), code=str(told["code"]), exit=faults.FAILED)
            if event not in ("heartbeat", "end"):
                self._show(event, data)
            if self._is_over:
                self._close()
                return

    def _show(self, event: str, data: bytes) -> None:
        if self._run.out.is_for_people:
            self._run.out.line(line_of(event, msgspec.json.decode(data)))
        else:
            self._run.out.write(msgspec.json.encode({"event": event, "data": msgspec.Raw(data)}).decode())
        sys.stdout.flush()
        self._shown += 1


def line_of(event: str, told: dict[str, Any]) -> str:
    if event == "log":
        return str(calls_shown.short(told))
    if event == "audit":
        what = f"{told.get('action')} {told.get('object_name') or told.get('object_id')}"
        at = time_of_day(str(told.get("at")))
        return f"{at} audit {told.get('actor')} {what} {told.get('result')}".rstrip()
    if event == "provider":
        switch = "" if told.get("enabled") else ", switched off"
        return f"provider {told.get('name')} is {told.get('state')}, circuit {told.get('circuit')}{switch}"
    return f"{event} {msgspec.json.encode(told).decode()}"
