"""One call in lines: why this route, its attempts, a waterfall of its time, its cost as arithmetic. Pure: a record in, lines out."""

from __future__ import annotations

from msgspec import to_builtins

from gateway.admin.schema.logs import Attempt, Body, LogDetail, RouteCandidate
from tui import figures
from tui.widgets.line import Line, fit, wrapped
from tui.widgets.marks import ruler, span_bar

MILLION = 1_000_000
SMALL_NUSD = 100_000
"""Below a hundredth of a cent the arithmetic needs eight places to say anything."""


def status_style(status: int) -> str:
    return "good" if status < 400 else "warn" if status < 500 else "bad"


def headline(call: LogDetail) -> Line:
    asked = call.requested_model or call.tier or ""
    served = f"{call.provider}/{call.model}" if call.provider else "no target"
    attempts = f"{len(call.attempts)} attempt{'s' if len(call.attempts) != 1 else ''}"
    return [
        (call.request_id, "strong"),
        (f"  {asked} → ", "dim"),
        (served, ""),
        (f"   {call.status}", status_style(call.status)),
        (f"   {attempts}   {'stream' if call.stream else 'whole'}   key {call.key}", "dim"),
    ]


def pairs(rows: list[tuple[str, str, str]], width: int, label: int = 11) -> list[Line]:
    return [[(fit(name, label), "dim"), (fit(value, width - label), style)] for name, value, style in rows]


def summary(call: LogDetail, width: int) -> list[Line]:
    return pairs(
        [
            ("Status", f"{call.status} {call.error_code or call.end_reason}", status_style(call.status)),
            ("Request", call.request_id, ""),
            ("Asked for", f"tier {call.tier}" if call.tier else call.requested_model or figures.NONE, ""),
            ("Served by", f"{call.provider}/{call.model}" if call.provider else "nobody", "strong"),
            ("Endpoint", f"{call.endpoint}, {'streamed' if call.stream else 'whole'}", ""),
            ("Project", call.project, ""),
            ("Key", f"{call.key} ({call.key_id})", ""),
            ("User", call.user or figures.NONE, ""),
            ("Tags", "  ".join(call.tags or []) or figures.NONE, ""),
            *([("Trace", call.trace_id, "")] if call.trace_id else []),
            *([("[s] opens", figures.trace(to_builtins(call.trace)), "dim")] if call.trace else []),
        ],
        width,
    )


def usage(call: LogDetail, width: int) -> list[Line]:
    """Tokens times price, line by line, and the sum that was charged."""
    lines: list[Line] = []
    price = call.price
    places = 5 if (call.cost_nusd or 0) >= SMALL_NUSD else 8
    cached = call.cached_tokens or 0
    cache_write = call.cache_write_tokens or 0
    rows: list[tuple[str, int | None, int | None]] = [
        (
            "input",
            None if call.prompt_tokens is None else call.prompt_tokens - cached - cache_write,
            price.input_nusd if price else None,
        ),
        (
            "cached",
            cached,
            (price.cached_nusd if price.cached_nusd is not None else price.input_nusd) if price else None,
        ),
    ]
    if cache_write:
        rows.append(("to cache", cache_write, (price.cache_write_nusd or price.input_nusd) if price else None))
    rows.append(("output", call.completion_tokens, price.output_nusd if price else None))
    for name, tokens, per_million in rows:
        line: Line = [
            (fit(name, 9), "dim"),
            (fit(figures.NONE if tokens is None else f"{tokens:,}", 9, "right"), ""),
            (" tok", "dim"),
        ]
        if per_million is not None and tokens is not None:
            product = tokens * per_million / MILLION
            each = f" × {figures.dollars(per_million, 2)}/M"
            line += [(fit(each, 14), "dim"), (fit(figures.dollars(round(product), places), 12, "right"), "")]
        lines.append(line)
    total: Line = [
        (fit("total", 9), "strong"),
        (" " * 27, ""),
        (fit(figures.dollars(call.cost_nusd, places), 12, "right"), "strong"),
    ]
    if not price:
        total = [(fit("total", 9), "strong"), (figures.cost(call.cost_nusd), "strong")]
    lines.append(total)
    reasoning = f"of the output {call.reasoning_tokens:,} reasoning · " if call.reasoning_tokens else ""
    source = {
        "provider": "usage as the provider reported it",
        "estimated": "usage estimated: the answer broke off",
        "none": "no usage",
    }
    lines.append(
        [
            (
                reasoning + source.get(call.usage_source, call.usage_source),
                "warn" if call.usage_source == "estimated" else "dim",
            )
        ]
    )
    if price:
        lines.append([(f"price {price.id} of {figures.day(price.valid_from)}", "dim")])
    elif call.cost_nusd is None and call.prompt_tokens:
        lines.append([("this model has no price: no cost was charged", "warn")])
    return lines


