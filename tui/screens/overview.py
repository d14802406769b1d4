"""Is it up, is it fast, what does it cost, what needs me: one call to the gateway fills the first screen."""

from __future__ import annotations

import time
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal

from gateway.admin.schema.logs import LogRow
from gateway.admin.schema.overview import Attention, TopRow
from gateway.admin.schema.overview import Overview as OverviewData
from gateway.admin.schema.providers import TargetHealth
from tui import figures
from tui.location import Location
from tui.screens.view import View, as_json
from tui.widgets.bound import bindings
from tui.widgets.columned import Column
from tui.widgets.dashboard import Dashboard
from tui.widgets.grid import GridTable
from tui.widgets.line import Line, Span
from tui.widgets.marks import gauge, gauge_style, sparkline, state

SIGNS: dict[str, Span] = {"error": ("✖", "bad"), "warning": ("▲", "warn"), "info": ("●", "good")}


def _bad_share(share: float | None) -> Span:
    text = figures.percent(share)
    return text, "" if not share or share < 0.01 else "warn" if share < 0.05 else "bad"


def _target_state(target: TargetHealth) -> Span:
    text, style = state(target.state)
    if target.circuit == "open" and target.open_for_s is not None:
        text = f"{text} {int(target.open_for_s) // 60:02d}:{int(target.open_for_s) % 60:02d}"
    return text, style


TARGETS: list[Column[TargetHealth]] = [
    Column("PROVIDER", 12, lambda one: (one.name, "strong"), lambda one: one.name, grow=True),
    Column("STATE", 14, _target_state, lambda one: one.state),
    Column("ERR%", 5, lambda one: _bad_share(one.error_share), lambda one: one.error_share, "right"),
    Column("P95", 6, lambda one: (figures.seconds(one.latency_p95_ms), ""), lambda one: one.latency_p95_ms, "right", 2),
    Column("TTFT95", 6, lambda one: (figures.seconds(one.ttft_p95_ms), ""), lambda one: one.ttft_p95_ms, "right", 3),
    Column("RPS", 6, lambda one: (figures.rate(one.requests_per_s), ""), lambda one: one.requests_per_s, "right", 2),
    Column("IN THE WINDOW", 14, lambda one: (sparkline(one.series, 14), "spark"), None, "left", 4),
]
ATTENTION: list[Column[Attention]] = [
    Column("", 1, lambda one: SIGNS.get(one.severity, ("·", ""))),
    Column("WHAT", 32, lambda one: (one.title, "strong"), None, "left", 0, grow=True),
    Column("DETAIL", 24, lambda one: (one.detail, "dim"), None, "left", 3, grow=True),
    Column("SINCE", 6, lambda one: (figures.age(one.since), "dim"), None, "right", 2),
]


def _budget(row: TopRow) -> Line:
    if row.budget_share is None:
        return [("no budget", "dim")]
    return [
        *gauge(row.budget_share, 10, gauge_style(row.budget_share)),
        (f" {figures.percent(row.budget_share, 0):>3} %", ""),
    ]


TOP: list[Column[TopRow]] = [
    Column("PROJECT", 16, lambda one: (one.name, "strong"), lambda one: one.name, grow=True),
    Column("REQ/S", 7, lambda one: (figures.rate(one.requests_per_s), ""), lambda one: one.requests_per_s, "right"),
    Column("ERR%", 6, lambda one: _bad_share(one.error_share), lambda one: one.error_share, "right"),
    Column("TTFT95", 8, lambda one: (figures.seconds(one.ttft_p95_ms), ""), lambda one: one.ttft_p95_ms, "right", 3),
    Column(
        "TOKENS/M", 9, lambda one: (figures.count(one.tokens_per_min), ""), lambda one: one.tokens_per_min, "right", 3
    ),
    Column("TODAY", 11, lambda one: (figures.dollars(one.today_nusd), ""), lambda one: one.today_nusd, "right"),
    Column("BUDGET", 16, _budget, lambda one: one.budget_share, "left", 2),
    Column("REQUESTS", 16, lambda one: (sparkline(one.series, 16), "spark"), None, "left", 4),
]


def status_style(status: int) -> str:
    return "good" if status < 400 else "warn" if status < 500 else "bad"


ERRORS: list[Column[LogRow]] = [
    Column("TIME", 8, lambda one: (figures.time_of_day(one.created_at, 8), "dim")),
    Column("ST", 3, lambda one: (str(one.status), status_style(one.status))),
    Column("PROVIDER", 10, lambda one: (one.provider or figures.NONE, ""), None, "left", 3),
    Column("MODEL", 18, lambda one: (one.model or one.requested_model or figures.NONE, ""), None, "left", 2),
    Column("PROJECT", 12, lambda one: (one.project, ""), None, "left", 2),
    Column("WHAT", 22, lambda one: (one.error_code or one.end_reason, "warn"), None, grow=True),
    Column("REQUEST", 24, lambda one: (one.request_id, "dim"), None, "left", 4),
]


