"""The live tail, with a pane for the call under the cursor, and what an operator does with a call."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.timer import Timer

from gateway.admin.schema.logs import LogDetail
from tui.location import Location
from tui.screens import log_head
from tui.screens.call_pane import CallPane
from tui.screens.live_calls import LiveCalls
from tui.screens.view import as_json
from tui.tail import GAP, Seen
from tui.widgets.bound import bindings

SEEN_EVERY_S = 1.0
LATE_S = 0.2
"""So long the call that was shown before stays, while the record of the next is on its way."""


class Logs(LiveCalls):
    """Every call as it ends, from all workers and machines. / filters on the gateway; the count beside it is of the whole range, not of
    what is loaded. Moving up pauses: rows then stand still and are counted; G follows again.

    Flags: S stream, C input from a cache, F2 answered by the second target, R same target again, limit and budget: refused by one,
    left: the client went away, cut: the answer broke off, ✖ no target answered.
    """

    about = {
        "log-rows": "Every call as it ends. A move up pauses, so that rows stand still; G follows again; enter opens the call.",
        "pane": "The call under the cursor, in short. w shows its long lines whole, f all of it on the whole screen.",
    }
    BINDINGS = bindings("logs")
    DEFAULT_CSS = """
    Logs #log-rows { height: 1fr; }
    Logs #pane { height: 14; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.wish: Timer | None = None

    def compose(self) -> ComposeResult:
        yield from super().compose()
        yield CallPane(id="pane")

    def on_mount(self) -> None:
        self.set_interval(SEEN_EVERY_S, self._follow_detail)

    def fit_in(self) -> None:
        super().fit_in()
        self.pane.set_class(self.has_class("compact"), "hidden")

    @property
    def pane(self) -> CallPane:
        return self.query_one("#pane", CallPane)

    def leave(self) -> None:
        super().leave()
        if self.wish is not None:
            self.wish.stop()

    def restart(self, filter_text: str) -> None:
        self.pane.detail = None
        super().restart(filter_text)

    # The call under the cursor

    def on_log_view_moved(self) -> None:
        if not self.calls.following:
            if self.wish is not None:
                self.wish.stop()
            self.wish = self.set_timer(0.12, self._ask_detail)
            self.optyx.redraw_chrome()  # its status line names the row
        if (
            self.pane.detail is None
        ):  # else it changes with the next detail, or once that is late: not twice for one key
            self._draw()

    def _follow_detail(self) -> None:
        """While following, the pane shows the newest call of each second: a steady look instead of a flicker."""
        if self.display and self.calls.following and "detail" not in self.waiting:
            row = self.calls.current
            if row is not None and self.pane.detail_of(row) is None:
                self._ask_detail()

    def _ask_detail(self) -> None:
        row = self.calls.current
        if row is not None and row.status != GAP and not self.has_class("compact"):
            self.ask("detail", lambda client: client.log(row.id))
            self.set_timer(LATE_S, self._draw)
        else:
            self._draw()

    def arrived_detail(self, data: LogDetail) -> None:
        self.pane.detail = data
        self._draw()

    def failed_detail(self, error: Exception) -> None:
        self.pane.detail = None

    def _draw(self) -> None:
        if not self.has_class("compact"):
            self.pane.show(self.calls.current, is_following=self.calls.following)

    # Acting

    def offers(self, action: str) -> bool:
        row = self.calls.current
        if action in ("open", "full", "replay"):
            return row is not None and row.status != GAP
        return bool(self.shown_filter) if action == "clear" else action == "pause" or row is not None

    def on_log_view_opened(self) -> None:
        row = self.calls.current
        if row is None or row.status == GAP:
            return
        self.calls.pause()
        self.optyx.go(Location("detail", object=row.id, filter=self.shown_filter or ""))

    def on_log_view_paused(self) -> None:
        if not self.calls.following:
            self._ask_detail()
        self.draw_head()

    def action_pause(self) -> None:
        if self.calls.following:
            self.calls.pause()
        else:
            self.calls.follow()

    def action_wrap(self) -> None:
        self.pane.switch_wrap()

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

    def _seek(self, wanted: Callable[[Seen], bool], step: int, none: str) -> None:
        self.calls.pause()
        if not self.calls.seek(wanted, step):
            self.optyx.say(f"There is {none} among the {len(self.calls.ring):,} loaded rows.", "warning")

    def step(self, by: int) -> str | None:
        """The id of the next call in the filtered list, for the detail's n and p."""
        if not self.calls.seek(lambda row: row.status != GAP, by):
            return None
        return self.calls.ring[self.calls.cursor].id

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

    def cli_names(self) -> dict[str, str]:
        row = self.calls.current
        return {"id": row.id if row else ""}

    def copies(self) -> list[tuple[str, str]]:
        row = self.calls.current
        text = self.shown_filter or ""
        call = f"{log_head.curl(self.optyx.url)} {log_head.HELLO}"
        if row is None:
            return [("curl to make a call", call), ("CLI", f"optyx logs tail --filter '{text}'")]
        detail = self.pane.detail_of(row)
        return [
            ("Id", detail.request_id if detail else row.id),
            ("Row", " ".join(str(part) for part in row if part not in (None, ""))),
            ("JSON", as_json(detail) if detail else ""),
            ("CLI, this call", f"optyx logs get {row.id}"),
            ("CLI, this list", f"optyx logs tail --filter '{text}'" if text else "optyx logs tail"),
            ("curl to make a call", call),
        ]
