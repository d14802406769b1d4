"""The live tail with its filter, histogram and a pane for the call under the cursor."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from textual.app import ComposeResult
from textual.timer import Timer

from gateway.admin.schema import LogCount, LogDetail, LogPage, LogRow
from tui import clock, figures
from tui.calls import Client
from tui.location import Location
from tui.screens import call_lines
from tui.screens.view import View, as_json
from tui.tail import GAP, Seen, Tail, seen
from tui.widgets.bound import bindings
from tui.widgets.columned import Column
from tui.widgets.line import Line, ends, fit
from tui.widgets.logview import LogView
from tui.widgets.marks import sparkline
from tui.widgets.panel import Bar, TextPanel

FIRST_PAGE = 300
PAGE = 1000
PANE_HEIGHT = 14


def _status(row: Seen) -> tuple[str, str]:
    if row.status == GAP:
        return "──", "warn"
    return str(row.status), call_lines.status_style(row.status)


def _model(row: Seen) -> tuple[str, str]:
    return (row.error, "warn") if row.status == GAP else (row.model or figures.NONE, "")


def _flags(row: Seen) -> tuple[str, str]:
    return (
        row.flags,
        "bad" if "✖" in row.flags else "warn" if row.status >= 400 else "accent" if "F" in row.flags else "dim",
    )


COLUMNS: list[Column[Seen]] = [
    Column("TIME", 12, lambda row: (figures.time_of_day(row.at), "dim"), lambda row: row.at),
    Column("ST", 3, _status, lambda row: row.status, "right"),
    Column("MODEL", 18, _model, lambda row: row.model, grow=True),
    Column("PROJECT", 11, lambda row: (row.project or figures.NONE, ""), lambda row: row.project, "left", 2),
    Column("KEY", 9, lambda row: (row.key or figures.NONE, ""), lambda row: row.key, "left", 5, grow=True),
    Column("PROVIDER", 9, lambda row: (row.provider or figures.NONE, ""), lambda row: row.provider, "left", 6),
    Column("TTFT", 6, lambda row: (figures.seconds(row.ttft_ms), ""), lambda row: row.ttft_ms, "right"),
    Column("TOTAL", 6, lambda row: (figures.seconds(row.total_ms), ""), lambda row: row.total_ms, "right"),
    Column("IN", 5, lambda row: (figures.count(row.tokens_in), "dim"), lambda row: row.tokens_in, "right", 7),
    Column("OUT", 5, lambda row: (figures.count(row.tokens_out), "dim"), lambda row: row.tokens_out, "right", 7),
    Column("COST", 9, lambda row: (figures.cost(row.cost_nusd), ""), lambda row: row.cost_nusd, "right", 2),
    Column("FLAGS", 7, _flags, lambda row: row.flags, "left", 2),
    Column(
        "ERROR",
        24,
        lambda row: (row.error or figures.NONE, "warn" if row.error else "dim"),
        lambda row: row.error,
        wide=True,
    ),
    Column("CALL", 38, lambda row: (row.id, "dim"), lambda row: row.id, wide=True),
]


NARROW: list[Column[Seen]] = [
    Column("TIME", 8, lambda row: (figures.time_of_day(row.at, 8), "dim"), lambda row: row.at),
    COLUMNS[1],
    Column("MODEL", 18, _model, grow=True),
    *(column for column in COLUMNS if column.title in ("PROJECT", "TTFT", "TOTAL", "COST")),
    Column("FLAGS", 6, _flags, lambda row: row.flags, "left", 2),
    *(replace(column, wide=True) for column in COLUMNS if column.title in ("KEY", "PROVIDER", "IN", "OUT")),
    *(column for column in COLUMNS if column.wide),
]
"""Under 100 columns: seconds without their thousandths make room for the flags."""
SEEN_EVERY_S = 1.0


def flush_hz() -> float:
    return 4.0 if os.environ.get("SSH_TTY") else 10.0


class Logs(View):
    """Every call as it ends, from all workers and machines. / filters on the gateway; the count beside it is of the whole range, not of
    what is loaded. Moving up pauses: rows then stand still and are counted; G follows again.

    Flags: S stream, C input from a cache, F2 answered by the second target, R same target again, limit and budget: refused by one,
    left: the client went away, cut: the answer broke off, ✖ no target answered.
    """

    scope = "logs"
    every_s = 5.0
    BINDINGS = bindings("logs")
    DEFAULT_CSS = """
    Logs #log-rows { height: 1fr; }
    Logs #pane { height: 14; display: none; }
    Logs.split #pane { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.tail: Tail | None = None
        self.count: LogCount | None = None
        self.page_ids: set[str] = set()
        self.older: str | None = None
        """The cursor of the page before the oldest row; None where there is none."""
        self.searched_to = ""
        """How far back the gateway had looked when its time for one search was over; empty where it looked at everything."""
        self.detail: LogDetail | None = None
        self.shown_filter: str | None = None
        self.typing: Timer | None = None
        self.wish: Timer | None = None
        self.rate_marks: list[int] = []
        self.searched = ""
        self.flushes = 0

    def compose(self) -> ComposeResult:
        yield Bar(id="filter-line")
        yield Bar(id="histogram")
        yield LogView(COLUMNS, title="Requests", id="log-rows")
        yield TextPanel("Detail", "enter full screen", id="pane")

    def on_mount(self) -> None:
        self.set_interval(1 / flush_hz(), self.flush)
        self.set_interval(1.0, self._mark_rate)
        self.set_interval(SEEN_EVERY_S, self._follow_detail)
        self._arrange()

    @property
    def calls(self) -> LogView[Seen]:
        return self.query_one("#log-rows", LogView)

    def on_resize(self) -> None:
        self._arrange()

    def _arrange(self) -> None:
        self.set_class(self.app.size.width >= 100 and self.app.size.height >= 30, "split")
        self.calls.set_columns(COLUMNS if self.app.size.width >= 100 else NARROW)
        self._draw_histogram()
        self._draw_head()

    # Coming and going

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
        self.calls.focus()

    def leave(self) -> None:
        if self.detail_timer_running():
            self.wish = None

    def detail_timer_running(self) -> bool:
        return self.wish is not None

    def restart(self, filter_text: str) -> None:
        """Another filter: the tail is opened first and the page asked after, so that nothing falls between them."""
        if self.tail is not None:
            self.tail.stop()
        self.shown_filter = filter_text
        self.searched = filter_text
        self.page_ids = set()
        self.rate_marks = []
        self.older, self.searched_to = None, ""
        self.forget("older")
        self.detail = None
        self.tail = Tail(self.optyx.link.connect, filter_text)
        self.tail.start()
        self.calls.replace([])
        self.calls.empty = [[("Loading…", "dim")]]
        self.ask("page", lambda client: client.logs(filter=filter_text, limit=FIRST_PAGE))
        self.load()

    def on_unmount(self) -> None:
        if self.tail is not None:
            self.tail.stop()

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
        self._empty_text()
        self._draw_pane()

    def arrived_older(self, data: LogPage) -> None:
        self.calls.prepend([seen(row) for row in reversed(data.data)])
        self._reached(data)
        self._empty_text()
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
        self._empty_text()
        self._draw_histogram()
        self._draw_head()

    def failed_page(self, error: Exception) -> None:
        self.calls.empty = [[("✖ ", "bad"), (self.optyx.described(error), "")]]
        self.calls.repaint()
        self.failed("page", error)

    def _empty_text(self) -> None:
        total = f"{self.count.total:,} calls in the last {self.optyx.window} without the filter. " if self.count else ""
        if self.searched_to:
            self.calls.empty = [
                [
                    ("No calls match ", ""),
                    (self.shown_filter or "", "accent"),
                    (" as far as was looked: back to ", ""),
                    (figures.minute(self.searched_to), "strong"),
                    (".", ""),
                ],
                [("b", "key"), (" searches on from there.  ", "dim"), ("x", "key"), (" clears the filter.", "dim")],
            ]
        elif self.shown_filter:
            self.calls.empty = [
                [("No calls match ", ""), (self.shown_filter, "accent"), (".", "")],
                [(total, "dim"), ("x", "key"), (" clears the filter.", "dim")],
            ]
        else:
            curl = f"curl {self.optyx.url}/v1/chat/completions -H 'authorization: Bearer KEY' -H 'content-type: application/json'"
            self.calls.empty = [
                [
                    ("No calls yet.", "strong"),
                    (" Send one with a key of yours (", ""),
                    ("4", "key"),
                    (" makes one; y copies this):", ""),
                ],
                [],
                [(curl, "accent")],
                [("""     -d '{"model":"fast","messages":[{"role":"user","content":"hello"}]}'""", "accent")],
            ]
        self.calls.changed()

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
        self._draw_head()

    def _mark_rate(self) -> None:
        if self.tail is not None:
            self.rate_marks = [*self.rate_marks, self.tail.received][-6:]
            if self.display:
                self._draw_head()

    @property
    def rate(self) -> float:
        marks = self.rate_marks
        return (marks[-1] - marks[0]) / (len(marks) - 1) if len(marks) > 1 else 0.0

    def _draw_head(self) -> None:
        width = self.app.size.width
        shown = self.shown_filter or ""
        left: Line = [(" FILTER  ", "head"), (shown or "none", "accent" if shown else "dim")]
        right: Line = []
        if self.count is not None:
            some = "≥ " if self.count.truncated else ""
            right += [(f"{some}{self.count.matched:,}", "strong"), (f" of {self.count.total:,}   ", "dim")]
        view = self.calls
        if view.sort_column >= 0:
            tail_state: Line = [
                ("▾ SORTED", "accent"),
                (f"  +{view.waiting:,} came  G follows ", "warn" if view.waiting else "dim"),
            ]
        elif view.following:
            tail_state = [("▶ FOLLOWING", "good"), (f"  {self.rate:.0f}/s ", "")]
        else:
            tail_state = [(f"‖ PAUSED +{view.waiting:,}", "warn"), (" ", "")]
        if self.tail is not None and self.tail.one_in > 1:
            right.append((f"▲ SAMPLED 1 in {self.tail.one_in}   ", "warn"))
        if self.tail is not None and not self.tail.connected and self.tail.problem:
            tail_state = [("◌ RECONNECTING ", "warn")]
        self.query_one("#filter-line", Bar).set_line(ends(left, right + tail_state, width))
        self.optyx.redraw_chrome()

    def _draw_histogram(self) -> None:
        if self.count is not None:
            self.query_one("#histogram", Bar).set_line(self._histogram(self.count, self.app.size.width))

    def _histogram(self, count: LogCount, width: int) -> Line:
        room = 56 if width >= 100 else 36
        line: Line = [(" ", ""), (sparkline(count.series, room), "spark"), (f"  last {self.optyx.window}", "dim")]
        errors = sparkline(count.error_series, 22 if width >= 100 else 14)
        return [*line, ("   errors ", "dim"), (errors, "bad" if any(count.error_series) else "dim")]

    # The call under the cursor

    def on_log_view_moved(self) -> None:
        if not self.calls.following:
            if self.wish is not None:
                self.wish.stop()
            self.wish = self.set_timer(0.12, self._ask_detail)
            self.optyx.redraw_chrome()  # its status line names the row
        if not (self.calls.following and self.detail):  # while following, the pane changes with each new detail only
            self._draw_pane()

    def _follow_detail(self) -> None:
        """While following, the pane shows the newest call of each second: a steady look instead of a flicker."""
        if self.display and self.calls.following and "detail" not in self.waiting:
            row = self.calls.current
            if row is not None and (self.detail is None or self.detail_id != row.id):
                self._ask_detail()

    @property
    def detail_id(self) -> str:
        return (self.detail.call_id or self.detail.request_id) if self.detail else ""

    def _ask_detail(self) -> None:
        row = self.calls.current
        if row is not None and row.status != GAP and self.has_class("split"):
            self.ask("detail", lambda client: client.log(row.id))

    def arrived_detail(self, data: LogDetail) -> None:
        self.detail = data
        self._draw_pane()

    def failed_detail(self, error: Exception) -> None:
        self.detail = None

    def _draw(self) -> None:
        self._draw_pane()

    def _draw_pane(self) -> None:
        if not self.has_class("split"):
            return
        pane = self.query_one("#pane", TextPanel)
        row = self.calls.current
        if row is None:
            pane.set_lines([])
        elif self.detail is not None and (self.calls.following or self.detail_id == row.id):
            pane.title_text = "Detail of the newest" if self.calls.following else "Detail"
            pane.set_lines(call_lines.pane(self.detail, pane.inner_width))
        else:
            pane.set_lines(_brief(row))

    # Acting

    def on_log_view_opened(self) -> None:
        row = self.calls.current
        if row is None or row.status == GAP:
            return
        self.calls.pause()
        self.optyx.go(Location("detail", object=row.id, filter=self.shown_filter or ""))

    def on_log_view_paused(self) -> None:
        if not self.calls.following:
            self._ask_detail()
        self._draw_head()

    def action_pause(self) -> None:
        if self.calls.following:
            self.calls.pause()
        else:
            self.calls.follow()

    def action_wrap(self) -> None:
        self.query_one("#pane", TextPanel).switch_wrap()

    def action_full(self) -> None:
        self.on_log_view_opened()

    def action_next_error(self) -> None:
        self._seek(lambda row: row.status >= 400, 1, "no later error")

    def action_find(self, step: int) -> None:
        words = [word for word in (self.place.filter or "").split() if ":" not in word]
        if not words:
            self.action_next_error() if step > 0 else self._seek(lambda row: row.status >= 400, -1, "no earlier error")
            return
        self._seek(
            lambda row: any(word.casefold() in " ".join(map(str, row)).casefold() for word in words),
            step,
            "no more matches",
        )

    def _seek(self, wanted: Any, step: int, none: str) -> None:
        view = self.calls
        self.calls.pause()
        number = view.cursor + step
        while view.ring.first <= number < view.ring.added:
            if wanted(view.ring[number]):
                view.move_to(number)
                return
            number += step
        self.optyx.say(f"There is {none} among the {len(view.ring):,} loaded rows.", "warning")

    def step(self, by: int) -> str | None:
        """The id of the next call in the filtered list, for the detail's n and p."""
        view = self.calls
        number = view.cursor + by
        while view.ring.first <= number < view.ring.added:
            if view.ring[number].status != GAP:
                view.move_to(number)
                return view.ring[number].id
            number += by
        return None

    def set_filter(self, text: str) -> None:
        """While it is typed; the gateway is asked when the fingers rest."""
        if self.typing is not None:
            self.typing.stop()
        wanted = text.strip()
        if wanted != self.shown_filter:
            self.typing = self.set_timer(0.25, lambda: self.restart(wanted) if wanted != self.shown_filter else None)

    def action_clear_filter(self) -> None:
        self.optyx.filter_by("")

    def action_replay(self) -> None:
        row = self.calls.current
        if row is not None:
            self.optyx.go(Location("playground", object=row.id))

    def action_backfill(self) -> None:
        row = self.calls.current
        if row is not None and row.status == GAP:
            self.restart(self.shown_filter or "")
        elif self.older is None:
            self.optyx.say("There is nothing older.", "warning")
        else:
            self.on_log_view_at_top()

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

    def records(self) -> Any:
        """What export writes: all that match, page by page, up to 100,000."""
        filter_text = self.shown_filter or ""

        def collect(client: Client) -> list[LogRow]:
            rows: list[LogRow] = []
            cursor: str | None = ""
            while cursor is not None and len(rows) < 100_000:
                page = client.logs(filter=filter_text, limit=PAGE, cursor=cursor)
                rows += page.data
                cursor = page.next
            return rows

        return collect

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

    def cli_names(self) -> dict[str, str]:
        row = self.calls.current
        return {"id": row.id if row else ""}

    def status(self) -> Line:
        view = self.calls
        line: Line = [
            ("row ", "dim"),
            (f"{view.cursor + 1 - view.ring.first:,}" if len(view.ring) else "0", ""),
            (f" / {len(view.ring):,}", "dim"),
        ]
        lost = self.tail.lost if self.tail else 0
        line += [("   loss ", "dim"), (f"{lost:,}", "bad" if lost else "")]
        newest = figures.parsed(view.ring[view.ring.added - 1].at) if len(view.ring) else None
        if newest is not None and not clock.is_frozen():
            age = max(0.0, clock.now() - newest.timestamp())
            line += [("   newest ", "dim"), (f"{age:.1f} s ago" if age < 60 else f"{figures.span(age)} ago", "")]
        legend = "   S stream  C cached in  F2 2nd target  R retried" if self.app.size.width >= 100 else ""
        return [*line, (legend, "dim")]

    def copies(self) -> list[tuple[str, str]]:
        row = self.calls.current
        text = self.shown_filter or ""
        hello = """-d '{"model":"fast","messages":[{"role":"user","content":"hello"}]}'"""
        call = f"curl {self.optyx.url}/v1/chat/completions -H 'authorization: Bearer KEY' -H 'content-type: application/json' {hello}"
        if row is None:
            return [("curl to make a call", call), ("CLI", f"optyx logs tail --filter '{text}'")]
        detail = self.detail if self.detail_id == row.id else None
        return [
            ("Id", detail.request_id if detail else row.id),
            ("Row", " ".join(str(part) for part in row if part not in (None, ""))),
            ("JSON", as_json(detail) if detail else ""),
            ("CLI, this call", f"optyx logs get {row.id}"),
            ("CLI, this list", f"optyx logs tail --filter '{text}'" if text else "optyx logs tail"),
            ("curl to make a call", call),
        ]


def _brief(row: Seen) -> list[Line]:
    if row.status == GAP:
        return [
            [(row.error, "warn")],
            [("The gateway had to leave these out of the tail. b asks for the list anew.", "dim")],
        ]
    return [
        [
            (row.id, "strong"),
            (f"  {row.model}", ""),
            (f"   {row.status}", call_lines.status_style(row.status)),
            (f"   {row.error}", "warn"),
        ],
        [
            (fit("project", 10), "dim"),
            (row.project, ""),
            ("   key ", "dim"),
            (row.key, ""),
            ("   provider ", "dim"),
            (row.provider or figures.NONE, ""),
        ],
        [
            (fit("time", 10), "dim"),
            (f"first byte {figures.duration(row.ttft_ms)}, total {figures.duration(row.total_ms)}", ""),
            (
                f"   in {figures.count(row.tokens_in)}  out {figures.count(row.tokens_out)}  {figures.cost(row.cost_nusd)}",
                "",
            ),
        ],
    ]
