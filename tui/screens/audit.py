"""The audit trail: who changed what, from where, before and after; and whether the chain of entries is whole."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult
from textual.timer import Timer

from gateway.admin.schema.audit import AuditEntry, Chain
from tui import figures
from tui.calls import Client
from tui.location import Location
from tui.screens.view import View, as_json
from tui.widgets.bound import bindings
from tui.widgets.columned import Column
from tui.widgets.grid import GridTable
from tui.widgets.line import Line, Span, fit
from tui.widgets.panel import TextPanel


def _at(one: AuditEntry) -> str:
    return one.at[:19].replace("T", " ")


def _object(one: AuditEntry) -> Line:
    name = one.object_name or one.object_id
    is_inside = one.project and one.project != name and one.object_type != "project"
    return [(f"{one.object_type} ", "dim"), (f"{one.project} / {name}" if is_inside else name, "")]


def _result(one: AuditEntry) -> Span:
    return ("● ok", "good") if one.result == "ok" else (f"✖ {one.result}", "bad")


COLUMNS: list[Column[AuditEntry]] = [
    Column("TIME (UTC)", 19, lambda one: (_at(one), "dim"), lambda one: one.at),
    Column("ACTOR", 19, lambda one: (one.actor, "strong"), lambda one: one.actor),
    Column("ACTION", 20, lambda one: (one.action, ""), lambda one: one.action),
    Column("OBJECT", 20, _object, lambda one: one.object_name, grow=True),
    Column("FROM", 13, lambda one: (one.origin or figures.NONE, "dim"), lambda one: one.origin, "left", 4),
    Column("RESULT", 10, _result, lambda one: one.result, "left", 2),
]
NARROW: list[Column[AuditEntry]] = [
    Column("TIME (UTC)", 14, lambda one: (_at(one)[5:], "dim"), lambda one: one.at),
    Column("ACTOR", 13, COLUMNS[1].draw, COLUMNS[1].value),
    Column("ACTION", 16, COLUMNS[2].draw, COLUMNS[2].value),
    *COLUMNS[3:5],
    Column("RESULT", 9, _result, lambda one: one.result),
]
"""Under 100 columns: without the year, so that what was changed, and whether, stand beside it."""
TYPED_AFTER_S = 0.25
SCREEN_OF = {
    "project": "projects",
    "key": "keys",
    "provider": "providers",
    "settings": "settings",
    "budget": "limits",
    "limits": "limits",
}


class Audit(View):
    """Every change made from the dashboard, the CLI and the API, and by the gateway itself. Secrets are never in it.

    Each entry carries the digest of the one before: V checks the whole chain, so that an entry taken out or changed is found.
    """

    scope = "audit"
    about = {
        "audit-rows": "What was changed, the newest first. The entry under the cursor stands below.",
        "entry": "One change: who made it, from where, and what was before and after.",
    }
    BINDINGS = bindings("audit")
    DEFAULT_CSS = """
    Audit #audit-rows { height: 1fr; min-height: 8; }
    Audit #entry { height: 14; }
    Audit.low #entry { height: 8; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.chain: Chain | None = None
        self.checking = False
        self.asked = ""
        self.typing: Timer | None = None

    def compose(self) -> ComposeResult:
        yield GridTable(COLUMNS, lambda one: one.id, title="Audit trail", aside="f follow", id="audit-rows")
        yield TextPanel("Entry", id="entry", focusable=True)

    def on_mount(self) -> None:
        self.rows.wait_lines = [[("Loading the trail…", "dim")]]
        self.rows.empty = [[("Nothing was changed yet", "strong"), (", or nothing matches the filter.", "")]]

    @property
    def rows(self) -> GridTable[AuditEntry]:
        return self.query_one("#audit-rows", GridTable)

    def fit_in(self) -> None:
        super().fit_in()
        self.set_class(self.app.size.height < 30, "low")
        self.rows.columns = COLUMNS if self.app.size.width >= 100 else NARROW

    def visit(self, place: Location) -> None:
        self.asked = place.filter
        super().visit(place)

    def load(self) -> None:
        text = self.asked
        self.ask("audit", lambda client: client.audit(text))

    def arrived_audit(self, data: tuple[list[AuditEntry], str]) -> None:
        rows, more = data
        self.rows.set_rows(rows)
        self.rows.set_title(
            "Audit trail", ("the newest 200   " if more else "") + ("▶ following" if self.every_s else "f follow")
        )
        self._draw()

    def on_grid_table_moved(self) -> None:
        self._draw()

    def on_grid_table_opened(self) -> None:
        self.query_one("#entry", TextPanel).focus()

    def set_filter(self, text: str) -> None:
        """The gateway filters, over the whole trail; it is asked when the fingers rest."""
        wanted = text.strip()
        if self.typing is not None:
            self.typing.stop()
        if wanted != self.asked:
            self.typing = self.set_timer(TYPED_AFTER_S, lambda: self._ask_for(wanted))

    def _ask_for(self, text: str) -> None:
        self.asked = text
        self.load()

    def _draw(self) -> None:
        panel = self.query_one("#entry", TextPanel)
        one = self.rows.current
        panel.set_lines(self._lines(one, panel.inner_width) if one else [])

    def _lines(self, one: AuditEntry, width: int) -> list[Line]:
        name = one.object_name or one.object_id
        lines: list[Line] = [
            [
                (one.actor, "strong"),
                (f"  {one.action}  ", ""),
                (f"{one.object_type} {name}", "strong"),
                (f"  at {_at(one)} UTC", "dim"),
            ],
            [(f"entry {one.id}   request {one.request_id or figures.NONE}   from {one.origin or figures.NONE}", "dim")],
        ]
        lines.append(self._chain_line())
        if one.reason:
            lines.append([("reason  ", "dim"), (f"“{one.reason}”", "")])
        before, after = one.before or {}, one.after or {}
        half = (width - 2) // 2
        lines += [[], [(fit("  BEFORE", half), "head"), ("  AFTER", "head")]]
        for field in [*before, *(name for name in after if name not in before)]:
            old, new = _text(before.get(field)), _text(after.get(field))
            mark = "~" if old != new else " "
            label = f"{mark} {fit(field, 16)} "
            lines.append(
                [
                    (fit(label + old, half), "removed" if old != new else "dim"),
                    (label + new, "added" if old != new else "dim"),
                ]
            )
        if not before and not after:
            lines.append([("  nothing to compare", "dim")])
        return lines

    def _chain_line(self) -> Line:
        if self.checking:
            return [("chain   checking…", "busy")]
        chain = self.chain
        if chain is None:
            return [("chain   not checked yet: ", "dim"), ("V", "key")]
        if chain.ok:
            return [
                ("chain   ", "dim"),
                ("● verified ", "good"),
                (f"{chain.entries:,} entries, head {chain.head[:8]}…", ""),
            ]
        return [("chain   ", "dim"), (f"✖ broken at {chain.broken_at} of {chain.entries:,} entries", "bad")]

    # Acting

    def action_verify(self) -> None:
        self.checking = True
        self._draw()
        self.ask("chain", lambda client: client.verify_audit())

    def arrived_chain(self, data: Chain) -> None:
        self.checking, self.chain = False, data
        text = (
            f"The chain of {data.entries:,} entries is whole."
            if data.ok
            else f"The chain is broken at {data.broken_at}."
        )
        self.optyx.say(text, "information" if data.ok else "error")
        self._draw()

    def failed_chain(self, error: Exception) -> None:
        self.checking = False
        self.failed("chain", error)
        self._draw()

    def action_go_object(self) -> None:
        one = self.rows.current
        if one is None:
            return
        screen = "settings" if one.action.startswith("settings") else SCREEN_OF.get(one.object_type)
        if screen is None:
            self.optyx.say(f"There is no screen for a {one.object_type}.", "warning")
        elif screen == "settings":
            self.optyx.go(Location("settings", project=one.object_name))
        else:
            self.optyx.go(Location(screen, project=one.project if screen == "keys" else "", object=one.object_id))

    def action_follow(self) -> None:
        self.every_s = None if self.every_s else 2.0
        self.load()

    def offers(self, action: str) -> bool:
        return action != "go" or self.rows.current is not None

    def records(self) -> Any:
        text = self.asked

        def collect(client: Client) -> list[AuditEntry]:
            rows: list[AuditEntry] = []
            cursor = ""
            while True:
                page, cursor = client.audit(text, cursor=cursor, limit=1000)
                rows += page
                if not cursor or len(rows) >= 100_000:
                    return rows

        return collect

    def status(self) -> Line:
        return [
            (f"{len(self.rows.rows)} entries", ""),
            ("   filter: ", "dim"),
            (self.asked or "none", "accent" if self.asked else "dim"),
            ("   export keeps the chain", "dim"),
        ]

    def copies(self) -> list[tuple[str, str]]:
        one = self.rows.current
        if one is None:
            return [("CLI", "optyx audit list")]
        return [
            ("Id", one.id),
            ("JSON", as_json(one)),
            ("CLI", f"optyx audit get {one.id}"),
            ("CLI, verify", "optyx audit verify"),
        ]


def _text(value: Any) -> str:
    if value is None:
        return figures.NONE
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
