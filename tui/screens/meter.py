"""What the playground shows of its runs: the answer as far as it has come, and route, time to first token, speed, tokens, cost."""

from __future__ import annotations

from collections.abc import Sequence

from tui import figures
from tui.running import Run
from tui.widgets.line import Line, wrapped
from tui.widgets.marks import sparkline


def answer_lines(run: Run, width: int) -> list[Line]:
    lines: list[Line] = [*wrapped(run.reasoning[-400:], width, "dim"), []] if run.reasoning and not run.text else []
    lines += wrapped(run.text + ("" if run.done else "▌"), width)
    return [*lines, [], *wrapped(f"✖ {run.error}", width, "bad")] if run.error else lines


def meter_lines(runs: Sequence[Run], width: int) -> list[Line]:
    if not runs:
        return [
            *wrapped("A run is a real call: logged, priced, counted against the key's budget.", width, "dim"),
            *wrapped("The session's key has $1 and ends after an hour.", width, "dim"),
        ]
    lines: list[Line] = []
    for run in runs:
        record = run.record
        provider = run.headers.get("x-optyx-provider") or (record.provider if record else "") or "…"
        model = run.headers.get("x-optyx-model") or (record.model if record else "") or ""
        attempts = run.headers.get("x-optyx-attempts", "")
        overhead = run.headers.get("x-optyx-overhead-ms", "")
        cached = (run.usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        cost = figures.cost(record.cost_nusd) if record else ("in a moment…" if run.request_id else figures.NONE)
        rows: list[tuple[str, Line]] = [
            (
                "ROUTE",
                [
                    (f"{run.model} → {provider}/{model}", ""),
                    (f"   {attempts} attempt{'s' if attempts != '1' else ''}", "dim"),
                ],
            ),
            (
                "TTFT",
                [
                    (figures.duration(run.first_ms), "strong"),
                    (f"   gateway overhead {overhead or figures.NONE} ms", "dim"),
                ],
            ),
            (
                "SPEED",
                [
                    (f"{run.tokens_per_s:.0f} tok/s   " if run.tokens_per_s else figures.NONE, "strong"),
                    (sparkline(run.speeds, min(20, max(1, len(run.speeds)))), "spark"),
                ],
            ),
            (
                "TOKENS",
                [(f"in {run.usage.get('prompt_tokens', figures.NONE)}  out {run.tokens_out}  cached {cached}", "")],
            ),
            ("COST", [(cost, "strong")]),
            ("REQUEST", [(run.request_id or figures.NONE, ""), ("   l opens it", "dim")]),
        ]
        lines += [
            [(f"{name:9}", "head"), *line]
            for name, line in (rows if len(runs) == 1 else [rows[0], rows[1], rows[2], rows[4]])
        ]
    return lines