RECALL_AFTER_S = 0.1
LEAST_OF_FIGURES = 12
"""Lines of a terminal in which the figures leave room for a list; below, the list has all of it."""
"""A gateway nearby has answered by then."""
KEEP_EVERY_S = 60.0


CALM: Line = [("● ", "good"), ("Nothing needs attention.", "")]
NO_CALLS: Line = [("No calls yet. ", "dim"), ("3", "key"), (" opens the projects: make a key and send one.", "dim")]


class Overview(View):
    """Figures of the chosen window ([ and ] change it), the health of every provider, what needs a person, who spends, what went wrong.

    Money of a day counts from midnight in the zone shown. Percentiles are of whole calls as the gateway measured them; overhead is what
    the gateway itself added. enter on a row opens what is behind it.
    """

    scope = "overview"
    about = {
        "targets": "The providers, or with p the models: their state, errors, latency and rate in this window. enter opens the calls behind one.",
        "attention": "What needs a person, the worst first. enter opens the cause.",
        "top-rows": "Who uses most: projects, keys or models (t), by the money of today. enter opens the calls behind one.",
        "errors": "The latest calls that failed. enter opens one.",
    }
    every_s: float | None = 1.0
    BINDINGS = bindings("overview")
    DEFAULT_CSS = """
    Overview #middle { height: 1fr; min-height: 6; }
    Overview #targets { width: 62%; }
    Overview #attention { width: 38%; }
    Overview #top-rows { height: 8; }
    Overview #errors { height: 6; }
    Overview.compact Dashboard { height: 6; }
    Overview.flat Dashboard { display: none; }
    Overview.compact #middle { layout: vertical; }
    Overview.compact #targets { width: 100%; height: 1fr; }
    Overview.compact #attention { width: 100%; height: 7; }
    Overview.compact #top-rows, Overview.compact #errors { height: 7; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.data: OverviewData | None = None
        self.frozen = False
        self.by_model = False
        self.top_by = 0
        self.lower = 0
        self.is_remembered = False
        """What it shows is of an earlier session, until there is an answer."""
        self.kept_at = 0.0

    def compose(self) -> ComposeResult:
        yield Dashboard()
        with Horizontal(id="middle"):
            yield GridTable(TARGETS, lambda one: one.id or one.name, title="Providers", id="targets")
            yield GridTable(ATTENTION, lambda one: one.title, title="Needs attention", id="attention")
        yield GridTable(TOP, lambda one: one.id or one.name, title="Top projects", id="top-rows")
        yield GridTable(ERRORS, lambda one: one.call_id or one.request_id, title="Latest errors", id="errors")

    def on_mount(self) -> None:
        self._empty_texts()
        if self.optyx.remembered is not None:
            self.set_timer(RECALL_AFTER_S, self._recall)

    def _empty_texts(self) -> None:
        self.grid("targets").empty = [[("No providers yet. ", "dim"), ("5", "key"), (" shows how to add one.", "dim")]]
        self.grid("attention").empty = [CALM]
        self.grid("top-rows").empty = [NO_CALLS]
        self.grid("errors").empty = [[("● ", "good"), ("No errors in this window.", "")]]

    def grid(self, name: str) -> GridTable[Any]:
        return self.query_one(f"#{name}", GridTable)

    def fit_in(self) -> None:
        super().fit_in()
        self.set_class(self.app.size.height < LEAST_OF_FIGURES, "flat")
        self._show_lower()

    def _show_lower(self) -> None:
        compact = self.has_class("compact")
        for index, name in enumerate(("attention", "top-rows", "errors")):
            self.grid(name).set_class(compact and index != self.lower, "hidden")

    def load(self) -> None:
        if not self.frozen:
            window = self.optyx.window
            self.ask("overview", lambda client: client.overview(window))

    def arrived_overview(self, data: OverviewData) -> None:
        self.is_remembered = False
        self._show(data)
        if time.monotonic() - self.kept_at > KEEP_EVERY_S:
            self._keep()

    def _keep(self) -> None:
        if self.optyx.remembered is not None and self.data is not None and not self.is_remembered:
            self.kept_at = time.monotonic()
            self.optyx.remembered.keep(self.data)

    def _recall(self) -> None:
        """Dimmed and with its age, as all that is old."""
        found = self.optyx.remembered.recall() if self.optyx.remembered is not None and self.data is None else None
        if found is not None:
            self.is_remembered = True
            self.answered_at = time.monotonic() - found[1]
            self._show(found[0])
            self.optyx.pulse.age(self)
            self.optyx.show_first()

    def old_s(self) -> float | None:
        return time.monotonic() - self.answered_at if self.is_remembered else super().old_s()

    def on_unmount(self) -> None:
        self._keep()

    def _show(self, data: OverviewData) -> None:
        self.data = data
        self.query_one(Dashboard).show(data)
        self.optyx.set_urgent(sum(one.severity == "error" for one in data.attention))
        self._fill()
        if self.app.focused is None:
            self.grid("targets").focus()

    def _fill(self) -> None:
        data = self.data
        if data is None:
            return
        names = ("projects", "keys", "models")
        self.grid("targets").set_rows(
            data.models if self.by_model else data.providers,
            "Models" if self.by_model else "Providers",
            f"p: {'providers' if self.by_model else 'models'}",
        )
        self.grid("top-rows").set_rows(
            (data.top_projects, data.top_keys, data.top_models)[self.top_by],
            f"Top {names[self.top_by]}",
            f"t: {names[(self.top_by + 1) % 3]}   s sort",
        )
        asking = f" ({len(data.attention)})" if data.attention else ""
        attention = self.grid("attention")
        attention.empty = [CALM] if data.top_projects or not self.has_class("compact") else [CALM, [], NO_CALLS]
        attention.set_rows(data.attention, f"Needs attention{asking}")
        self.grid("errors").set_rows(data.latest_errors, "Latest errors", "enter open   l all errors")

    def next_panel(self, step: int) -> None:
        """In little room `tab` brings the next of the lower panels."""
        if not self.has_class("compact"):
            super().next_panel(step)
            return
        lower = ("attention", "top-rows", "errors")
        if self.grid("targets").has_focus:
            self.lower = 0 if step > 0 else 2
        elif 0 <= self.lower + step <= 2:
            self.lower += step
        else:
            self.turn_to(self.grid("targets"))
            return
        self._show_lower()
        self.turn_to(self.grid(lower[self.lower]))

    # Acting

    def offers(self, action: str) -> bool:
        grid = self.screen.focused
        return action not in ("open", "logs") or (isinstance(grid, GridTable) and grid.current is not None)

    def on_grid_table_opened(self, message: GridTable.Opened) -> None:
        row = message.grid.current
        app = self.optyx
        if isinstance(row, Attention):
            app.go(Location(row.screen or "logs", object="" if row.screen == "logs" else row.object, filter=row.filter))
        elif isinstance(row, LogRow):
            app.go(Location("detail", object=row.call_id or row.request_id))
        else:
            self.action_logs()

    def action_logs(self) -> None:
        grid = self.app.focused
        row = grid.current if isinstance(grid, GridTable) else None
        text = f"since:{self.optyx.window}"
        if isinstance(row, TargetHealth):
            text = f"{'model' if self.by_model else 'provider'}:{row.name} {text}"
        elif isinstance(row, TopRow):
            text = f"{('project', 'key', 'model')[self.top_by]}:{row.name} {text}"
        elif isinstance(row, Attention) and row.filter:
            text = row.filter
        elif isinstance(row, LogRow):
            text = f"status:4xx,5xx {text}"
        self.optyx.go(Location("logs", filter=text))

    def action_freeze(self) -> None:
        self.frozen = not self.frozen
        self.every_s = None if self.frozen else Overview.every_s
        self.optyx.redraw_chrome()
        self.load()

    def action_cycle_targets(self) -> None:
        self.by_model = not self.by_model
        self._fill()

    def action_cycle_top(self) -> None:
        self.top_by = (self.top_by + 1) % 3
        self._fill()

    def status(self) -> Line:
        line: Line = [("window ", "dim"), (self.optyx.window, "strong"), (" [ ]   ", "dim")]
        line += [("‖ frozen", "warn")] if self.frozen else [("refresh 1s", "dim")]
        rates = self.data.rates if self.data else None
        if rates and 0 < rates.looked_at < rates.requests:
            line += [(f"   ▲ SAMPLED {rates.looked_at:,} of {rates.requests:,} calls", "warn")]
        alerts = sum(1 for one in self.data.attention if one.severity == "error") if self.data else 0
        line += [("   ", ""), (f"✖ {alerts} urgent", "bad")] if alerts else []
        attention = self.grid("attention")
        if attention.has_focus and attention.current is not None and attention.current.detail:
            return [*line, ("   ", ""), (attention.current.detail, "")]
        if self.data and self.data.price_table_at:
            line += [("   prices of ", "dim"), (figures.day(self.data.price_table_at), "dim")]
        return line

    def copies(self) -> list[tuple[str, str]]:
        return [
            ("CLI", "optyx status"),
            ("curl", f'curl -H "authorization: Bearer $OPTYX_ADMIN_TOKEN" {self.optyx.url}/admin/v1/overview'),
            ("JSON", as_json(self.data) if self.data else ""),
        ]
