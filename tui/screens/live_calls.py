"""The calls of one filter, live: the newest page, what the tail brings after it, older ones on request, and what is said about them."""

from __future__ import annotations

import os
from typing import Any

from textual.app import ComposeResult
from textual.timer import Timer

from gateway.admin.schema.logs import LogCount, LogPage, LogRow
from tui import figures
from tui.calls import Client
from tui.location import Location
from tui.screens import log_head
from tui.screens.log_columns import COLUMNS, NARROW, hole
from tui.screens.view import View
from tui.tail import Seen, Tail, seen
from tui.widgets.line import Line
from tui.widgets.logview import LogView
from tui.widgets.panel import Bar

FIRST_PAGE = 300
PAGE = 1000
EXPORTED = 100_000


def flush_hz() -> float:
    return 4.0 if os.environ.get("SSH_TTY") else 10.0


class LiveCalls(View):
    """The list with its filter, count, histogram and rate. What is done with the row under the cursor is `Logs`."""

    scope = "logs"
    every_s = 5.0

    def __init__(self) -> None:
        super().__init__()
        self.tail: Tail | None = None
        self.count: LogCount | None = None
        self.page_ids: set[str] = set()
        self.older: str | None = None
        """The cursor of the page before the oldest row; None where there is none."""
        self.searched_to = ""
        """How far back the gateway had looked when its time for one search was over; empty where it looked at everything."""
        self.shown_filter: str | None = None
        self.typing: Timer | None = None
        self.rate_marks: list[int] = []
        self.flushes = 0

    def compose(self) -> ComposeResult:
        yield Bar(id="filter-line")
        yield Bar(id="histogram")
        yield LogView(COLUMNS, title="Requests", id="log-rows", across=hole)

    def on_mount(self) -> None:
        self.flushing = self.set_interval(1 / flush_hz(), self.flush)
        self.set_interval(1.0, self._mark_rate)

    def on_unmount(self) -> None:
        if self.tail is not None:
            self.tail.stop()

    def fit_in(self) -> None:
        super().fit_in()
        self.calls.set_columns(COLUMNS if self.app.size.width >= 100 else NARROW)
        self.draw_histogram()
        self.draw_head()

    @property
    def calls(self) -> LogView[Seen]:
        return self.query_one("#log-rows", LogView)

    # Which calls

    def visit(self, place: Location) -> None:
        filter_text = " ".join(
            part for part in (f"project:{place.project}" if place.project else "", place.filter) if part
        )
        if place.project:
            place = Location("logs", filter=filter_text)
            self.optyx.history.amend(place)
        self.place = place
        if self.shown_filter != filter_text or self.tail is None:
            self.restart(filter_text)
        else:
            self.load()
        self.flushing.resume()
        self.calls.focus()

    def leave(self) -> None:
        """Once a second is enough to see that what comes does not become too much."""
        self.flushing.pause()

    def set_filter(self, text: str) -> None:
        """While it is typed; the gateway is asked when the fingers rest."""
        if self.typing is not None:
            self.typing.stop()
        wanted = text.strip()
        if wanted != self.shown_filter:
            self.typing = self.set_timer(0.25, lambda: self.restart(wanted) if wanted != self.shown_filter else None)

    def restart(self, filter_text: str) -> None:
        """Another filter: the tail is opened first and the page asked after, so that nothing falls between them."""
        if self.tail is not None:
            self.tail.stop()
        self.shown_filter = filter_text
        self.page_ids = set()
        self.rate_marks = []
        self.older, self.searched_to = None, ""
        self.forget("older")
        self.tail = Tail(lambda: self.optyx.link.connect(), filter_text)
        self.tail.start()
        self.calls.replace([])
        self.calls.empty = [[("Loading…", "dim")]]
        self.ask("page", lambda client: client.logs(filter=filter_text, limit=FIRST_PAGE))
        self.load()

    def load(self) -> None:
        filter_text, window = self.shown_filter or "", self.optyx.window
        ranged = filter_text if "since:" in filter_text else f"{filter_text} since:{window}".strip()
        self.ask("count", lambda client: client.log_count(filter=ranged))

    def arrived_page(self, data: LogPage) -> None:
        rows = [seen(row) for row in reversed(data.data)]
        self.page_ids = {row.id for row in rows}
        pending = [row for row in (self.tail.take() if self.tail else []) if row.id not in self.page_ids]
        self.calls.replace([*rows, *pending])
        self._reached(data)
        self._say_why_empty()
        self._draw()

    def arrived_older(self, data: LogPage) -> None:
        self.calls.prepend([seen(row) for row in reversed(data.data)])
        self._reached(data)
        self._say_why_empty()
        if data.data:
            self.optyx.say(f"{len(data.data):,} older calls are above.")

    def _reached(self, page: LogPage) -> None:
        """How far back the list goes now, and what `b` does about it."""
        self.older, self.searched_to = page.next, (page.scanned_to or "") if page.next else ""
        more = "b older" if self.older else ""
        if self.searched_to:
            more = f"▲ searched back to {figures.minute(self.searched_to)}, b searches on"
        self.calls.set_title("Requests", more)

    def arrived_count(self, data: LogCount) -> None:
        self.count = data
        self._say_why_empty()
        self.draw_histogram()
        self.draw_head()

    def failed_page(self, error: Exception) -> None:
        self.calls.empty = [[("✖ ", "bad"), (self.optyx.described(error), "")]]
        self.calls.repaint()
        self.failed("page", error)

    def _say_why_empty(self) -> None:
        self.calls.empty = log_head.no_rows(
            self.shown_filter or "", self.searched_to, self.count, self.optyx.window, self.optyx.url
        )
        self.calls.changed()

    def on_log_view_at_top(self) -> None:
        """Older calls, a page at a time, as far as there is room."""
        cursor, filter_text = self.older, self.shown_filter or ""
        if cursor is None or self.calls.live is not None or "older" in self.waiting:
            return
        if len(self.calls.ring) + PAGE > self.calls.ring.capacity:
            self.optyx.say(
                f"{len(self.calls.ring):,} calls are loaded: no more fit. until: begins further back.", "warning"
            )
            return
        self.ask("older", lambda client: client.logs(filter=filter_text, limit=PAGE, cursor=cursor))

    # The stream

    def flush(self) -> None:
        tail = self.tail
        if tail is None or "page" in self.waiting:
            return
        self.flushes += 1
        if not self.display and tail.waiting < 20_000:
            return
        if not self.optyx.pulse.is_watched and self.flushes % int(flush_hz()):
            return  # once a second is enough for nobody
        rows = tail.take()
        if not rows:
            return
        if self.page_ids:
            rows = [row for row in rows if row.id not in self.page_ids]
        self.calls.add(rows)
        self.draw_head()

    def woke(self, uncounted_s: float) -> None:
        super().woke(uncounted_s)
        if self.tail is not None:
            self.tail.reopen()

    def _mark_rate(self) -> None:
        if self.tail is not None:
            self.rate_marks = [*self.rate_marks, self.tail.received][-6:]
            if self.display:
                self.draw_head()
            else:
                self.flush()

    @property
    def rate(self) -> float:
        marks = self.rate_marks
        return (marks[-1] - marks[0]) / (len(marks) - 1) if len(marks) > 1 else 0.0

    def draw_head(self) -> None:
        width = self.app.size.width
        is_away = self.optyx.link.stale_s is not None
        state = log_head.tail_state(self.calls, self.tail, self.rate, is_away)
        line = log_head.filter_line(self.shown_filter or "", self.count, self.tail, state, width)
        self.query_one("#filter-line", Bar).set_line(line)
        self.optyx.redraw_chrome()

    def draw_histogram(self) -> None:
        if self.count is not None:
            bars = log_head.histogram(self.count, self.optyx.window, self.app.size.width)
            self.query_one("#histogram", Bar).set_line(bars)

    # What is said about them

    def status(self) -> Line:
        return log_head.status(self.calls, self.tail, self.app.size.width)

    def filter_words(self) -> list[str]:
        """Names seen in the tail, for completion."""
        ring = self.calls.ring
        recent = [ring[number] for number in range(max(ring.first, ring.added - 300), ring.added)]
        found = {
            f"{field}:{getattr(row, field)}"
            for row in recent
            for field in ("model", "project", "key", "provider")
            if getattr(row, field)
        }
        return sorted(found)

    def records(self) -> Any:
        """What export writes: all that match, page by page, up to `EXPORTED`."""
        filter_text = self.shown_filter or ""

        def collect(client: Client) -> list[LogRow]:
            rows: list[LogRow] = []
            cursor: str | None = ""
            while cursor is not None and len(rows) < EXPORTED:
                page = client.logs(filter=filter_text, limit=PAGE, cursor=cursor)
                rows += page.data
                cursor = page.next
            return rows

        return collect
