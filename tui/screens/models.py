"""Models and their prices (`:models`)."""

from __future__ import annotations

from textual.app import ComposeResult

from gateway.admin.schema.models import Model, Tier
from tui import figures
from tui.calls import Client
from tui.location import Location
from tui.screens.view import View, as_json
from tui.widgets.columned import Column
from tui.widgets.grid import GridTable
from tui.widgets.line import Line

COLUMNS: list[Column[Model]] = [
    Column("MODEL", 26, lambda one: (one.id, "strong" if one.enabled else "dim"), lambda one: one.id, grow=True),
    Column("PROVIDER", 10, lambda one: (one.provider, ""), lambda one: one.provider),
    Column("MODE", 9, lambda one: (one.mode, "dim"), lambda one: one.mode, "left", 4),
    Column(
        "IN $/M",
        8,
        lambda one: (figures.dollars(one.input_nusd, 2), "warn" if one.input_nusd is None else ""),
        lambda one: one.input_nusd,
        "right",
    ),
    Column("OUT $/M", 8, lambda one: (figures.dollars(one.output_nusd, 2), ""), lambda one: one.output_nusd, "right"),
    Column(
        "CACHED", 8, lambda one: (figures.dollars(one.cached_nusd, 3), "dim"), lambda one: one.cached_nusd, "right", 4
    ),
    Column(
        "CONTEXT",
        8,
        lambda one: (figures.count(one.max_input_tokens), ""),
        lambda one: one.max_input_tokens,
        "right",
        3,
    ),
    Column(
        "MAX OUT",
        8,
        lambda one: (figures.count(one.max_output_tokens), "dim"),
        lambda one: one.max_output_tokens,
        "right",
        4,
    ),
    Column(
        "CALLS 24H",
        9,
        lambda one: (figures.count(one.requests_24h or None), ""),
        lambda one: one.requests_24h,
        "right",
        2,
    ),
    Column("TTFT95", 7, lambda one: (figures.seconds(one.ttft_p95_ms), ""), lambda one: one.ttft_p95_ms, "right", 5),
    Column(
        "STATE",
        10,
        lambda one: ("● enabled", "good") if one.enabled else ("○ disabled", "dim"),
        lambda one: one.enabled,
        "left",
        5,
    ),
]


class Models(View):
    """Every model with its price per million tokens, its sizes and its use. A model without a price is charged nothing, and is refused
    to keys with a money budget."""

    scope = "models"
    every_s = 15.0

    def __init__(self) -> None:
        super().__init__()
        self.tiers: list[Tier] = []

    def compose(self) -> ComposeResult:
        yield GridTable(
            COLUMNS, lambda one: f"{one.provider}/{one.id}", title="Models", aside="s sort", id="model-rows"
        )

    @property
    def rows(self) -> GridTable[Model]:
        return self.query_one("#model-rows", GridTable)

    def visit(self, place: Location) -> None:
        self.rows.wait_lines = [[("Loading models…", "dim")]]
        super().visit(place)
        self.rows.set_words(place.filter)

    def load(self) -> None:
        provider = self.place.object

        def fetch(client: Client) -> tuple[list[Model], list[Tier]]:
            return [one for one in client.models(provider) if not provider or one.provider == provider], client.tiers()

        self.ask("models", fetch)

    def arrived_models(self, data: tuple[list[Model], list[Tier]]) -> None:
        rows, self.tiers = data
        self.rows.set_rows(rows)
        of = f" of {self.place.object}" if self.place.object else ""
        self.rows.set_title(f"Models{of} ({len(rows)})")

    def set_filter(self, text: str) -> None:
        self.rows.set_words(text)

    def on_grid_table_opened(self) -> None:
        if self.rows.current is not None:
            self.optyx.go(Location("logs", filter=f"model:{self.rows.current.id}"))

    def status(self) -> Line:
        line: Line = []
        for tier in self.tiers:
            asked = [tier.stand_in, *tier.targets] if tier.stand_in is not None else tier.targets
            line += [(f"{tier.name} ", "strong"), (" → ".join(one.model for one in asked) + "   ", "dim")]
        return line

    def copies(self) -> list[tuple[str, str]]:
        one = self.rows.current
        return [("Id", one.id), ("JSON", as_json(one)), ("CLI", f"optyx models get {one.id}")] if one else []

    def offers(self, action: str) -> bool:
        return self.rows.current is not None

    def records(self) -> object:
        rows = list(self.rows.rows)
        return lambda client: rows
