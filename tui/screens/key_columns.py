"""The columns of the list of keys."""

from __future__ import annotations

from gateway.admin.schema.keys import Key
from tui import figures
from tui.widgets.columned import Column
from tui.widgets.line import Line, Span
from tui.widgets.marks import gauge, gauge_style, state


def _state(one: Key) -> Span:
    text, style = state(one.status)
    if one.status == "grace" and one.grace_until:
        text += " " + figures.until(one.grace_until).removeprefix("in ")
    return text, style


def _expires(one: Key) -> Span:
    at = figures.parsed(one.expires_at)
    if at is None:
        return ("rotation", "dim") if one.status == "grace" else ("never", "dim")
    soon = figures.until(one.expires_at)
    is_soon = soon.startswith("in ") and (not soon.endswith("d") or int(soon[3:-1]) <= 7)
    return (f"{soon} ▲", "warn") if is_soon else (figures.day(one.expires_at), "dim" if "ago" in soon else "")


def _spend(one: Key) -> Line:
    if one.budget is None or not one.budget.amount_nusd:
        return [(figures.dollars(one.cost_nusd, 2), "")]
    share = one.budget.spent_nusd / one.budget.amount_nusd
    amounts = f"{figures.dollars(one.budget.spent_nusd, 2)}/{figures.dollars(one.budget.amount_nusd, 0)}"
    return [(f"{amounts:14} ", ""), *gauge(share, 8, gauge_style(share))]


COLUMNS: list[Column[Key]] = [
    Column("NAME", 13, lambda one: (one.name, "strong"), lambda one: one.name, grow=True),
    Column("PUBLIC ID", 12, lambda one: (one.public_id, "dim"), lambda one: one.public_id, "left", 4),
    Column("STATUS", 13, _state, lambda one: one.status),
    Column("CREATED", 10, lambda one: (figures.day(one.created_at), "dim"), lambda one: one.created_at, "left", 5),
    Column("EXPIRES", 11, _expires, lambda one: one.expires_at),
    Column("LAST USED", 11, lambda one: (figures.ago(one.last_used_at), ""), lambda one: one.last_used_at, "right"),
    Column(
        "REQ 24H",
        7,
        lambda one: (figures.count(one.requests_24h or None), ""),
        lambda one: one.requests_24h,
        "right",
        3,
    ),
    Column("SPEND/LIMIT", 23, _spend, lambda one: one.cost_nusd, "left", 2),
    Column(
        "MODELS",
        8,
        lambda one: ("project" if one.allowed_models is None else f"{len(one.allowed_models)} only", "dim"),
        None,
        "left",
        5,
    ),
    Column("RPM", 7, lambda one: (figures.limit(one.rpm), ""), lambda one: one.rpm, "right", wide=True),
    Column("TPM", 9, lambda one: (figures.limit(one.tpm), ""), lambda one: one.tpm, "right", wide=True),
    Column("PROJECT", 14, lambda one: (one.project, ""), lambda one: one.project, wide=True),
    Column("MADE BY", 14, lambda one: (one.created_by or figures.NONE, ""), lambda one: one.created_by, wide=True),
    Column(
        "FROM",
        18,
        lambda one: (", ".join(one.allowed_addresses or ["everywhere"]), "" if one.allowed_addresses else "dim"),
        lambda one: ",".join(one.allowed_addresses or []),
        wide=True,
    ),
    Column("ID", 22, lambda one: (one.id, "dim"), lambda one: one.id, wide=True),
]


NARROW: list[Column[Key]] = [
    Column("PUBLIC ID", 10, COLUMNS[1].draw, COLUMNS[1].value, "left", 2),
    Column("STATUS", 11, _state, lambda one: one.status),
    Column("SPEND/LIMIT", 14, lambda one: (_spend(one)[0][0].rstrip(), ""), lambda one: one.cost_nusd, "left", 2),
]
"""Under 100 columns: the amounts without their gauge make room for the public id."""
PROJECT: Column[Key] = Column(
    "PROJECT", 11, lambda one: (one.project, ""), lambda one: one.project, "left", 1, grow=True
)


def columns_for(width: int, *, of_all: bool) -> list[Column[Key]]:
    """`of_all`: keys of several projects, where a name alone says little."""
    narrow = {column.title: column for column in NARROW} if width < 100 else {}
    return [*([PROJECT] if of_all else []), *(narrow.get(column.title, column) for column in COLUMNS)]
