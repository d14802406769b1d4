"""Providers: health, circuits, what their state means for calls; a test step by step."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal

from gateway.admin.schema.providers import Provider, ProviderTest, Step
from gateway.admin.schema.record import Changed
from tui import figures
from tui.location import Location
from tui.screens.call_lines import pairs
from tui.screens.view import ASKED, View, as_json
from tui.widgets.bound import bindings
from tui.widgets.columned import Column
from tui.widgets.form import Field, Form
from tui.widgets.grid import GridTable
from tui.widgets.line import Line, Span, fit, wrapped
from tui.widgets.marks import sparkline, state
from tui.widgets.panel import TextPanel

STEPS = ("configuration", "dns", "connect", "tls", "auth", "models", "chat 1 token", "stream")
STEP_SIGNS: dict[str, Span] = {
    "ok": ("●", "good"),
    "failed": ("✖", "bad"),
    "skipped": ("–", "dim"),
    "running": ("◌", "busy"),
    "waiting": ("·", "dim"),
}


def _circuit(one: Provider) -> Span:
    if not one.enabled:
        return figures.NONE, "dim"
    if one.circuit == "open":
        left = "" if one.open_for_s is None else f" {one.open_for_s:.0f}s"
        return f"open{left} {one.failures}", "bad"
    return f"{one.circuit.replace('_', '-')} {one.failures}", "warn" if one.circuit != "closed" else ""


def _last_error(one: Provider) -> Span:
    return (f"{one.last_error} {figures.ago(one.last_error_at, '')}".strip() or figures.NONE, "dim")


COLUMNS: list[Column[Provider]] = [
    Column("PROVIDER", 12, lambda one: (one.name, "strong"), lambda one: one.name, grow=True),
    Column("STATE", 15, lambda one: state(one.state if one.enabled else "disabled"), lambda one: one.state),
    Column("CIRCUIT", 15, _circuit, lambda one: one.circuit, "left", 4),
    Column(
        "ERR%",
        5,
        lambda one: (figures.percent(one.error_share), "bad" if (one.error_share or 0) > 0.05 else ""),
        lambda one: one.error_share,
        "right",
    ),
    Column("P50", 6, lambda one: (figures.seconds(one.latency_p50_ms), ""), lambda one: one.latency_p50_ms, "right", 5),
    Column("P95", 6, lambda one: (figures.seconds(one.latency_p95_ms), ""), lambda one: one.latency_p95_ms, "right"),
    Column("TTFT95", 6, lambda one: (figures.seconds(one.ttft_p95_ms), ""), lambda one: one.ttft_p95_ms, "right", 5),
    Column("RPS", 6, lambda one: (figures.rate(one.requests_per_s), ""), lambda one: one.requests_per_s, "right", 2),
    Column("LAST ERROR", 18, _last_error, lambda one: one.last_error_at, "left", 3),
    Column("KIND", 10, lambda one: (one.kind, ""), lambda one: one.kind, wide=True),
    Column("BASE URL", 44, lambda one: (one.base_url, "dim"), lambda one: one.base_url, wide=True),
    Column("CREDENTIAL", 26, lambda one: (one.credential or figures.NONE, ""), lambda one: one.credential, wide=True),
    Column("MODELS", 6, lambda one: (str(one.models), ""), lambda one: one.models, "right", wide=True),
]


class Providers(View):
    """Upstream accounts. State joins the circuit, the latency rule and the admin's switch.

    A circuit opens after five failures in a row or half of the last twenty: the provider then rests, and one call at a time probes it.
    t tests step by step with one token of chat, and uses no key of a user.
    """

    scope = "providers"
    every_s = 2.0
    BINDINGS = bindings("providers")
    DEFAULT_CSS = """
    Providers #provider-rows { height: 1fr; min-height: 8; }
    Providers #below { height: 15; }
    Providers #provider { width: 62%; }
    Providers #test { width: 38%; }
    Providers.compact #below { height: 11; }
    Providers.compact #provider { width: 56%; }
    Providers.compact #test { width: 44%; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.tests: dict[str, ProviderTest | str] = {}
        self.testing = ""
        self.doing = ""

    def compose(self) -> ComposeResult:
        yield GridTable(COLUMNS, lambda one: one.id or one.name, title="Providers", aside="s sort", id="provider-rows")
        with Horizontal(id="below"):
            yield TextPanel(id="provider")
            yield TextPanel("Test and act", id="test")

    def on_mount(self) -> None:
        self.rows.wait_lines = [[("Loading providers…", "dim")]]
        self.rows.empty = [
            [("No providers yet.", "strong")],
            [("Set OPENAI_API_KEY, GOOGLE_API_KEY or ANTHROPIC_API_KEY and start the gateway again,", "")],
            [("or: ", ""), ("optyx providers add NAME --kind openai --base-url URL", "accent")],
        ]

    @property
    def rows(self) -> GridTable[Provider]:
        return self.query_one("#provider-rows", GridTable)

    def visit(self, place: Location) -> None:
        super().visit(place)
        self.rows.set_words(place.filter)

    def load(self) -> None:
        self.ask("providers", lambda client: client.providers())

    def arrived_providers(self, data: list[Provider]) -> None:
        first = not self.rows.is_loaded
        self.rows.set_rows(data)
        self.rows.set_title(f"Providers ({len(data)})")
        if first and self.place.object:
            for one in data:
                if self.place.object in (one.id, one.name):
                    self.rows.select(one.id or one.name)
        self._draw()

    def on_grid_table_moved(self) -> None:
        self._draw()

    def _draw(self) -> None:
        one = self.rows.current
        left, right = self.query_one("#provider", TextPanel), self.query_one("#test", TextPanel)
        if one is None:
            left.set_lines([])
            right.set_lines([])
            return
        left.set_title(one.name)
        left.set_lines(_lines(one, left.inner_width))
        right.set_lines(self._test_lines(one, right.inner_width))

    def _test_lines(self, one: Provider, width: int) -> list[Line]:
        lines: list[Line] = [[("t ", "key"), (f"test {one.name}", ""), ("   one token, < $0.001", "dim")]]
        done = self.tests.get(one.name)
        if isinstance(done, str):
            lines.append([("✖ ", "bad"), (fit(done, width - 2), "")])
        else:
            steps = done.steps if done is not None else [Step(name=name, state="") for name in STEPS]
            lines += [_step_line(number, step, width) for number, step in enumerate(steps, 1)]
            lines += [line for step in steps if step.state == "failed" for line in _whole(step, width)]
        acts: list[Line] = [
            [("c ", "key"), ("close the circuit now (asks)", "")],
            [("d ", "key"), ("disable or enable (undo 30 s)", "")],
            [("+ ", "key"), ("set its credential", "")],
        ]
        return [*lines, [], *acts]

    # Acting

    def set_filter(self, text: str) -> None:
        self.rows.set_words(text)

    def on_grid_table_opened(self) -> None:
        self.action_models()

    def action_logs(self) -> None:
        if self.rows.current is not None:
            self.optyx.go(Location("logs", filter=f"provider:{self.rows.current.name}"))

    def action_models(self) -> None:
        if self.rows.current is not None:
            self.optyx.go(Location("models", object=self.rows.current.name))

    def action_test(self) -> None:
        one = self.rows.current
        if one is not None and not self.testing:
            self.testing = one.name
            self._draw()
            self.tests.pop(one.name, None)
            self.change("tested", self.in_parts(lambda client: client.test_provider(one.name)), ASKED)
            if self.optyx.readonly:
                self.testing = ""

    def arrived_part(self, data: ProviderTest) -> None:
        self.tests[self.testing] = data
        self._draw()

    def arrived_tested(self, data: ProviderTest) -> None:
        self.tests[self.testing] = data
        failed = [step for step in data.steps if step.state == "failed"]
        if failed:
            self.optyx.say(f"{self.testing}: step {failed[0].name} failed: {failed[0].detail}", "error")
        else:
            self.optyx.say(f"{self.testing}: all {len(data.steps)} steps are fine.")
        self.testing = ""
        self._draw()

    def failed_tested(self, error: Exception) -> None:
        self.tests[self.testing] = self.optyx.described(error)
        self.testing = ""
        self._draw()

    def action_close_circuit(self) -> None:
        one = self.rows.current
        if one is None or one.circuit == "closed":
            self.optyx.say("Its circuit is not open.", "warning")
            return
        self.doing = f"closed the circuit of {one.name}"
        effect = ["Calls go to it again at once. If it still fails, the circuit opens again."]
        name = one.name
        self.optyx.confirm(
            f"Close the circuit of {name} now?",
            effect,
            "close",
            lambda: self.change("changed", lambda client: client.close_circuit(name), ASKED),
        )

    def action_disable(self) -> None:
        one = self.rows.current
        if one is None:
            return
        name, enable = one.name, not one.enabled
        self.doing = f"{'enabled' if enable else 'disabled'} {name}"

        def act() -> None:
            unasked = f"Enable {name}?" if enable else ASKED
            self.change("changed", lambda client: client.update_provider(name, enabled=enable), unasked)

        if enable:
            act()
        else:
            effect = one.effect or ["Calls go to the next target of their tier; models that only it has are refused."]
            self.optyx.confirm(f"Disable {name}?", effect, "disable", act)

    def arrived_changed(self, data: Changed) -> None:
        self.optyx.say(f"{self.doing[:1].upper()}{self.doing[1:]}.")
        self.optyx.offer_undo(data.audit_id, self.doing)
        self.load()

    def action_credential(self) -> None:
        one = self.rows.current
        if one is None:
            return
        fields = [
            Field(
                "credential",
                "Credential",
                "",
                "is not shown, and never comes back",
                lambda text: "" if text else "needed",
                secret=True,
            )
        ]
        name = one.name

        def given(answers: dict[str, str] | None) -> None:
            if answers:
                secret = answers["credential"]
                self.doing = f"set the credential of {name}"
                question = f"Set the credential of {name}?"
                self.change("changed", lambda client: client.update_provider(name, credential=secret), question)

        self.app.push_screen(
            Form(
                f"Credential of {name}",
                fields,
                "store",
                ["It is encrypted in the database and replaces the present one."],
            ),
            given,
        )

    def offers(self, action: str) -> bool:
        one = self.rows.current
        return one is not None and (action != "close" or one.circuit != "closed")

    def cli_names(self) -> dict[str, str]:
        one = self.rows.current
        return {"provider": one.name if one else ""}

    def status(self) -> Line:
        rows = self.rows.all_rows
        opened = sum(one.circuit == "open" for one in rows)
        slow = sum(one.state == "slow" for one in rows)
        line: Line = [(f"{len(rows)} provider{'s' if len(rows) != 1 else ''}", "")]
        line += [(f"   {opened} circuit{'s' if opened != 1 else ''} open", "bad")] if opened else []
        return line + ([(f"   {slow} slow", "warn")] if slow else [])

    def copies(self) -> list[tuple[str, str]]:
        one = self.rows.current
        if one is None:
            return []
        return [
            ("Name", one.name),
            ("JSON", as_json(one)),
            ("CLI, test", f"optyx providers test {one.name}"),
            ("CLI, show", f"optyx providers get {one.name}"),
        ]

    def records(self) -> object:
        return lambda client: client.providers()


