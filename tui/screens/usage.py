"""Who spent it (`:usage`): by project, key, model, provider or day, with a total that the rows add up to."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult

from gateway.admin.schema.usage import Usage as UsageData
from gateway.admin.schema.usage import UsageRow
from tui import figures
from tui.location import Location
from tui.screens.view import View, as_json
from tui.widgets.columned import Column
from tui.widgets.grid import GridTable
from tui.widgets.line import Line
from tui.widgets.marks import gauge

GROUPS = ("project", "key", "model", "provider", "day")


class Usage(View):
    """What was used and what it cost, in one reporting zone. The rows add up to the total: the line below says whether they do.

    left and right change what the rows stand for.
    """

    scope = "usage"
    every_s = 15.0

    def __init__(self) -> None:
        super().__init__()
        self.by = "project"
        self.data: UsageData | None = None

    def compose(self) -> ComposeResult:
        columns: list[Column[UsageRow]] = [
            Column("WHO", 20, lambda one: (one.group or "(none)", "strong"), lambda one: one.group, grow=True),
            Column("CALLS", 9, lambda one: (f"{one.requests:,}", ""), lambda one: one.requests, "right"),
            Column(
                "ERRORS",
                8,
                lambda one: (f"{one.errors:,}", "warn" if one.errors else "dim"),
                lambda one: one.errors,
                "right",
                3,
            ),
            Column(
                "TOKENS IN",
                10,
                lambda one: (figures.count(one.prompt_tokens), ""),
                lambda one: one.prompt_tokens,
                "right",
                2,
            ),
            Column(
                "OUT",
                9,
                lambda one: (figures.count(one.completion_tokens), ""),
                lambda one: one.completion_tokens,
                "right",
                2,
            ),
            Column(
                "COST",
                12,
                lambda one: (figures.dollars(one.cost_nusd, 4), "strong"),
                lambda one: one.cost_nusd,
                "right",
            ),
            Column("SHARE", 20, self._share, None, "left", 3),
            Column(
                "UNPRICED",
                9,
                lambda one: (f"{one.unpriced_calls:,}", "warn" if one.unpriced_calls else "dim"),
                None,
                "right",
                5,
            ),
        ]
        yield GridTable(
            columns, lambda one: one.group_id or one.group, title="Usage", aside="←→ by what   s sort", id="usage-rows"
        )

    def _share(self, one: UsageRow) -> Line:
        total = self.data.total.cost_nusd if self.data else 0
        share = one.cost_nusd / total if total else 0.0
        return [*gauge(share, 14), (f" {figures.percent(share, 0):>3} %", "dim")]

    @property
    def rows(self) -> GridTable[UsageRow]:
        return self.query_one("#usage-rows", GridTable)

    def visit(self, place: Location) -> None:
        if place.object in GROUPS:
            self.by = place.object
        self.rows.wait_lines = [[("Adding up…", "dim")]]
        self.rows.empty = [[("No calls in this time.", "dim")]]
        super().visit(place)

    def load(self) -> None:
        by, text = self.by, self.place.filter
        scope, _, name = text.partition(":")
        named = {scope: name} if scope in ("project", "key") and name else {}
        self.ask("usage", lambda client: client.usage(group_by=by, **named))

    def arrived_usage(self, data: UsageData) -> None:
        self.data = data
        self.rows.set_rows(data.data)
        of = f" of {self.place.filter}" if self.place.filter else ""
        self.rows.set_title(f"Usage by {self.by}{of}")

    def on_key(self, event: events.Key) -> None:
        if event.key in ("left", "right"):
            event.stop()
            step = 1 if event.key == "right" else -1
            self.by = GROUPS[(GROUPS.index(self.by) + step) % len(GROUPS)]
            self.load()

    def on_grid_table_opened(self) -> None:
        one = self.rows.current
        if one is not None and self.by != "day":
            self.optyx.go(Location("logs", filter=f"{self.by}:{one.group}"))

    def status(self) -> Line:
        data = self.data
        if data is None:
            return []
        total = sum(one.cost_nusd for one in data.data)
        whole = total == data.total.cost_nusd
        line: Line = [(f"{figures.day(data.since)} – {figures.day(data.until)} ({data.timezone})   total ", "dim")]
        line += [(figures.dollars(data.total.cost_nusd, 4), "strong"), (f"   {data.total.requests:,} calls   ", "")]
        return [*line, ("● rows add up", "good") if whole else (f"✖ rows add up to {figures.dollars(total, 4)}", "bad")]

    def copies(self) -> list[tuple[str, str]]:
        return [("CLI", f"optyx usage --by {self.by}"), ("JSON", as_json(self.data) if self.data else "")]

    def offers(self, action: str) -> bool:
        return action != "open" or self.rows.current is not None

    def records(self) -> object:
        rows = list(self.rows.rows)
        return lambda client: rows
