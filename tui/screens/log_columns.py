"""The columns of the live tail."""

from __future__ import annotations

from dataclasses import replace

from tui import figures
from tui.screens import call_lines
from tui.tail import GAP, Seen
from tui.widgets.columned import Column
from tui.widgets.line import Line


def hole(row: Seen) -> Line | None:
    """A gap, in place of a call."""
    return [(f"── {row.error} ──", "warn")] if row.status == GAP else None


def _flags(row: Seen) -> tuple[str, str]:
    return (
        row.flags,
        "bad" if "✖" in row.flags else "warn" if row.status >= 400 else "accent" if "F" in row.flags else "dim",
    )


COLUMNS: list[Column[Seen]] = [
    Column("TIME", 12, lambda row: (figures.time_of_day(row.at), "dim"), lambda row: row.at),
    Column(
        "ST", 3, lambda row: (str(row.status), call_lines.status_style(row.status)), lambda row: row.status, "right"
    ),
    Column("MODEL", 18, lambda row: (row.model or figures.NONE, ""), lambda row: row.model, grow=True),
    Column("PROJECT", 11, lambda row: (row.project or figures.NONE, ""), lambda row: row.project, "left", 2),
    Column("KEY", 9, lambda row: (row.key or figures.NONE, ""), lambda row: row.key, "left", 5, grow=True),
    Column("PROVIDER", 9, lambda row: (row.provider or figures.NONE, ""), lambda row: row.provider, "left", 6),
    Column("TTFT", 6, lambda row: (figures.seconds(row.ttft_ms), ""), lambda row: row.ttft_ms, "right"),
    Column("TOTAL", 6, lambda row: (figures.seconds(row.total_ms), ""), lambda row: row.total_ms, "right"),
    Column("IN", 5, lambda row: (figures.count(row.tokens_in), "dim"), lambda row: row.tokens_in, "right", 7),
    Column("OUT", 5, lambda row: (figures.count(row.tokens_out), "dim"), lambda row: row.tokens_out, "right", 7),
    Column("COST", 9, lambda row: (figures.cost(row.cost_nusd), ""), lambda row: row.cost_nusd, "right", 2),
    Column("FLAGS", 7, _flags, lambda row: row.flags, "left", 2),
    Column(
        "ERROR",
        24,
        lambda row: (row.error or figures.NONE, "warn" if row.error else "dim"),
        lambda row: row.error,
        wide=True,
    ),
    Column("CALL", 38, lambda row: (row.id, "dim"), lambda row: row.id, wide=True),
]


NARROW: list[Column[Seen]] = [
    Column("TIME", 8, lambda row: (figures.time_of_day(row.at, 8), "dim"), lambda row: row.at),
    *COLUMNS[1:3],
    *(column for column in COLUMNS if column.title in ("PROJECT", "TTFT", "TOTAL", "COST")),
    Column("FLAGS", 6, _flags, lambda row: row.flags, "left", 2),
    *(replace(column, wide=True) for column in COLUMNS if column.title in ("KEY", "PROVIDER", "IN", "OUT")),
    *(column for column in COLUMNS if column.wide),
]
"""Under 100 columns: seconds without their thousandths make room for the flags."""