STEP_ROOM = 18
"""Number, sign and name of a step."""


def _whole(step: Step, width: int) -> list[Line]:
    """What a step's own line had to cut off of its error."""
    return wrapped(step.detail, width, "bad") if len(_told(step)) > width - STEP_ROOM else []


def _told(step: Step) -> str:
    took = figures.duration(step.ms) if step.ms is not None else step.state
    return f"{took}, {step.detail}" if step.detail else took


def _step_line(number: int, step: Step, width: int) -> Line:
    """`state` empty: nothing has been tried yet."""
    sign, style = STEP_SIGNS.get(step.state, ("–", "dim"))
    return [
        (f"{number} ", "dim"),
        (f"{sign} ", style),
        (fit(step.name, 14), "" if step.state in ("ok", "failed", "running") else "dim"),
        (fit(_told(step), width - STEP_ROOM), "dim" if step.state in ("ok", "waiting", "skipped") else style),
    ]


def _lines(one: Provider, width: int) -> list[Line]:
    circuit = f"{one.circuit.replace('_', '-')}"
    if one.circuit == "open" and one.open_for_s is not None:
        circuit = f"OPEN for {figures.span(one.open_for_s)}, {one.failures} failed"
    probe = f", next probe in {one.next_probe_s:.0f} s" if one.next_probe_s is not None else ""
    credential = f"{one.credential or 'none'}" + (f"  {one.credential_state}" if one.credential_state else "")
    lines = [
        [(one.kind, "strong"), (f"   {one.base_url}", "dim")],
        *pairs(
            [
                ("State", *state(one.state if one.enabled else "disabled")),
                ("Circuit", circuit + probe, "bad" if one.circuit == "open" else ""),
                (
                    "Credential",
                    credential,
                    "warn" if not one.credential or one.credential_state not in ("", "valid") else "",
                ),
                ("Models", str(one.models), ""),
                ("Last error", f"{one.last_error or figures.NONE}  {figures.ago(one.last_error_at, '')}", ""),
            ],
            width,
            12,
        ),
    ]
    for index, effect in enumerate(one.effect):
        lines.append(
            [("Effect      " if not index else " " * 12, "dim"), (effect, "bad" if "no other" in effect else "")]
        )
    if one.series:
        lines += [[], [("CALLS   ", "head"), (sparkline(one.series, min(40, width - 9)), "spark")]]
    if one.error_series:
        lines.append(
            [
                ("ERRORS  ", "head"),
                (sparkline(one.error_series, min(40, width - 9)), "bad" if (one.error_share or 0) > 0.05 else "spark"),
            ]
        )
    return lines
