"""The pane below the tail: the call under the cursor, or the newest one while the tail is followed."""

from __future__ import annotations

from gateway.admin.schema.logs import LogDetail
from tui import figures
from tui.screens import call_lines
from tui.tail import GAP, Seen
from tui.widgets.line import Line, fit, wrapped
from tui.widgets.panel import TextPanel

WITHOUT = (
    "The call under the cursor stands here: why it went where it went, each attempt, its times and what it cost. "
    "There is none yet; a key (4, n) and one request make the first."
)


class CallPane(TextPanel):
    """`detail` is the last record that came; until the one of the row is there, the row itself says what it can."""

    def __init__(self, *, id: str) -> None:
        super().__init__("Detail", "enter full screen", id=id)
        self.detail: LogDetail | None = None

    @property
    def detail_id(self) -> str:
        return (self.detail.call_id or self.detail.request_id) if self.detail else ""

    def detail_of(self, row: Seen) -> LogDetail | None:
        return self.detail if self.detail_id == row.id else None

    def show(self, row: Seen | None, *, is_following: bool) -> None:
        if row is None:
            self.set_lines(wrapped(WITHOUT, self.inner_width, "dim"))
        elif self.detail is not None and (is_following or self.detail_id == row.id):
            self.title_text = "Detail of the newest" if is_following else "Detail"
            self.set_lines(call_lines.pane(self.detail, self.inner_width))
        else:
            self.set_lines(_brief(row))


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
