"""`optyx logs tail`: calls as they are recorded, line by line; after a break it goes on where it was, and says what it missed.

`--until-match` and `--fail-on` are filters like any other, so the gateway evaluates them: each is a second stream beside the first.
"""

from __future__ import annotations

import sys
import threading
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from tui import calls_shown, faults
from tui.columns import pick
from tui.flags import seconds
from tui.invocation import Invocation
from tui.output import note, say
from tui.safe import visible_lines
from tui.wire import BEATS_S, EventStream, GatewayError, Unreachable

TAIL = "/admin/v1/logs/tail"
MATCH_GRACE_S = 3.0
"""How long the first stream may take to show the call that ended the command."""


class Form(NamedTuple):
    is_json: bool
    is_long: bool
    with_control: bool
    sample: str = "auto"


class Watch(threading.Thread):
    """A second stream: `hit` is the id of the first call that its filter matches."""

    def __init__(self, run: Invocation, text: str, done: threading.Event) -> None:
        super().__init__(name="watch", daemon=True)
        self.hit = ""
        self._done = done
        self.stream = EventStream(run.wire, TAIL, {"filter": text}, timeout_s=BEATS_S)

    def run(self) -> None:
        try:
            for event, _, data in self.stream.events():
                if event in ("log", "message"):
                    row = msgspec.json.decode(data)
                    self.hit = str(row.get("call_id") or row.get("request_id"))
                    self._done.set()
                    return
        except Unreachable:
            pass  # the first stream breaks at the same time, and says so


