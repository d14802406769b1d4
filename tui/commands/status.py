"""`optyx status` and `optyx top`: how the gateway is, on one screen, in one line, or in ten."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from tui import figures
from tui.columns import Column, number, state
from tui.faults import FINDINGS, TIME_RAN_OUT, Fault
from tui.flags import seconds
from tui.invocation import Invocation, current

status = typer.Typer()
top = typer.Typer()

SHOWN = [
    state("gateway", "status"), Column("context", "context"), Column("address", "url"), Column("version", "version"),
    Column("components", "components"), number("requests/s", "requests_per_s", figures.rate),
    number("errors", "error_share", lambda share: f"{figures.percent(share, 2)}%"),
    number("first byte p50/p95", "ttft"), number("latency p50/p95", "latency"), number("in flight", "in_flight"),
    number("spent today", "today_nusd", figures.dollars), Column("attention", "attention", lambda items: "; ".join(items) or "nothing"),
]  # fmt: skip


def looked_at(run: Invocation) -> dict[str, Any]:
    """Readiness and the overview together. Raises Fault when the gateway can't be reached."""
    try:
        ready = run.get("/health/ready")
    except Fault as fault:
        if fault.status != 503:
            raise
        ready = {"status": "unavailable", "components": {}}
    told = run.get("/overview", window="15m")
    rates, requests = told["rates"], told["rates"]["requests"] or 0
    return {
        "status": ready["status"], "components": ready.get("components", {}), "context": run.place.context, "url": run.place.url,
        "version": run.get("/health").get("version"), "window": told["window"], "requests": requests,
        "requests_per_s": rates["requests_per_s"], "error_share": rates["errors"] / requests if requests else 0.0,
        "ttft": _pair(rates, "ttft"),
        "latency": _pair(rates, "latency"),
        "in_flight": told["in_flight"]["calls"], "today_nusd": told["spend"]["today_nusd"],
        "attention": [one["title"] for one in told["attention"]],
    }  # fmt: skip


def in_a_line(told: dict[str, Any]) -> str:
    """`prod ● 128/s 0.43% $215`, for a prompt or tmux."""
    sign = "●" if told["status"] == "ready" else "▲"
    spent = figures.dollars(told["today_nusd"], 0 if told["today_nusd"] >= 100 * figures.NUSD else 2)
    return f"{told['context']} {sign} {figures.rate(told['requests_per_s'])}/s {figures.percent(told['error_share'], 2)}% {spent}"


@status.command()
def status_command(
    line: Annotated[bool, typer.Option("--line", help="One line, for a prompt or tmux.")] = False,
    wait: Annotated[str, typer.Option("--wait", help="Until the gateway is ready, at most this long, like 60s.")] = "",
) -> None:
    """How the gateway is. Exit status 9 when it is not wholly well, 124 when --wait ran out."""
    run = current()
    if wait:
        _wait(run, seconds(wait, "--wait"))
    try:
        told = looked_at(run)
    except Fault as fault:
        if line and fault.exit == 3:
            run.out.line(f"{run.place.context} ✖ offline")
        raise
    if line:
        run.out.line(in_a_line(told))
    else:
        run.show(told, SHOWN, "status")
    if told["status"] != "ready":
        raise typer.Exit(FINDINGS)


def _wait(run: Invocation, most_s: float) -> None:
    ends = time.monotonic() + most_s
    run.flags.retries = 0
    while True:
        try:
            if run.get("/health/ready")["status"] == "ready":
                return
            reason = "it is not ready yet"
        except Fault as fault:
            reason = fault.message
        if time.monotonic() > ends:
            raise Fault(
                f"the gateway is not ready after {most_s:g} s: {reason}",
                exit=TIME_RAN_OUT,
                code="timeout",
                hint="optyx doctor",
                retryable=True,
            )
        time.sleep(0.2)


@top.command()
def top_command(
    once: Annotated[bool, typer.Option("--once", help="Once, and end.")] = False,
    every: Annotated[float, typer.Option("--every", min=0.5, help="Seconds between looks.")] = 2.0,
) -> None:
    """The overview in ten lines, drawn over itself on a terminal, until Ctrl-C."""
    run = current()
    drawn = 0
    while True:
        lines = ten_lines(run)
        if drawn and run.out.is_terminal:
            sys.stdout.write(f"\x1b[{drawn}A\x1b[J")
        for text in lines:
            run.out.line(text)
        sys.stdout.flush()
        drawn = len(lines)
        if once:
            return
        time.sleep(every)


def _pair(rates: dict[str, Any], name: str) -> str:
    return f"{figures.duration(rates[f'{name}_p50_ms'])} / {figures.duration(rates[f'{name}_p95_ms'])}"


def ten_lines(run: Invocation) -> list[str]:
    told = run.get("/overview", window="15m")
    rates, spend, flight = told["rates"], told["spend"], told["in_flight"]
    latency, first = _pair(rates, "latency"), _pair(rates, "ttft")
    spent = [figures.dollars(spend[name]) for name in ("today_nusd", "yesterday_nusd", "forecast_nusd")]
    failed = f"{rates['errors']} of {rates['requests']} failed"
    lines = [
        f"{run.place.context}  last {told['window']}  {figures.rate(rates['requests_per_s'])} requests/s  {failed}",
        f"latency {latency}  first byte {first}  (p50 / p95)",
        f"in flight {flight['calls']}  streams {flight['streams']}  workers {flight['workers']}",
        f"spent today {spent[0]}  yesterday {spent[1]}  today's end {spent[2]}",
    ]
    for one in told["providers"][:2]:
        lines.append(
            f"{one['name']}: {one['state']}  {figures.rate(one['requests_per_s'])}/s  p95 {figures.duration(one['latency_p95_ms'])}"
        )
    for one in told["top_projects"][:2]:
        lines.append(
            f"{one['name']}: {figures.rate(one['requests_per_s'])}/s  {figures.dollars(one['today_nusd'])} today"
        )
    lines += [f"{one['severity']}: {one['title']}" for one in told["attention"][:2]] or ["nothing needs attention"]
    return lines[:10]
