"""What saving a project's settings would change, refuse and mean, in lines. Pure: versions and a change in, lines out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.admin.schema.settings import Preview, Settings, SettingsVersion
from tui import figures
from tui.widgets.line import Line, fit, wrapped

OUTCOMES = {
    "refused": ("✖ ", "bad", "would be refused"),
    "no_fallback": ("▲ ", "warn", "would have no fallback"),
    "elsewhere": ("▲ ", "warn", "would go elsewhere"),
}


def review(
    base: Settings,
    versions: Sequence[SettingsVersion],
    changes: dict[str, Any],
    mistakes: int,
    preview: Preview | None,
    width: int,
) -> list[Line]:
    before = msgspec.to_builtins(base)
    counted = f"{len(changes)} change{'s' if len(changes) != 1 else ''}"
    errors = f", {mistakes} error{'s' if mistakes != 1 else ''}" if mistakes else ""
    lines: list[Line] = [
        [
            (counted + errors, "bad" if mistakes else "strong"),
            (f"   version {base.version} → {base.version + 1}", "dim"),
        ]
    ]
    for name, value in changes.items():
        lines += [[], [(name, "strong")]]
        lines += [[(f"- {row}", "removed")] for row in shown(before.get(name)) if row not in shown(value)]
        lines += [[(f"+ {row}", "added")] for row in shown(value) if row not in shown(before.get(name))]
    lines += [
        [],
        [("IMPACT ", "head"), ("(dry run on the last 24 h of calls)", "dim")],
        *_impact(changes, preview, width),
    ]
    lines += [[], [("EFFECTIVE VALUES", "head")]]
    for name in ("default_tier", "allowed_models", "failover", "capture", "timezone"):
        value = before.get(name)
        origin = "gateway default" if value is None else "project"
        text = "every model" if name == "allowed_models" and value is None else word(value)
        lines.append([(f"{name:16}", "dim"), (fit(text, max(20, width - 33)) + " ", ""), (origin, "dim")])
    lines += [[], [("HISTORY", "head"), ("   R restores a version", "dim")]]
    for one in versions[:6]:
        lines.append(
            [(f"v{one.version:<4}", "strong"), (f"{figures.ago(one.at):10} {one.by:8} ", "dim"), (one.summary, "")]
        )
    return lines


def _impact(changes: dict[str, Any], preview: Preview | None, width: int) -> list[Line]:
    if not changes:
        return [[("nothing is changed", "dim")]]
    if preview is None:
        return [[("asking…", "dim")]]
    lines: list[Line] = []
    for one in preview.impact:
        sign, style, what = OUTCOMES.get(one.outcome, ("▲ ", "warn", one.outcome))
        text = f"{figures.calls(one.requests)} of key {one.key} {what}: {one.reason}"
        lines += [[(sign if not index else "  ", style), *row] for index, row in enumerate(wrapped(text, width - 2))]
    if not preview.impact:
        lines.append([("● ", "good"), (f"none of {figures.calls(preview.examined)} would have been refused", "")])
    else:
        others = preview.examined - preview.refused - preview.no_fallback - preview.elsewhere
        lines.append([("● ", "good"), (f"{others:,} other call{'' if others == 1 else 's'} unaffected", "")])
    return lines


def is_same(before: Any, now: Any) -> bool:
    if isinstance(before, list) and isinstance(now, list) and all(isinstance(one, str) for one in [*before, *now]):
        return sorted(before) == sorted(now)
    return bool(before == now)


def shown(value: Any) -> list[str]:
    if isinstance(value, list):
        return [word(one) for one in value]
    if isinstance(value, dict):
        return [f"{name}: {word(one)}" for name, one in value.items()]
    return [word(value)]


def word(value: Any) -> str:
    if value is None:
        return "(gateway default)"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(word(one) for one in value) or "(nothing)"
    if isinstance(value, dict):
        return f"{value['provider']}/{value['model']}" if set(value) >= {"provider", "model"} else str(value)
    return str(value)
