"""Limits and budgets: how much is used, when it begins anew, when it will be gone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from textual.app import ComposeResult
from textual.containers import Horizontal

from gateway.admin.schema.limits import Budget, Gauge, LimitRow, LimitsOverview
from gateway.admin.schema.limits import Limits as LimitsBody
from gateway.admin.schema.record import Changed
from tui import clock, figures
from tui.location import Location
from tui.screens.key_form import money_or_none, whole_or_none
from tui.screens.view import View, as_json
from tui.widgets.bound import bindings
from tui.widgets.columned import Column
from tui.widgets.form import Field, Form
from tui.widgets.grid import GridTable
from tui.widgets.line import Line, Span, fit, wrapped
from tui.widgets.marks import gauge, gauge_style
from tui.widgets.panel import TextPanel

WINDOW_WORDS = {"1h": "hour", "1d": "day", "7d": "7 days", "30d": "30 days", "1mo": "month", "total": "in all"}


def share_of(one: Budget) -> float:
    whole = one.amount_nusd + one.raise_nusd
    return one.spent_nusd / whole if whole > 0 else 1.0


def _scope(one: Budget) -> Line:
    kind: Line = [(f"{one.scope} ", "dim"), (one.subject_name or one.subject, "strong")]
    narrowed = one.model or one.tier
    return [*kind, (f" {narrowed}", "accent")] if narrowed else kind


def _limit(one: Budget) -> Span:
    extra = f" +{figures.dollars(one.raise_nusd, 0)}" if one.raise_nusd else ""
    places = 0 if one.amount_nusd % figures.NUSD == 0 else None
    return f"{figures.dollars(one.amount_nusd, places)}{extra} / {WINDOW_WORDS.get(one.window, one.window)}", ""


def _used(one: Budget) -> Line:
    share = share_of(one)
    return [
        *gauge(share, 20, gauge_style(share)),
        (f" {figures.percent(share, 0):>3} %", "bad" if share >= 1 else "warn" if share >= 0.8 else ""),
    ]


def _resets(one: Budget) -> Span:
    at = figures.parsed(one.resets_at)
    if at is None:
        return "never", "dim"
    left = figures.until(one.resets_at).removeprefix("in ").replace(" min", "m").replace(" s", "s")
    return f"{at:%b} {at.day} {at:%H:%M} ({left})", "dim"


def _forecast(one: Budget) -> Span:
    if share_of(one) >= 1:
        return "✖ used up", "bad"
    at = figures.parsed(one.forecast_at)
    if at is None:
        return "● lasts", "good"
    return f"▲ gone {at:%a %H:%M}" if (at.timestamp() - clock.now()) < 6 * 86400 else f"▲ gone {at:%b %d}", "warn"


BUDGETS: list[Column[Budget]] = [
    Column("SCOPE", 20, _scope, lambda one: (one.scope, one.subject_name), grow=True),
    Column("LIMIT", 15, _limit, lambda one: one.amount_nusd, "left", 2),
    Column("USED", 26, _used, share_of),
    Column("SPENT", 10, lambda one: (figures.dollars(one.spent_nusd, 2), ""), lambda one: one.spent_nusd, "right", 2),
    Column(
        "HELD",
        8,
        lambda one: (figures.dollars(one.held_nusd, 2) if one.held_nusd else figures.NONE, "dim"),
        lambda one: one.held_nusd,
        "right",
        5,
    ),
    Column("RESETS (UTC)", 21, _resets, lambda one: one.resets_at, "left", 4),
    Column("AT THIS RATE", 16, _forecast, lambda one: one.forecast_at or "9"),
]


def _gauge(one: Gauge, kind: str) -> Line:
    used = figures.count(one.used)
    if one.limit is None:
        return [(fit(f"{used}/–", 11), "dim")]
    share = one.used / one.limit if one.limit else 1.0
    return [(fit(f"{used}/{figures.count(one.limit)}", 11), ""), *gauge(share, 5, gauge_style(share))]


RATES: list[Column[LimitRow]] = [
    Column(
        "SCOPE",
        20,
        lambda one: [(f"{one.scope} ", "dim"), (one.name or one.subject, "strong")],
        lambda one: one.name,
        grow=True,
    ),
    Column("RPM", 16, lambda one: _gauge(one.rpm, "rpm"), lambda one: one.rpm.used),
    Column("TPM", 16, lambda one: _gauge(one.tpm, "tpm"), lambda one: one.tpm.used),
    Column(
        "AT ONCE", 16, lambda one: _gauge(one.concurrency, "concurrency"), lambda one: one.concurrency.used, "left", 3
    ),
    Column(
        "429 IN 24 H",
        11,
        lambda one: (f"{one.refused_24h:,}", "warn" if one.refused_24h else "dim"),
        lambda one: one.refused_24h,
        "right",
        2,
    ),
]


class Limits(View):
    """Budgets first: a bar, a number, the time it begins anew, and what the last 24 hours say about when it will be gone.

    Spent is what is recorded; held is set aside for calls under way. o adds money for a while; e changes limits and budgets of the scope
    under the cursor; enter answers who spent it, with rows that add up to the total.
    """

    scope = "limits"
    about = {
        "budgets": "Money: what is spent and held of each budget, when it begins anew, when it will be gone. enter says who spent it.",
        "rates": "Requests, tokens and calls at once, now, against their limits. enter opens the calls that were refused.",
    }
    every_s = 3.0
    BINDINGS = bindings("limits")
    DEFAULT_CSS = """
    Limits #budgets { height: 1fr; min-height: 8; }
    Limits #below { height: 15; }
    Limits #rates { width: 68%; }
    Limits #act { width: 32%; }
    Limits.compact #below { height: 8; }
    Limits.compact #rates { width: 100%; }
    Limits.compact #act { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.data: LimitsOverview | None = None
        self.doing = ""
        self.editing: tuple[str, str, str, str] | None = None

    def compose(self) -> ComposeResult:
        yield GridTable(BUDGETS, lambda one: one.id, title="Budgets", aside="s sort", id="budgets")
        with Horizontal(id="below"):
            yield GridTable(RATES, lambda one: f"{one.scope}:{one.subject}", title="Rate limits, now", id="rates")
            yield TextPanel("Act", id="act")

    def on_mount(self) -> None:
        self.budgets.wait_lines = self.rates.wait_lines = [[("Loading limits…", "dim")]]
        self.budgets.empty = [
            [
                ("No budgets yet. ", "strong"),
                ("On a project or key, press ", ""),
                ("b", "key"),
                (", then ", ""),
                ("e", "key"),
                (".", ""),
            ]
        ]
        self.rates.empty = [[("No rate limits yet.", "dim")]]

    @property
    def budgets(self) -> GridTable[Budget]:
        return self.query_one("#budgets", GridTable)

    @property
    def rates(self) -> GridTable[LimitRow]:
        return self.query_one("#rates", GridTable)

    def visit(self, place: Location) -> None:
        super().visit(place)
        self.set_filter(place.filter)

    def load(self) -> None:
        self.ask("limits", lambda client: client.limits())

    def arrived_limits(self, data: LimitsOverview) -> None:
        first = self.data is None
        self.data = data
        self.budgets.set_rows(data.budgets)
        self.rates.set_rows(data.rates)
        if first and self.place.object:
            self.budgets.select(self.place.object)
        self._draw()

    def on_grid_table_moved(self) -> None:
        self._draw()

    def set_filter(self, text: str) -> None:
        self.budgets.set_words(text)
        self.rates.set_words(text)

    def _draw(self) -> None:
        panel = self.query_one("#act", TextPanel)
        one = self.budgets.current
        name = one.subject_name or one.subject if one else "the scope"
        zone, width = self.data.timezone if self.data else "UTC", panel.inner_width
        more = f"more money for {name} until a day you name, with a reason"
        lines: list[Line] = [
            [("o ", "key"), ("temporary override", "")],
            *([("  ", ""), *line] for line in wrapped(more, width - 2, "dim")),
            [("e ", "key"), ("edit its limits and budgets", "")],
            [("enter ", "key"), ("who spent it", "")],
            [("l ", "key"), ("the calls it refused", "")],
            [],
        ]
        if one is not None and one.raise_nusd:
            lines += [[(f"+{figures.dollars(one.raise_nusd)} until {figures.day(one.raise_until)}", "accent")], []]
        lines += wrapped(f"One clock: every figure uses the gateway's reporting zone ({zone}).", width, "dim")
        panel.set_lines(lines)

    # Acting

    def on_grid_table_opened(self, message: GridTable.Opened) -> None:
        row = message.grid.current
        if isinstance(row, Budget):
            by = {"org": "project", "project": "key"}.get(row.scope, "model")
            self.optyx.go(
                Location("usage", object=by, filter=f"{row.scope}:{row.subject_name}" if row.scope != "org" else "")
            )
        elif isinstance(row, LimitRow):
            self.action_logs()

    def _scope_here(self) -> tuple[str, str, str] | None:
        """(scope, subject, name) of the row under the cursor in the focused list."""
        if self.rates.has_focus and self.rates.current is not None:
            row = self.rates.current
            return row.scope, row.subject, row.name
        one = self.budgets.current
        if one is not None:
            return one.scope, one.subject, one.subject_name
        return ("project", self.place.project, self.place.project) if self.place.project else None

    def action_logs(self) -> None:
        here = self._scope_here()
        named = f" {here[0]}:{here[2]}" if here and here[0] in ("project", "key") else ""
        self.optyx.go(Location("logs", filter=f"status:429{named}"))

    def action_override(self) -> None:
        one = self.budgets.current
        if one is None:
            return
        until = f"{clock.moment() + timedelta(days=7):%Y-%m-%d}"
        fields = [
            Field(
                "add",
                "Add $",
                "100",
                "on top of the budget",
                lambda text: "needed" if not text else money_or_none(text),
            ),
            Field("until", "Until", until, "a day, YYYY-MM-DD (UTC), at 00:00", _day_mistake),
            Field("reason", "Reason", "", "is written to the audit trail"),
        ]

        def given(answers: dict[str, str] | None) -> None:
            if answers:
                self.doing = f"raised the budget of {one.subject_name} by ${answers['add']} until {answers['until']}"
                self.change(
                    "changed",
                    lambda client: client.raise_budget(
                        one.id, answers["add"], f"{answers['until']}T00:00:00Z", answers["reason"]
                    ),
                    f"Raise the budget of {one.subject_name} by ${answers['add']} until {answers['until']}?",
                )

        self.app.push_screen(Form(f"Override for {one.scope} {one.subject_name}", fields, "raise"), given)

    def action_edit(self) -> None:
        here = self._scope_here()
        if here is None:
            self.optyx.say("Open limits from a project or key (b) to set its first ones.", "warning")
            return
        scope, subject, name = here
        self.editing = (scope, subject, name, "")
        self.ask("present", lambda client: client.limits_of(scope, subject))

    def arrived_present(self, data: tuple[LimitsBody, str]) -> None:
        present, etag = data
        if self.editing is None:
            return
        scope, subject, name, _ = self.editing
        first = present.budgets[0] if present.budgets else None
        fields = [
            Field("rpm", "Requests/min", str(present.rpm or ""), "empty: no limit", whole_or_none),
            Field("tpm", "Tokens/min", str(present.tpm or ""), "empty: no limit", whole_or_none),
            Field("concurrency", "At once", str(present.concurrency or ""), "empty: no limit", whole_or_none),
            Field("amount", "Budget $", first.amount_usd if first else "", "empty: no budget", money_or_none),
            Field(
                "window", "Window", first.window if first else "1mo", choices=("1h", "1d", "7d", "30d", "1mo", "total")
            ),
        ]
        others = len(present.budgets[1:]) + len(present.models) + len(present.tiers)

        def given(answers: dict[str, str] | None) -> None:
            if answers:
                self.doing = f"changed the limits of {name}"
                body = edited(present, answers)
                question = f"Change the limits of {name}?"
                self.change("changed", lambda client: client.save_limits(scope, subject, body, etag), question)

        notes = [f"{others} more (other windows, models, tiers) stay as they are."] if others else []
        self.app.push_screen(Form(f"Limits of {scope} {name}", fields, "save", notes), given)

    def arrived_changed(self, data: Changed) -> None:
        self.optyx.say(f"{self.doing[:1].upper()}{self.doing[1:]}.")
        self.optyx.offer_undo(data.audit_id, self.doing)
        self.load()

    def offers(self, action: str) -> bool:
        if action in ("override", "edit"):
            return (self.budgets.current if action == "override" else self._scope_here()) is not None
        return action != "open" or self.budgets.current is not None

    def cli_names(self) -> dict[str, str]:
        here = self._scope_here()
        return {"scope": f"{here[0]} {here[2]}" if here else ""}

    def status(self) -> Line:
        rows = self.data.budgets if self.data else []
        gone = sum(one.forecast_at is not None or share_of(one) >= 1 for one in rows)
        raised = sum(one.raise_nusd > 0 for one in rows)
        style = "warn" if gone else ""
        return [
            (f"{gone} budget{'s' if gone != 1 else ''} will run out before reset", style),
            (f"   overrides active: {raised}", "dim"),
        ]

    def copies(self) -> list[tuple[str, str]]:
        one = self.budgets.current
        if one is None:
            return [("CLI", "optyx limits list")]
        name = one.subject_name or one.subject
        return [
            ("CLI, set", f"optyx limits set {one.scope} {name} --budget {one.amount_usd}/{one.window}"),
            ("CLI, override", f"optyx limits override {one.scope} {name} --add 100 --until DATE"),
            ("JSON", as_json(one)),
        ]

    def records(self) -> object:
        return lambda client: client.limits().budgets


def edited(present: LimitsBody, answers: dict[str, str]) -> dict[str, Any]:
    """The whole of a scope's limits with what the form says in place of its part: the rates and the first budget."""
    body: dict[str, Any] = msgspec.to_builtins(present)
    for name in ("rpm", "tpm", "concurrency"):
        body[name] = int(answers[name]) if answers[name] else None
    first = body["budgets"][0] if body["budgets"] else {}
    budget = [{**first, "amount_usd": answers["amount"], "window": answers["window"]}] if answers["amount"] else []
    body["budgets"] = [_without_id(one) for one in (*budget, *body["budgets"][1:])]
    for narrowed in (*body["models"].values(), *body["tiers"].values()):
        narrowed["budgets"] = [_without_id(one) for one in narrowed["budgets"]]
    return body


def _without_id(budget: dict[str, Any]) -> dict[str, Any]:
    """An empty id is no id."""
    return {name: value for name, value in budget.items() if name != "id" or value}


def _day_mistake(text: str) -> str:
    at = figures.parsed(text) if len(text) == 10 else None
    if at is None:
        return "a day like 2026-12-01"
    return "" if at.timestamp() > clock.now() else "is in the past"
