"""What stands around the live tail: the filter and how much it matches, the histogram, the status line, and words where there is no row."""

from __future__ import annotations

from gateway.admin.schema.logs import LogCount
from tui import clock, figures
from tui.tail import Seen, Tail
from tui.widgets.line import Line, ends
from tui.widgets.logview import LogView
from tui.widgets.marks import sparkline

HELLO = """-d '{"model":"fast","messages":[{"role":"user","content":"hello"}]}'"""
LEGEND = "   S stream  C cached in  F2 2nd target  R retried"


BEHIND_S = 5.0
"""So far the tail may be behind before it says so: a transaction of some seconds is nothing special."""


def filter_line(shown: str, count: LogCount | None, tail: Tail | None, state: Line, width: int) -> Line:
    left: Line = [(" FILTER  ", "head"), (shown or "none", "accent" if shown else "dim")]
    right: Line = []
    if count is not None:
        some = "≥ " if count.truncated else ""
        right += [(f"{some}{count.matched:,}", "strong"), (f" of {count.total:,}   ", "dim")]
    if tail is not None and tail.one_in > 1:
        right.append((f"▲ SAMPLED 1 in {tail.one_in}   ", "warn"))
    return ends(left, right + state, width)


def tail_state(view: LogView[Seen], tail: Tail | None, rate: float, is_away: bool) -> Line:
    """Whether it follows, and how well. `is_away`: nothing else is answered now either."""
    if tail is not None and (is_away or (tail.problem and not tail.connected)):
        return [("◌ RECONNECTING ", "warn")]
    if tail is not None and tail.behind_s > BEHIND_S:
        return [(f"◌ BEHIND {figures.span(tail.behind_s)} ", "warn")]
    if view.sort_column >= 0:
        came = f"  +{view.waiting:,} came  G follows "
        return [("▾ SORTED", "accent"), (came, "warn" if view.waiting else "dim")]
    if view.following:
        return [("▶ FOLLOWING", "good"), (f"  {rate:.0f}/s ", "")]
    return [(f"‖ PAUSED +{view.waiting:,}", "warn"), (" ", "")]


def histogram(count: LogCount, window: str, width: int) -> Line:
    room = 56 if width >= 100 else 36
    line: Line = [(" ", ""), (sparkline(count.series, room), "spark"), (f"  last {window}", "dim")]
    errors = sparkline(count.error_series, 22 if width >= 100 else 14)
    return [*line, ("   errors ", "dim"), (errors, "bad" if any(count.error_series) else "dim")]


def status(view: LogView[Seen], tail: Tail | None, width: int) -> Line:
    place = f"{view.cursor + 1 - view.ring.first:,}" if len(view.ring) else "0"
    lost = tail.lost if tail else 0
    line: Line = [("row ", "dim"), (place, ""), (f" / {len(view.ring):,}", "dim")]
    line += [("   loss ", "dim"), (f"{lost:,}", "bad" if lost else "")]
    newest = figures.parsed(view.ring[view.ring.added - 1].at) if len(view.ring) else None
    if newest is not None and not clock.is_frozen():
        age = max(0.0, clock.now() - newest.timestamp())
        line += [("   newest ", "dim"), (f"{age:.1f} s ago" if age < 60 else f"{figures.span(age)} ago", "")]
    return [*line, (LEGEND if width >= 100 else "", "dim")]


def no_rows(shown: str, searched_to: str, count: LogCount | None, window: str, url: str) -> list[Line]:
    """Why the list is empty, and the key that helps. `searched_to`: how far back the gateway looked where it did not look at all."""
    if searched_to:
        return [
            [
                ("No calls match ", ""),
                (shown, "accent"),
                (" as far as was looked: back to ", ""),
                (figures.minute(searched_to), "strong"),
                (".", ""),
            ],
            [("b", "key"), (" searches on from there.  ", "dim"), ("x", "key"), (" clears the filter.", "dim")],
        ]
    if shown:
        total = f"{count.total:,} calls in the last {window} without the filter. " if count else ""
        return [
            [("No calls match ", ""), (shown, "accent"), (".", "")],
            [(total, "dim"), ("x", "key"), (" clears the filter.", "dim")],
        ]
    return [
        [
            ("No calls yet.", "strong"),
            (" Send one with a key of yours (", ""),
            ("4", "key"),
            (" makes one; y copies this):", ""),
        ],
        [],
        [(curl(url), "accent")],
        [(f"     {HELLO}", "accent")],
    ]


def curl(url: str) -> str:
    """A call to make; `HELLO` is its body."""
    return f"curl {url}/v1/chat/completions -H 'authorization: Bearer KEY' -H 'content-type: application/json'"