def route(call: LogDetail, width: int) -> list[Line]:
    """Which targets were in line, and what each did."""
    told = call.route
    asked = f"tier {call.tier}" if call.tier else f"model {call.requested_model or figures.NONE}"
    lines: list[Line] = [[(told.why or asked, "strong"), (": its targets in order" if call.tier else "", "dim")]]
    lines += [line for number, one in enumerate(told.candidates, 1) for line in candidate_lines(number, one, width)]
    if told.candidates and not told.is_whole:
        lines.append([(fit("  only what was tried is known: an older version's record", width), "dim")])
    for limit in told.limits:
        sign, style = ("● ", "good") if limit.is_enough else ("✖ ", "bad")
        said = wrapped(figures.limit_left(to_builtins(limit)), width - 2, "dim")
        lines += [[(sign if not index else "  ", style), *row] for index, row in enumerate(said)]
    if told.refusal:
        lines += wrapped(told.refusal, width, "warn")
    if told.candidates:
        lines += [[], [("ATTEMPTS", "head")]]
    if not call.attempts:
        lines.append([("  no target was tried: ", "dim"), (call.error_code or call.end_reason, "warn")])
    for number, attempt in enumerate(call.attempts, 1):
        lines += attempt_lines(number, attempt, width)
        if number < len(call.attempts):
            pause = call.attempts[number].start_ms - attempt.start_ms - attempt.ms
            if pause > 1:
                lines.append([(f"    wait {figures.duration(pause)}", "dim")])
    if call.ttft_ms is not None:
        lines += [[], [("Client saw the first byte after ", ""), (figures.duration(call.ttft_ms), "strong")]]
    return lines


VERDICTS = {
    "answered": ("● ", "good"), "failed": ("✖ ", "bad"), "passed over": ("▲ ", "warn"), "not reached": ("○ ", "dim"), "left out": ("– ", "dim"),
}  # fmt: skip


def candidate_lines(number: int, one: RouteCandidate, width: int) -> list[Line]:
    """Sign and word, so that it can be told without colour; the reason below."""
    sign, style = VERDICTS.get(one.verdict, ("  ", ""))
    name = fit(f"{one.provider}/{one.model}", max(10, width - 18))
    lines: list[Line] = [[(f"  {number} ", "strong"), (name, ""), (f" {sign}", style), (one.verdict, style)]]
    lines += [
        [(fit(f"    {text}", width), "dim")] for text in (one.why, figures.candidate_price(to_builtins(one))) if text
    ]
    return lines


def attempt_lines(number: int, attempt: Attempt, width: int) -> list[Line]:
    ok = attempt.failure is None and (attempt.status or 500) < 400
    sign = ("● ", "good") if ok else ("✖ ", "bad")
    outcome = str(attempt.status or "") + ("" if ok else f" {attempt.failure or ''}")
    first: Line = [
        (f"  {number} ", "strong"),
        (fit(f"{attempt.provider}/{attempt.model}", min(34, width - 30)), ""),
        (" ", ""),
        sign,
        (outcome.strip(), "good" if ok else "bad"),
        (f"  {figures.duration(attempt.ms)}", ""),
    ]
    lines = [first]
    if attempt.ttft_ms is not None:
        reused = "" if attempt.reused is None else ", kept connection" if attempt.reused else ", new connection"
        lines.append([(f"    first byte after {figures.duration(attempt.ttft_ms)}{reused}", "dim")])
    if attempt.detail:
        lines.append([(fit(f"    {attempt.detail}", width), "dim")])
    return lines


