"""One call on the whole screen: summary, bodies, attribution, the record."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile

from textual.app import ComposeResult
from textual.containers import Horizontal

from gateway.admin.schema.logs import LogDetail
from tui import figures
from tui.filter_words import in_quotes
from tui.location import Location
from tui.screens import call_lines
from tui.screens.logs import Logs
from tui.screens.view import View, as_json
from tui.widgets.bound import bindings
from tui.widgets.dialogs import Menu
from tui.widgets.line import Line, wrapped
from tui.widgets.panel import Bar, TextPanel

TABS = ("Summary", "Request", "Response", "Attribution", "Raw JSON")
BODIES = (2, 3)
"""The tabs that show what was captured: it is opened when one of them is, and not before."""

UNBROKEN = 100_000
"""A width at which no line is broken: the panel cuts it."""


def as_word(value: str | None) -> str:
    """A value as one word of a filter."""
    text = value or ""
    is_plain = all(letter.isalnum() or letter in "._-=@/+" for letter in text)
    return text if is_plain else in_quotes(text)


class Detail(View):
    """Why the call went where it went, what each attempt did, where the time went, and what it cost, as arithmetic.

    n and p walk the filtered list it was opened from; esc goes back to it, with place and filter kept.
    """

    scope = "detail"
    about = {
        "summary": "What was asked for, who asked, what it came to, and what it cost as arithmetic.",
        "route": "Why it went where it went, how the limits stood, and each attempt.",
        "whole": "The tab in sight: 1 to 5 choose, w shows long lines whole.",
    }
    BINDINGS = bindings("detail")
    DEFAULT_CSS = """
    Detail #halves { height: 1fr; min-height: 14; }
    Detail #summary { width: 48%; }
    Detail #route { width: 52%; }
    Detail #timings { height: 9; max-height: 16; }
    Detail #whole { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.call: LogDetail | None = None
        self.tab = 1
        self.trouble = ""
        self.wraps = True

    def compose(self) -> ComposeResult:
        with Horizontal(id="halves"):
            yield TextPanel("Summary", id="summary", focusable=True)
            yield TextPanel("Route and attempts", id="route", focusable=True)
        yield TextPanel("Timings", id="timings")
        yield TextPanel("", id="whole", focusable=True)
        yield Bar(id="detail-tabs")

    def visit(self, place: Location) -> None:
        self.place = place
        if self.call is None or place.object not in (self.call.call_id, self.call.request_id):
            self.call = None
            self.tab = 1
        self.trouble = ""
        self._draw()
        super().visit(place)

    def load(self) -> None:
        ident, wants_bodies = self.place.object, self.tab in BODIES
        self.ask("call", lambda client: client.log(ident, wants_bodies))

    def arrived_call(self, data: LogDetail) -> None:
        self.call = data
        self._draw()

    def failed_call(self, error: Exception) -> None:
        self.trouble = self.optyx.described(error)
        self._draw()
        self.failed("call", error)

    def fit_in(self) -> None:
        super().fit_in()
        self._draw()

    @property
    def is_split(self) -> bool:
        return self.tab == 1 and not self.has_class("compact")

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        self.query_one("#halves").set_class(not self.is_split, "hidden")
        self.query_one("#timings").set_class(not self.is_split, "hidden")
        self.query_one("#whole").set_class(self.is_split, "hidden")
        self.keep_focus()
        self.query_one("#detail-tabs", Bar).set_line(self._tabs())
        self.call_after_refresh(self._fill)

    def _tabs(self) -> Line:
        line: Line = [(" ", "")]
        for number, name in enumerate(TABS, 1):
            if number == self.tab:
                line += [(f"[{number} {name}]", "tab"), ("  ", "")]
            else:
                line += [(str(number), "key"), (f" {name}  ", "")]
        return line

    def _fill(self) -> None:
        whole = self.query_one("#whole", TextPanel)
        call = self.call
        if call is None:
            waiting: list[Line] = [[("✖ ", "bad"), (self.trouble, "")]] if self.trouble else [[("Loading…", "dim")]]
            for panel in self.query(TextPanel):
                panel.set_lines(waiting)
            return
        if self.is_split:
            left, right = self.query_one("#summary", TextPanel), self.query_one("#route", TextPanel)
            left.set_lines(
                [
                    *call_lines.summary(call, left.inner_width),
                    [],
                    [("USAGE AND COST", "head")],
                    *call_lines.usage(call, left.inner_width),
                ]
            )
            right.set_lines([[("WHY THIS ROUTE", "head")], *call_lines.route(call, right.inner_width)])
            timings = self.query_one("#timings", TextPanel)
            lines = call_lines.waterfall(call, timings.inner_width)
            timings.styles.height = len(lines) + 2
            timings.set_lines(lines)
            return
        whole.set_title(TABS[self.tab - 1])
        whole.set_lines(self._lines(call, whole.inner_width), keep_place=False)
        if self.app.focused is None or not self.app.focused.display:
            whole.focus()

    def _lines(self, call: LogDetail, width: int) -> list[Line]:
        if self.tab == 1:
            return [
                *call_lines.summary(call, width),
                *([], [("ROUTE", "head")], *call_lines.route(call, width)),
                *([], [("TIMINGS", "head")], *call_lines.waterfall(call, width)),
                *([], [("USAGE AND COST", "head")], *call_lines.usage(call, width)),
            ]
        if self.tab in BODIES and call.request_body is None:
            return [[("Loading…", "dim")]]
        if self.tab == 2:
            return call_lines.body(call.request_body, width if self.wraps else UNBROKEN)
        if self.tab == 3:
            return call_lines.body(call.response_body, width if self.wraps else UNBROKEN)
        if self.tab == 4:
            rows = [(name, str(value), "") for name, value in sorted((call.details or {}).items())]
            known = [
                ("worker", call.worker_id, ""),
                ("gateway", call.gateway_version, ""),
                ("call id", call.call_id, ""),
                ("at", call.created_at, ""),
            ]
            return call_lines.pairs([*known, *rows], width, 18)
        return [line for row in as_json(call).splitlines() for line in wrapped(row, width if self.wraps else UNBROKEN)]

    # Acting

    def action_tab(self, number: int) -> None:
        self.tab = number
        if number in BODIES and self.call is not None and self.call.request_body is None:
            self.load()
        self._draw()

    def action_step(self, by: int) -> None:
        logs = self.optyx.views.get("logs")
        ident = logs.step(by) if isinstance(logs, Logs) else None
        if ident is None:
            self.optyx.say("That is the end of the filtered list.", "warning")
            return
        place = Location("detail", object=ident, filter=self.place.filter)
        self.optyx.history.amend(place)
        self.place = place
        self.load()
        self.optyx.redraw_chrome()

    def action_alike(self) -> None:
        """A session is what its caller says: the calls of one trace, of one user, or those that carry the same tag."""
        call = self.call
        if call is None:
            return
        ways = [("its trace", f"trace:{call.trace_id}")] if call.trace_id else []
        ways += [("its user", f"user:{as_word(call.user)}")] if call.user else []
        ways += [("its tag", f"tag:{as_word(tag)}") for tag in call.tags or []]
        ways.append(
            ("its key and model", f"key:{as_word(call.key)} model:{as_word(call.model or call.requested_model)}")
        )

        def chosen(index: int | None) -> None:
            if index is not None:
                self.optyx.go(Location("logs", filter=ways[index][1]))

        self.app.push_screen(Menu("Calls with", ways), chosen)

    def action_wrap(self) -> None:
        self.wraps = not self.wraps
        self._draw()
        self.optyx.say("Long lines are whole." if self.wraps else "Long lines are cut.")

    def action_replay(self) -> None:
        self.optyx.go(Location("playground", object=self.place.object))

    def action_go_key(self) -> None:
        if self.call is not None:
            self.optyx.go(Location("keys", project=self.call.project, object=self.call.key_id))

    def action_go_project(self) -> None:
        if self.call is not None:
            self.optyx.go(Location("projects", object=self.call.project))

    def action_pager(self) -> None:
        """Through a file of our own (0600) that is removed afterwards."""
        text = self._body()
        if not text:
            self.optyx.say("No body was captured for this call.", "warning")
            return
        with tempfile.NamedTemporaryFile("w", suffix=".json", prefix="optyx-", delete=False) as file:
            file.write(text)
        pager = os.environ.get("PAGER") or "less"
        try:
            self.optyx.hand_over(lambda: subprocess.run([*shlex.split(pager), file.name], check=False))
        except (OSError, ValueError) as error:
            self.optyx.say(f"{pager} could not be started: {error}. Set PAGER.", "error")
        finally:
            os.unlink(file.name)

    def _body(self) -> str | None:
        captured = self.call and (self.call.request_body if self.tab != 3 else self.call.response_body)
        return captured.text if captured else None

    def back(self) -> bool:
        if self.tab != 1:
            self.action_tab(1)
            return True
        return False

    def offers(self, action: str) -> bool:
        if action == "pager":
            return bool(self._body())
        return self.call is not None if action not in ("next", "previous") else "logs" in self.optyx.views

    def cli_names(self) -> dict[str, str]:
        call = self.call
        return {"id": self.place.object, "project": call.project if call else "", "key": call.key_id if call else ""}

    def status(self) -> Line:
        call = self.call
        if call is None:
            return [(self.place.object, "dim")]
        return [
            (call.created_at[:19].replace("T", " "), "dim"),
            ("   p ◂ list ▸ n   ", "dim"),
            (figures.ago(call.created_at), ""),
        ]

    def copies(self) -> list[tuple[str, str]]:
        if self.call is None:
            return []
        ident = self.call.request_id
        return [
            ("Id", ident),
            ("JSON", as_json(self.call)),
            ("CLI", f"optyx logs get {ident}"),
            ("curl", f'curl -H "authorization: Bearer $OPTYX_ADMIN_TOKEN" {self.optyx.url}/admin/v1/logs/{ident}'),
        ]
