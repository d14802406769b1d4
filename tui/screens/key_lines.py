"""What the panels below the list of keys say: one key, and what can be done with it."""

from __future__ import annotations

from gateway.admin.schema.keys import Key
from tui import figures
from tui.screens.call_lines import pairs
from tui.widgets.line import Line
from tui.widgets.marks import sparkline, state

FEW = 4

WHAT: list[Line] = [
    [("The secret is shown once, when a key is made", "")],
    [("or rotated. The gateway keeps a hash only.", "")],
    [],
    [("r ", "key"), ("rotate: a new secret; the old one works", "")],
    [("  on for a grace period you choose", "")],
    [("d ", "key"), ("disable or enable (undo with u, 30 s)", "")],
    [("x ", "key"), ("revoke for ever (type the key's name)", "")],
    [("n ", "key"), ("new key   ", ""), ("i ", "key"), ("new key like this", "")],
    [("l ", "key"), ("its calls   ", ""), ("b ", "key"), ("its limits and budget", "")],
    [],
    [("CLI ", "dim"), ("optyx keys rotate KEY --grace 24h", "accent")],
]


def key_lines(one: Key, width: int, compact: bool) -> list[Line]:
    models = "as the project's settings say" if one.allowed_models is None else ", ".join(one.allowed_models)
    networks = one.allowed_addresses or []
    places = ", ".join(networks[:FEW]) + (f" and {len(networks) - FEW} more" if len(networks) > FEW else "")
    rates = [
        f"{one.rpm} rpm" if one.rpm else "",
        f"{figures.count(one.tpm)} tpm" if one.tpm else "",
        f"{one.concurrency} at once" if one.concurrency else "",
    ]
    made = f"made {figures.day(one.created_at)}" + (f" by {one.created_by}" if one.created_by else "")
    head: Line = [(one.id, "strong"), (f"   {made}", "dim")]
    if compact:
        trend: Line = [
            ("24 h ", "dim"),
            (sparkline(one.requests_series, 24), "spark"),
            (f"  {figures.calls(one.requests_24h)}", "dim"),
        ]
        return [
            head,
            [("models ", "dim"), (models, "")],
            [
                ("limits ", "dim"),
                (" ".join(filter(None, rates)) or "project's", ""),
                *([("  from ", "dim"), (places, "")] if networks else []),
            ],
            trend,
        ]
    lines: list[Line] = [
        head,
        *pairs(
            [
                ("Project", one.project, ""),
                ("Status", state(one.status)[0], state(one.status)[1]),
                ("Models", models, ""),
                ("Limits", " · ".join(filter(None, rates)) or "the project's", ""),
                *([("Used from", places, "")] if networks else []),
                ("Expires", figures.minute(one.expires_at, "never"), ""),
                ("Last used", figures.ago(one.last_used_at), ""),
                *(
                    [("Old secret", f"works until {figures.minute(one.grace_until)}", "warn")]
                    if one.grace_until
                    else []
                ),
            ],
            width,
            12,
        ),
        [],
    ]
    if one.requests_series:
        lines.append(
            [
                ("24 H CALLS  ", "head"),
                (sparkline(one.requests_series, 24), "spark"),
                (f"  {one.requests_24h:,}", "dim"),
            ]
        )
    if one.spend_series:
        lines.append([("24 H SPEND  ", "head"), (sparkline(one.spend_series, 24), "spark")])
    return lines
