"""`Dashboard`: all figures of the overview in one painted widget. Only lines whose text changed are sent again."""

from __future__ import annotations

from typing import Any

from rich.style import Style

from gateway.admin.schema.overview import Overview
from tui import figures
from tui.widgets.line import Line, ends, fit, fit_line
from tui.widgets.marks import sparkline
from tui.widgets.panel import Painted, faded

TILE_HEIGHT = 5
WIDE = 100
Tile = tuple[str, list[Line]]


class Dashboard(Painted):
    """Two rows of four tiles, or one panel of four lines where there is no room."""

    DEFAULT_CSS = "Dashboard { height: 10; }"

    def __init__(self) -> None:
        super().__init__(id="dashboard")
        self.data: Overview | None = None
        self._rows: list[Line] = []
        self._rows_for: tuple[int, int] = (0, 0)

    def show(self, data: Overview) -> None:
        if data != self.data:
            self.data = data
            self._rows_for = (0, 0)
            self.changed()

    def row(self, y: int, width: int) -> tuple[Line, Style | None]:
        place = (width, self.outer_size.height)
        if self._rows_for != place:
            self._rows, self._rows_for = self._all_rows(*place), place
        line = self._rows[y] if y < len(self._rows) else []
        old_s = self.optyx.pulse.old_s
        if old_s is None:
            return line, None
        ages_at = 0 if self._is_compact else self.outer_size.height - 1  # the tiles' titles leave no room above
        return (_aged(line, f" ◌ STALE {old_s:.0f} s ") if y == ages_at else faded(line)), None

    @property
    def _is_compact(self) -> bool:
        return self.outer_size.width < WIDE or self.outer_size.height < 2 * TILE_HEIGHT

    def _all_rows(self, width: int, height: int) -> list[Line]:
        if self._is_compact:
            return [self._compact(y, width) for y in range(height)]
        tiles = self._tiles(width)
        rows = []
        for y in range(2 * TILE_HEIGHT):
            line: Line = []
            for index, (title, lines) in enumerate(tiles[4 * (y // TILE_HEIGHT) :][:4]):
                left, right = index * width // 4, (index + 1) * width // 4
                line += _tile_row(title, lines, y % TILE_HEIGHT, right - left)
            rows.append(line)
        return rows

    def _tiles(self, width: int) -> list[Tile]:
        room = width // 4 - 4
        if self.data is None:
            names = (
                "Requests/s",
                "Errors",
                "Latency p50 / p95",
                "TTFT p50 / p95",
                "Tokens/min",
                "Spend today",
                "In flight",
                "Failover",
            )
            return [(name, [[("·" * min(8, room), "wait")]]) for name in names]
        return [*_traffic(self.data, room), *_money(self.data, room)]

    def _compact(self, y: int, width: int) -> Line:
        if y == 0:
            return [("┌─", "line"), (" Now ", "title"), ("─" * (width - 8), "line"), ("┐", "line")]
        if y == self.outer_size.height - 1:
            return [("└" + "─" * (width - 2) + "┘", "line")]
        if self.data is None:
            return _boxed([("·" * 8, "wait")], width)
        rates, spend, flight = self.data.rates, self.data.spend, self.data.in_flight
        lines: list[tuple[Line, Line]] = [
            (
                [
                    *(("req/s ", "dim"), (figures.rate(rates.requests_per_s), "strong"), (" ", "")),
                    *((sparkline(rates.requests_series, 10), "spark"), ("   err ", "dim"), _share(_errors(self.data))),
                    *((" ", ""), (sparkline(rates.errors_series, 10), "bad" if rates.errors else "spark")),
                ],
                [("in flight ", "dim"), (str(flight.calls), "strong")],
            ),
            (
                [
                    *(("p50 ", "dim"), (figures.duration(rates.latency_p50_ms), "strong"), ("  p95 ", "dim")),
                    *((figures.duration(rates.latency_p95_ms), "strong"), ("   TTFT ", "dim")),
                    (f"{figures.duration(rates.ttft_p50_ms)} / {figures.duration(rates.ttft_p95_ms)}", "strong"),
                ],
                [("ovh p95 ", "dim"), (figures.duration(rates.overhead_p95_ms), "")],
            ),
            (
                [
                    *(("tok/min ", "dim"), (figures.count(rates.prompt_tokens_per_min), "strong"), (" in  ", "dim")),
                    *((figures.count(rates.completion_tokens_per_min), "strong"), (" out   cached ", "dim")),
                    (f"{figures.percent(rates.cached_share)} %", ""),
                ],
                [("failover ", "dim"), (f"{figures.percent(rates.failover_share)} %", "")],
            ),
            (
                [
                    *((f"today ({self.data.timezone}) ", "dim"), (figures.dollars(spend.today_nusd), "strong")),
                    (f" → {figures.dollars(spend.forecast_nusd)}" if spend.forecast_nusd is not None else "", "dim"),
                ],
                [("yesterday ", "dim"), (figures.dollars(spend.yesterday_nusd), "")],
            ),
        ]
        if y - 1 >= len(lines):
            return _boxed([], width)
        left, right = lines[y - 1]
        return _boxed(ends(left, right, width - 4), width)


def _aged(border: Line, said: str) -> Line:
    text = "".join(part for part, _ in border)
    return [(text[: -len(said) - 2], "dim"), (said, "warn"), (text[-2:], "dim")]


def _tile_row(title: str, lines: list[Line], y: int, width: int) -> Line:
    if y == 0:
        head = f" {title if len(title) <= width - 5 else fit(title, width - 5)} "
        return [("┌─", "line"), (head, "title"), ("─" * (width - 3 - len(head)), "line"), ("┐", "line")]
    if y == TILE_HEIGHT - 1:
        return [("└" + "─" * (width - 2) + "┘", "line")]
    return _boxed(lines[y - 1] if y - 1 < len(lines) else [], width)


def _boxed(line: Line, width: int) -> Line:
    return [("│ ", "line"), *fit_line(line, width - 4), (" │", "line")]


def _errors(data: Overview) -> float:
    return data.rates.errors / data.rates.requests if data.rates.requests else 0.0


def _share(share: float) -> tuple[str, str]:
    style = "bad" if share >= 0.05 else "warn" if share >= 0.01 else "strong"
    return f"{figures.percent(share, 2)} %", style


def _traffic(data: Overview, room: int) -> list[Tile]:
    rates = data.rates
    return [
        (
            "Requests/s",
            [
                [
                    (figures.rate(rates.requests_per_s), "strong"),
                    *_trend(rates.requests_per_s, rates.requests_per_s_before),
                ],
                [(sparkline(rates.requests_series, room), "spark")],
                [(f"{rates.requests:,} in {data.window}   max {_top(rates.requests_series)}", "dim")],
            ],
        ),
        (
            "Errors",
            [
                [_share(_errors(data)), (f"   4xx {rates.errors_4xx:,}  5xx {rates.errors_5xx:,}", "")],
                [(sparkline(rates.errors_series, room), "bad" if rates.errors else "spark")],
                [
                    (f"{rates.errors:,} of {rates.requests:,}", "dim"),
                    (f"   {rates.top_error}" if rates.top_error else "", "dim"),
                ],
            ],
        ),
        (
            "Latency p50 / p95",
            [
                [(f"{figures.duration(rates.latency_p50_ms)} / {figures.duration(rates.latency_p95_ms)}", "strong")],
                [(sparkline(rates.latency_series, room), "spark")],
                [(f"overhead p95 {figures.duration(rates.overhead_p95_ms)}", "dim")],
            ],
        ),
        (
            "TTFT p50 / p95",
            [
                [(f"{figures.duration(rates.ttft_p50_ms)} / {figures.duration(rates.ttft_p95_ms)}", "strong")],
                [(sparkline(rates.ttft_series, room), "spark")],
                [(f"streaming {figures.percent(rates.stream_share, 0)} % of requests", "dim")],
            ],
        ),
    ]


def _money(data: Overview, room: int) -> list[Tile]:
    rates, spend, flight = data.rates, data.spend, data.in_flight
    whole = 0 if (spend.forecast_nusd or 0) >= 100 * figures.NUSD else None
    forecast = f"  → {figures.dollars(spend.forecast_nusd, whole)} by 24:00" if spend.forecast_nusd is not None else ""
    unpriced = f"+{figures.count(spend.unpriced_calls)} unpriced   " if spend.unpriced_calls else ""
    yesterday = f"yesterday {figures.dollars(spend.yesterday_nusd, 0 if unpriced else None)}"
    return [
        (
            "Tokens/min",
            [
                [
                    *((figures.count(rates.prompt_tokens_per_min), "strong"), (" in   ", "dim")),
                    *((figures.count(rates.completion_tokens_per_min), "strong"), (" out", "dim")),
                ],
                [(sparkline(rates.tokens_series, room), "spark")],
                [(f"cached in {figures.percent(rates.cached_share, 0)} %", "dim")],
            ],
        ),
        (
            f"Spend today ({data.timezone} day)",
            [
                [(figures.dollars(spend.today_nusd), "strong"), (forecast, "")],
                [(sparkline(spend.series, room), "spark")],
                [
                    (unpriced, "warn"),
                    (yesterday.removeprefix("yesterday ") + " yest." if unpriced else yesterday, "dim"),
                ],
            ],
        ),
        (
            "In flight",
            [
                [
                    (f"{flight.calls}", "strong"),
                    (" requests   ", "dim"),
                    (f"{flight.streams}", "strong"),
                    (" streams", "dim"),
                ],
                [(sparkline(flight.series, room), "spark")],
                [
                    (
                        f"oldest {flight.oldest_s:.1f} s   {flight.workers} worker{'s' if flight.workers != 1 else ''}",
                        "dim",
                    )
                ],
            ],
        ),
        (
            "Failover / retries",
            [
                [(f"{figures.percent(rates.failover_share)} %", "strong"), (" failed over", "dim")],
                [(sparkline(rates.failover_series, room), "spark")],
                [(f"retried {figures.percent(rates.retry_share)} %", "dim")],
            ],
        ),
    ]


def _trend(now: float, before: float | None) -> Line:
    if not before:
        return []
    share = now / before - 1
    sign: Any = "▲" if share >= 0 else "▼"
    return [(f"  {sign} {abs(share) * 100:.0f} % vs 1h", "dim")]


def _top(series: list[float]) -> str:
    return figures.rate(max(series, default=0.0))
