"""Nothing to talk to yet: what was looked for, where, and the one command that helps."""

from __future__ import annotations

from textual.app import ComposeResult

from tui.location import Location
from tui.screens.view import View
from tui.widgets.line import Line, wrapped
from tui.widgets.panel import TextPanel


class Connect(View):
    """Shown when there are no credentials, and by :ctx: which gateway this session talks to, and how to choose another."""

    scope = "connect"

    def compose(self) -> ComposeResult:
        yield TextPanel("Connect", focusable=True)

    def load(self) -> None:
        app = self.optyx
        width = max(40, min(96, app.size.width - 8))
        if app.link.state == "no_credentials":
            lines = _without(app.why_not, width)
        else:
            lines = [
                [],
                [("Context    ", "dim"), (app.context, "strong")],
                [("Gateway    ", "dim"), (app.url, "")],
                [("State      ", "dim"), app.link.said()],
                [("Changes    ", "dim"), ("held: read-only" if app.readonly else "allowed", "")],
                [],
                [("Another gateway: ", ""), ("optyx-tui --context NAME", "accent")],
                [("List them:       ", ""), ("optyx ctx list", "accent")],
            ]
        self.query_one(TextPanel).set_lines(lines)

    def visit(self, place: Location) -> None:
        super().visit(place)
        if self.optyx.link.state not in ("no_credentials", "live"):
            self.ask("whoami", lambda client: client.whoami())

    def arrived_whoami(self, data: object) -> None:
        self.load()

    def on_resize(self) -> None:
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