class Following:
    def __init__(
        self,
        run: Invocation,
        text: str,
        form: Form,
        most: int,
        how_long: str,
        until_match: str,
        fail_on: str,
        reconnects: bool,
    ) -> None:
        self._run, self._text, self._form, self._most, self._reconnects = run, text, form, most, reconnects
        self._ends_at = time.monotonic() + seconds(how_long, "--for") if how_long else None
        self._until, self._fail = until_match, fail_on
        self._shown = 0
        self._last_id = ""
        self._seen: set[str] = set()
        self._matched = threading.Event()
        self._watches: list[tuple[Watch, int]] = []
        self._stream: EventStream | None = None
        self._is_over = False
        self._broke_at: float | None = None
        self._backfilled = 0
        self._backfill_until = ""

    def run(self, lines: int, since: str) -> int:
        """The exit status: 0, 9 when --fail-on matched, 3 when the line broke and may not be mended."""
        failures = 0
        guard = threading.Thread(target=self._guard, name="guard", daemon=True)
        try:
            while not self._is_over:
                try:
                    self._open(lines, since)
                    lines, since = 0, ""
                    if not guard.is_alive() and not guard.ident:
                        guard.start()
                    failures = 0
                    self._read()
                except Unreachable as error:
                    if self._is_over:
                        break
                    if not self._last_id and failures == 0 and not self._shown and self._stream is None:
                        raise faults.not_reached(error) from None
                    if not self._reconnects:
                        raise faults.not_reached(error) from None
                    self._broke_at = self._broke_at or time.monotonic()
                    self._wait(min(10.0, 0.5 * 2 ** min(failures, 5)))
                    failures += 1
        except GatewayError as error:
            raise faults.said_no(error) from None
        finally:
            self._close()
        return next((status for watch, status in self._watches if watch.hit), 0)

    def _open(self, lines: int, since: str) -> None:
        query = {"filter": self._text, "sample": "never" if self._form.is_json else self._form.sample}
        self._stream = EventStream(self._run.wire, TAIL, query, self._last_id, timeout_s=BEATS_S)
        if not self._watches:
            for text, status in ((self._fail, faults.FINDINGS), (self._until, 0)):
                if text:
                    watch = Watch(self._run, f"{self._text} {text}".strip(), self._matched)
                    self._watches.append((watch, status))
                    watch.start()
        if self._broke_at is not None:
            self._tell_reconnected()
        if lines or since:
            self._begin_with(lines, since)

    def _begin_with(self, lines: int, since: str) -> None:
        """The stream is open already: nothing is missed in between, and what comes twice is known by its id."""
        text = f"{self._text} since:{since}".strip() if since else self._text
        page = self._run.get("/logs", filter=text, limit=min(lines or 1000, 1000))
        for row in reversed(page["data"]):
            self._seen.add(str(row.get("call_id")))
            self._show(msgspec.json.encode(row), row)

    def _read(self) -> None:
        assert self._stream is not None
        for event, ident, data in self._stream.events():
            if ident:
                self._last_id = ident
            if event in ("log", "message"):
                self._take(data)
            elif event == "gap":
                self._gap(data)
            elif event == "sampled":
                note(
                    f"note: one call in {msgspec.json.decode(data).get('one_in')} is shown, and every error; --sample never shows all",
                    self._run.flags,
                )
            elif event == "error":
                told = msgspec.json.decode(data)["error"]
                raise faults.Fault(str(told["message"]), code=str(told["code"]), exit=faults.FAILED)
            if self._is_over:
                return

    def _take(self, data: bytes) -> None:
        is_plain = (
            self._form.is_json
            and not self._run.flags.fields
            and not self._seen
            and not self._watches
            and not self._backfill_until
        )
        row = None if is_plain else msgspec.json.decode(data)
        if row is not None:
            if str(row.get("call_id")) in self._seen:
                return
            self._count_backfill(row)
        self._show(data, row)
        if row is not None and any(
            watch.hit == str(row.get("call_id") or row.get("request_id")) for watch, _ in self._watches
        ):
            self._is_over = True

    def _show(self, data: bytes, row: dict[str, Any] | None) -> None:
        out = sys.stdout
        self._shown += 1
        if self._form.is_json:
            if self._run.flags.fields:
                assert row is not None
                row["seq"] = self._shown
                data = msgspec.json.encode({path: pick(row, path) for path in self._run.flags.fields.split(",")})
            else:
                data = b'{"seq":%d,%b' % (self._shown, data[1:])
            out.buffer.write(data + b"\n") if hasattr(out, "buffer") else out.write(data.decode() + "\n")
        else:
            row = row if row is not None else msgspec.json.decode(data)
            self._run.out.write(visible_lines((calls_shown.long if self._form.is_long else calls_shown.short)(row)))
        out.flush()
        if self._most and self._shown >= self._most:
            self._is_over = True

    def _gap(self, data: bytes) -> None:
        told = msgspec.json.decode(data)
        missed = told.get("missed") or told.get("dropped") or 0
        say(f"warning: gap of {missed} events", self._run.flags)
        if self._form.is_json and self._form.with_control:
            control = {"type": "gap", "missed": missed, "from": told.get("since"), "to": told.get("until")}
            self._run.out.write(msgspec.json.encode(control).decode())

    def _count_backfill(self, row: dict[str, Any]) -> None:
        """Calls from before the line came back, until the first that is newer."""
        if self._backfill_until and str(row.get("created_at")) < self._backfill_until:
            self._backfilled += 1
        elif self._backfill_until:
            self._tell_backfill()

    def _tell_reconnected(self) -> None:
        assert self._broke_at is not None
        note(
            f"note: reconnected after {time.monotonic() - self._broke_at:.1f}s, going on after event {self._last_id}",
            self._run.flags,
        )
        self._backfill_until, self._backfilled = (
            datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            0,
        )
        self._broke_at = None

    def _tell_backfill(self) -> None:
        note(f"note: {self._backfilled} events backfilled", self._run.flags)
        self._backfill_until = ""

    def _guard(self) -> None:
        """Ends the reading when the time is over, or the call that was waited for has had its time to be shown."""
        while not self._is_over:
            left = None if self._ends_at is None else self._ends_at - time.monotonic()
            if left is not None and left <= 0:
                break
            if self._matched.wait(0.1 if left is None else min(0.1, max(0.0, left))):
                deadline = time.monotonic() + MATCH_GRACE_S
                while not self._is_over and time.monotonic() < deadline:
                    time.sleep(0.02)
                break
        self._is_over = True
        if self._stream is not None:
            self._stream.close()

    def _wait(self, seconds_long: float) -> None:
        ends = time.monotonic() + seconds_long
        while not self._is_over and time.monotonic() < ends:
            if self._ends_at is not None and time.monotonic() > self._ends_at:
                self._is_over = True
            time.sleep(0.05)

    def _close(self) -> None:
        self._is_over = True
        for stream in [self._stream, *(watch.stream for watch, _ in self._watches)]:
            if stream is not None:
                stream.close()
