"""Nothing to talk to yet: what was looked for, where, and the one command that helps."""

from __future__ import annotations

from textual.app import ComposeResult

from tui.location import Location
from tui.screens.view import View
from tui.session import known
from tui.widgets.columned import Column
from tui.widgets.grid import GridTable
from tui.widgets.line import Line, wrapped
from tui.widgets.panel import TextPanel

Known = tuple[str, str, str]
CONTEXTS: list[Column[Known]] = [
    Column("CONTEXT", 20, lambda one: (one[0], "strong")),
    Column("GATEWAY", 40, lambda one: (one[1], ""), grow=True),
    Column("", 20, lambda one: (one[2], "warn" if "guarded" in one[2] else "dim")),
]


class Connect(View):
    """Which gateway this session talks to, and the others that the configuration knows: enter goes there."""

    scope = "connect"
    about = {
        "here": "The gateway of this session, and as whom.",
        "contexts": "Other gateways that this machine knows. enter goes there.",
    }
    DEFAULT_CSS = """
    Connect #here { height: 1fr; }
    Connect #contexts { height: 1fr; }
    """

    def compose(self) -> ComposeResult:
        yield TextPanel("Connect", id="here", focusable=True)
        yield GridTable(CONTEXTS, lambda one: one[0], title="Other gateways", aside="enter goes there", id="contexts")

    def load(self) -> None:
        app = self.optyx
        panel = self.query_one("#here", TextPanel)
        width = max(40, min(96, app.size.width - 8))
        if app.link.state == "no_credentials":
            lines = _without(app.why_not, width)
        else:
            rights = "held: read-only" if app.readonly else f"what the role {app.role or '…'} may do"
            lines = [
                [],
                [("Context    ", "dim"), (app.context, "strong"), ("   protected" if app.guarded else "", "warn")],
                [("Gateway    ", "dim"), (app.url, "")],
                [("State      ", "dim"), app.link.said()],
                [("Version    ", "dim"), (app.gateway_version or "…", "")],
                [("Changes    ", "dim"), (rights, "")],
            ]
        panel.set_lines(lines)
        others = known()
        table = self.query_one("#contexts", GridTable)
        table.empty = [[("Only this one is known. ", "dim"), ("optyx login URL", "accent"), (" adds another.", "dim")]]
        table.set_class(not others and app.link.state == "no_credentials", "hidden")
        table.set_rows(others)

    def visit(self, place: Location) -> None:
        super().visit(place)
        if self.optyx.link.state != "no_credentials":
            self.ask("whoami", lambda client: client.whoami())

    def arrived_whoami(self, data: object) -> None:
        self.load()

    def on_grid_table_opened(self, message: GridTable.Opened) -> None:
        chosen: Known | None = message.grid.current
        if chosen is not None:
            self.optyx.switch_context(chosen[0])

    def fit_in(self) -> None:
        super().fit_in()
        self.load()


def _without(why_not: str, width: int) -> list[Line]:
    return [
        [],
        [("Not connected to a gateway yet.", "title")],
        [],
        *wrapped(why_not, width),
        [],
        [("On the machine where the gateway runs", "head")],
        [("  make demo", "accent"), ("              a gateway with invented answers, ready in a minute", "dim")],
        [("  optyx up", "accent"), ("               a real one; provider keys come from the environment", "dim")],
        [("  Either writes credentials that optyx-tui finds by itself. Then start it again.", "")],
        [],
        [("From another machine", "head")],
        [("  export OPTYX_GATEWAY_URL=https://gateway.example:4000", "accent")],
        [("  export OPTYX_ADMIN_TOKEN=…", "accent"), ("   made with: optyx tokens create", "dim")],
        [],
        [
            ("Something is wrong?  ", ""),
            (":doctor", "key"),
            (" looks around and says how to mend it.   ", ""),
            ("q", "key"),
            (" quits.", ""),
        ],
    ]
