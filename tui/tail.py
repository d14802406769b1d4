"""The live tail: a thread reads server-sent events, cuts each call down to what a list shows, and lets the screen take batches.

After a break it resumes by the last id, so that nothing is missed and nothing comes twice. What the gateway dropped on the way is counted
and shown as a gap, never hidden.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from sys import intern
from typing import NamedTuple

import msgspec

from gateway.admin.schema.logs import LogRow
from tui.calls import Client
from tui.link import LONGEST_WAIT_S
from tui.wire import BEATS_S, EventStream, GatewayError, Unreachable

GAP = -1
REFUSED_WAIT_S = 10.0
"""A gateway that says no to the tail is not asked again at once."""


class Seen(NamedTuple):
    """A call in 100,000: tuples of interned words and numbers, about 400 bytes each. `status` GAP: a hole, told in `error`."""

    id: str
    at: str
    status: int
    model: str
    project: str
    key: str
    provider: str
    ttft_ms: float | None
    total_ms: float | None
    tokens_in: int | None
    tokens_out: int | None
    cost_nusd: int | None
    flags: str
    error: str


def seen(row: LogRow) -> Seen:
    return Seen(
        row.call_id or row.request_id,
        row.created_at,
        row.status,
        intern(row.model or row.requested_model or row.tier or ""),
        intern(row.project),
        intern(row.key),
        intern(row.provider or ""),
        row.ttft_ms,
        row.latency_ms,
        row.prompt_tokens,
        row.completion_tokens,
        row.cost_nusd,
        intern(flags(row)),
        intern(row.error_code or (row.end_reason if row.end_reason != "complete" else "")),
    )


def flags(row: LogRow) -> str:
    """`S` stream, `C` input from a cache, `Fn` answered by attempt n, `R` same target again, `✖` no target answered."""
    signs = []
    if row.stream:
        signs.append("S")
    if row.cached_tokens:
        signs.append("C")
    if len(row.attempts) > 1:
        same = len({(one.provider, one.model) for one in row.attempts}) == 1
        signs.append("R" if same else f"F{len(row.attempts)}")
    if row.status >= 500 and row.attempts:
        signs.append("✖")
    elif row.error_code == "rate_limit_exceeded":
        signs.append("limit")
    elif row.error_code == "insufficient_quota":
        signs.append("budget")
    elif row.end_reason == "client_closed":
        signs.append("left")
    elif row.end_reason not in ("complete", "replayed", "refused") and row.status < 400:
        signs.append("cut")
    return " ".join(signs)


class _Control(msgspec.Struct):
    dropped: int = 0
    missed: int = 0
    since: str = ""
    until: str = ""
    one_in: int = 1
    behind_s: float = 0.0


class Tail:
    """`take()` gives what came since. `connected` and `problem` say how the line is; `lost` counts what the gateway dropped; of calls
    without an error one in `one_in` is sent. `behind_s`: how long the gateway itself has not been able to read on, its database away."""

    def __init__(self, connect: Callable[[], Client], filter_text: str) -> None:
        self.filter_text = filter_text
        self.lost = 0
        self.one_in = 1
        self.connected = False
        self.problem = ""
        self.received = 0
        self.behind_s = 0.0
        self._connect = connect
        self._rows: list[Seen] = []
        self._lock = threading.Lock()
        self._stream: EventStream | None = None
        self._stopped = False
        self._awake = threading.Event()
        """Set where waiting for the next try is over."""
        self._last_id = ""
        self._thread = threading.Thread(target=self._run, name="tail", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self.reopen()

    def reopen(self) -> None:
        """On a new connection, where it was: the one it has may have died while this machine slept."""
        self._awake.set()
        stream = self._stream
        if stream is not None:
            stream.close()

    @property
    def waiting(self) -> int:
        """How many rows nobody has taken yet."""
        return len(self._rows)

    def take(self) -> list[Seen]:
        if not self._rows:
            return []
        with self._lock:
            rows, self._rows = self._rows, []
        return rows

    def _run(self) -> None:
        failures = 0
        while not self._stopped:
            refused = False
            try:
                self._read(self._connect())
            except GatewayError as error:
                self.problem = str(error)
                refused = True
            except Unreachable as error:
                self.problem = str(error)
                failures = 0 if self.connected else failures + 1
            self.connected, self.behind_s = False, 0.0
            self._awake.wait(REFUSED_WAIT_S if refused else min(LONGEST_WAIT_S, 0.5 * 2 ** min(failures, 5)))
            self._awake.clear()

    def _read(self, client: Client) -> None:
        stream = EventStream(
            client, "/admin/v1/logs/tail", {"filter": self.filter_text}, self._last_id, timeout_s=BEATS_S
        )
        self._stream = stream
        if self._stopped:
            stream.close()
        self.connected, self.problem, self.one_in = True, "", 1
        decode = msgspec.json.Decoder(LogRow, strict=False).decode
        for event, ident, data in stream.events():
            if ident:
                self._last_id = ident
            if event in ("log", "message"):
                row = seen(decode(data))
                self.received += 1
                with self._lock:
                    self._rows.append(row)
            elif event in ("gap", "sampled", "heartbeat"):
                self._control(event, msgspec.json.decode(data, type=_Control, strict=False))

    def _control(self, event: str, told: _Control) -> None:
        if event == "sampled":
            self.one_in = told.one_in
            return
        if event == "heartbeat":
            self.behind_s = told.behind_s
            return
        self.lost += told.missed
        text = f"gap: {told.missed:,} calls {told.since[11:19]}–{told.until[11:19]} · b backfill"
        if not told.missed:
            text = "gap: the database was restored from a backup, and what lies between can't be known"
        hole = Seen(
            f"gap-{time.monotonic_ns()}", told.until, GAP, "", "", "", "", None, None, None, None, None, "", text
        )
        with self._lock:
            self._rows.append(hole)