def waterfall(call: LogDetail, width: int) -> list[Line]:
    """Bars on a common scale: what the gateway did, each attempt, the waits between."""
    total = max(call.latency_ms or 0.0, max((one.start_ms + one.ms for one in call.attempts), default=0.0), 1.0)
    scale = max(24, min(width - 34, 80))
    labels, ticks = ruler(total, scale)
    lines: list[Line] = [labels, ticks]
    first = call.attempts[0].start_ms if call.attempts else total
    lines.append(_bar(0, first, total, scale, "█", f"gateway {figures.duration(call.overhead_ms)}", "accent"))
    end = first
    for attempt in call.attempts:
        if attempt.start_ms - end > 1:
            lines.append(
                _bar(
                    end,
                    attempt.start_ms - end,
                    total,
                    scale,
                    "░",
                    f"wait {figures.duration(attempt.start_ms - end)}",
                    "dim",
                )
            )
        lines += _attempt_bars(attempt, total, scale)
        end = attempt.start_ms + attempt.ms
    tail: Line = [("first byte ", "dim"), (figures.duration(call.ttft_ms), "strong"), ("   total ", "dim")]
    return [
        *lines,
        [
            *tail,
            (figures.duration(call.latency_ms), "strong"),
            ("   overhead ", "dim"),
            (figures.duration(call.overhead_ms), "strong"),
        ],
    ]


def _attempt_bars(attempt: Attempt, total: float, scale: int) -> list[Line]:
    failed = attempt.failure is not None or (attempt.status or 500) >= 400
    if failed:
        return [
            _bar(
                attempt.start_ms,
                attempt.ms,
                total,
                scale,
                "▒",
                f"{attempt.provider} {figures.duration(attempt.ms)} ✖",
                "bad",
            )
        ]
    if attempt.ttft_ms is None:
        return [
            _bar(
                attempt.start_ms,
                attempt.ms,
                total,
                scale,
                "█",
                f"{attempt.provider} {figures.duration(attempt.ms)}",
                "bar",
            )
        ]
    body = max(0.0, attempt.ms - attempt.ttft_ms)
    return [
        _bar(
            attempt.start_ms,
            attempt.ttft_ms,
            total,
            scale,
            "▓",
            f"{attempt.provider} waits {figures.duration(attempt.ttft_ms)}",
            "warn",
        ),
        _bar(attempt.start_ms + attempt.ttft_ms, body, total, scale, "█", f"answer {figures.duration(body)}", "bar"),
    ]


def _bar(start: float, length: float, total: float, scale: int, glyph: str, label: str, style: str) -> Line:
    return [(fit(span_bar(start, length, total, scale, glyph), scale), style), (f" {label}", "dim")]


def pane(call: LogDetail, width: int) -> list[Line]:
    """The detail below the list: everything at a glance."""
    lines = [headline(call)]
    for number, attempt in enumerate(call.attempts, 1):
        lines += attempt_lines(number, attempt, width)[:1]
    if not call.attempts:
        lines.append([("no target was tried: ", "dim"), (call.error_code or call.end_reason, "warn")])
    lines += waterfall(call, width)
    lines.append(_cost_line(call))
    return lines


def _cost_line(call: LogDetail) -> Line:
    line: Line = [
        ("USAGE ", "head"),
        (
            f"in {_number(call.prompt_tokens)} (cached {_number(call.cached_tokens)})  out {_number(call.completion_tokens)}  ",
            "",
        ),
    ]
    line.append((figures.cost(call.cost_nusd), "strong"))
    price = call.price
    if price and price.input_nusd is not None and call.prompt_tokens is not None:
        fresh = call.prompt_tokens - (call.cached_tokens or 0)
        parts = [f"{fresh:,} × {figures.dollars(price.input_nusd, 2)}/M"]
        if call.cached_tokens and price.cached_nusd is not None:
            parts.append(f"{call.cached_tokens:,} × {figures.dollars(price.cached_nusd, 2)}/M")
        if call.completion_tokens and price.output_nusd is not None:
            parts.append(f"{call.completion_tokens:,} × {figures.dollars(price.output_nusd, 2)}/M")
        line.append((" = " + " + ".join(parts), "dim"))
    return line


def _number(number: int | None) -> str:
    return figures.NONE if number is None else f"{number:,}"


def body(captured: Body | None, width: int) -> list[Line]:
    if captured is None or captured.text is None:
        why = captured.why_not if captured and captured.why_not else "nothing was captured"
        return [
            [],
            *wrapped(f"No body: {why}.", width, "strong"),
            [],
            *wrapped(
                "Capture is a setting of the project (s on the project). It is off by default; when on, bodies are encrypted, kept for "
                "the time set there, and e-mail addresses and keys are redacted.",
                width,
            ),
        ]
    notes = []
    if captured.redactions:
        notes.append(f"{captured.redactions} redactions")
    if captured.truncated:
        notes.append("cut off")
    lines: list[Line] = [[(" · ".join(notes), "warn")], []] if notes else []
    return [*lines, *wrapped(captured.text, width)]
