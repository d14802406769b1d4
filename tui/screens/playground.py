"""A real call through a real key: limits, routing, record and price are those of any other."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import TextArea

from gateway.admin.schema.keys import NewKey
from gateway.admin.schema.logs import LogDetail
from gateway.admin.schema.models import Model, Tier
from gateway.admin.schema.projects import Project
from tui import clock, figures
from tui.calls import Client
from tui.location import Location
from tui.running import Run, recorded, session_key
from tui.screens.meter import answer_lines, meter_lines
from tui.screens.playground_form import TYPED, mistakes_of, most_nusd, prompt_items, request_of, tokens_in
from tui.screens.secret import snippet
from tui.screens.view import ASKED, View
from tui.widgets.bound import bindings
from tui.widgets.editor import EditorPanel
from tui.widgets.line import Line
from tui.widgets.marks import Glyphs
from tui.widgets.panel import TextPanel

FRAMES = 15
LEAST_FOR_TWO = 120


class Playground(View):
    """Sends a real call as a project's key and shows it as it streams: time to first token, speed, cost, and the route it took.

    The key is one that you type, or one made for this session with a budget of $1 that ends after an hour. Runs are logged, priced and
    counted like any call. The history lives in memory only.
    """

    scope = "playground"
    about = {
        "ask": "Whose call it is and what it asks for. ↑ ↓ go from field to field, ← → choose, letters type.",
        "message": "What is said to the model. ^r sends it.",
        "answer": "The answer as it comes; when it is there, l opens the call in the logs.",
        "answer-2": "The answer of the second model.",
    }
    BINDINGS = bindings("playground")
    DEFAULT_CSS = """
    Playground #all { height: 1fr; }
    Playground #left { width: 42%; height: 1fr; }
    Playground #right { width: 58%; height: 1fr; }
    Playground #ask { height: 13; }
    Playground TextArea { height: 1fr; min-height: 4; border: solid $border; background: $background; color: $foreground; padding: 0 1; }
    Playground TextArea:focus { border: solid $accent; }
    Playground.ascii TextArea { border: ascii $border; }
    Playground.ascii TextArea:focus { border: ascii $accent; }
    Playground #past { height: 6; }
    Playground #answers { height: 1fr; }
    Playground #answer, Playground #answer-2 { width: 1fr; }
    Playground #meter { height: 10; }
    Playground.compact #past { display: none; }
    Playground.compact #meter { height: 8; }
    Playground.compact #ask { height: 10; }
    Playground.compact #left, Playground.compact #right { width: 100%; display: none; }
    Playground.compact.asking #left, Playground.compact.answering #right { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.projects: list[Project] = []
        self.models: list[Model] = []
        self.tiers: list[Tier] = []
        self.secrets: dict[str, str] = {}
        self.runs: list[Run] = []
        self.past: list[tuple[str, str, str]] = []
        self.comparing = False
        self.ended: list[Run] = []
        self.making = False
        self.may_spend = False
        """Of a protected context: whether it was asked for in this session."""
        self.given_key = ""
        self.replayed: LogDetail | None = None
        """One that came before the form was there to take it."""

    def compose(self) -> ComposeResult:
        with Horizontal(id="all"):
            with Vertical(id="left"):
                yield EditorPanel("Prompt", id="ask")
                yield TextArea(
                    "", id="message", soft_wrap=True, show_line_numbers=False, tab_behavior="focus", compact=False
                )
                yield TextPanel("History (this session, not stored)", id="past")
            with Vertical(id="right"):
                with Horizontal(id="answers"):
                    yield TextPanel("Answer", id="answer", focusable=True)
                    yield TextPanel("Answer of the second", id="answer-2", focusable=True)
                yield TextPanel("Meter", id="meter")

    def on_mount(self) -> None:
        self._show_second(False)
        self.set_class(Glyphs.ascii, "ascii")
        self._show_half("asking")
        self.query_one(TextArea).border_title = "Message"
        self.query_one(TextArea).cursor_blink = False
        self.painting = self.set_interval(1 / FRAMES, self._paint, pause=True)
        self._draw_answers()

    @property
    def form(self) -> EditorPanel:
        return self.query_one("#ask", EditorPanel)

    def _show_second(self, is_shown: bool) -> None:
        self.query_one("#answer-2").set_class(not is_shown, "hidden")

    def _show_half(self, half: str) -> None:
        """In little room there is one at a time: what is asked, or what is answered."""
        self.set_class(half == "asking", "asking")
        self.set_class(half == "answering", "answering")

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self._show_half("answering" if isinstance(event.widget, TextPanel) else "asking")

    def turn_to(self, panel: Widget) -> None:
        self._show_half("answering" if isinstance(panel, TextPanel) else "asking")
        super().turn_to(panel)

    def visit(self, place: Location) -> None:
        self.place = place
        self.load()
        if place.object:
            ident = place.object
            self.ask("replay", lambda client: client.log(ident, bodies=True))
        if not self.form.items:
            self.form.focus()
        else:
            self.query_one(TextArea).focus()

    def load(self) -> None:
        def fetch(client: Client) -> tuple[list[Project], list[Model], list[Tier]]:
            return client.projects(), client.models(), client.tiers()

        self.ask("names", fetch)

    def arrived_names(self, data: tuple[list[Project], list[Model], list[Tier]]) -> None:
        self.projects, self.models, self.tiers = data
        slugs = [one.slug for one in self.projects if one.status == "active"]
        if self.form.items:
            if self.place.project in slugs:
                self.form.set_value("project", self.place.project)
            return
        project = self.place.project if self.place.project in slugs else (slugs[0] if slugs else "")
        self.form.set_items(prompt_items(project, slugs))
        self._hide_unused()
        if self.given_key:
            self.take_key(self.given_key)
            self.given_key = ""
        if self.replayed is not None:
            self.arrived_replay(self.replayed)
        self.query_one(TextArea).focus()

    def _hide_unused(self) -> None:
        """No line for a second model while one is tried, none for a key while the session's own is used."""
        unused = [] if self.comparing else ["second"]
        self.form.hide(*unused, *([] if self.form.value("way") == TYPED else ["secret"]))

    def take_key(self, secret: str) -> None:
        """A key that was just made is typed in for the user."""
        if self.is_mounted and self.form.items:
            self.form.set_value("way", TYPED)
            self.form.set_value("secret", secret)
            self._hide_unused()
        else:
            self.given_key = secret

    def arrived_replay(self, data: LogDetail) -> None:
        """The call may be here before the names that the form is made of."""
        self.replayed = None if self.form.items else data
        if not self.form.items:
            return
        self.form.set_value("model", data.requested_model or data.tier or "fast")
        if data.request_body and data.request_body.text:
            self.query_one(TextArea).text = data.request_body.text
        else:
            self.optyx.say("Model and project are taken over; the body was not captured.", "warning")
        if data.project in [one.slug for one in self.projects]:
            self.form.set_value("project", data.project)

    # Running

    def on_editor_panel_edited(self) -> None:
        self.form.set_mistakes(mistakes_of(self.form))
        self._hide_unused()
        self.optyx.redraw_chrome()

    def on_text_area_changed(self) -> None:
        self.optyx.redraw_chrome()

    def action_run(self) -> None:
        if not self.form.items or mistakes_of(self.form):
            self.form.focus()
            return
        if not self.query_one(TextArea).text.strip():
            self.optyx.say("Write a message first.", "warning")
            self.query_one(TextArea).focus()
            return
        if self.optyx.readonly:
            self.optyx.say("Held: this session is read-only. Not sent.", "warning")
            return
        if self.optyx.guarded and not self.may_spend:
            effect = ["Every run is logged, priced and counted. This is asked once in a session."]
            self.optyx.confirm(f"Send real calls through {self.optyx.context}?", effect, "send", self._allow)
            return
        project = self.form.value("project")
        secret = self.form.value("secret").strip() if self.form.value("way") == TYPED else self.secrets.get(project, "")
        if secret:
            self._start(secret)
        elif self.form.value("way") == TYPED:
            self.form.go_to("secret")
            self.form.focus()
            self.optyx.say("Type a key, or choose the one made for this session.", "warning")
        elif not self.making:
            self.making = True
            self.change("made", lambda client: session_key(client, project), ASKED)

    def _allow(self) -> None:
        self.may_spend = True
        self.action_run()

    def arrived_made(self, data: NewKey) -> None:
        self.making = False
        if data.key:
            self.secrets[data.project or self.form.value("project")] = data.key
            self.secrets[self.form.value("project")] = data.key
            self._start(data.key)

    def failed_made(self, error: Exception) -> None:
        self.making = False
        self.failed("made", error)

    def _start(self, secret: str) -> None:
        models = [self.form.value("model").strip() or "fast"]
        if self.comparing and self.form.value("second").strip():
            models.append(self.form.value("second").strip())
        self._drop_runs()
        message = self.query_one(TextArea).text
        self.runs = [Run(self.optyx.url, secret, request_of(self.form, message, model)) for model in models]
        for run in self.runs:
            run.start()
        self.painting.resume()
        self._show_second(len(self.runs) > 1)
        self._look_at_answer()

    def _drop_runs(self) -> None:
        """What still runs is stopped, what has ended is in the history, and a record to come is of no use."""
        self._paint()
        for run in self.runs:
            run.stop()
        self.forget("record_0")
        self.forget("record_1")
        self.runs, self.ended = [], []

    def action_stop(self) -> None:
        running = [run for run in self.runs if not run.done]
        if running:
            for run in running:
                run.stop()
            self.optyx.say("Stopped. The gateway records that the client left.")
        elif self.optyx.toasts.dismiss():
            return
        elif isinstance(self.app.focused, TextArea | EditorPanel):
            self._look_at_answer()
        else:
            self.optyx.call_later(self.optyx.run_action, "back")

    def _paint(self) -> None:
        """As long as something runs, so many times a second."""
        is_over = all(run.done for run in self.runs)
        for run in self.runs:
            if run.done and run not in self.ended:
                self.ended.append(run)
                self._ended(run)
        self._draw_answers()
        if is_over:
            self.painting.pause()
            self.optyx.redraw_chrome()

    def _ended(self, run: Run) -> None:
        self.past.insert(0, (f"{clock.moment():%H:%M}", run.model, figures.duration(run.first_ms)))
        if run.request_id:
            ident = run.request_id
            what = f"record_{self.runs.index(run)}"
            self.ask(what, lambda client: recorded(client, ident))

    def arrived_record_0(self, data: LogDetail) -> None:
        self.runs[0].record = data
        self._draw_answers()

    def arrived_record_1(self, data: LogDetail) -> None:
        self.runs[1].record = data
        self._draw_answers()

    def failed_record_0(self, error: Exception) -> None:
        """A record that is not there yet is no reason to disturb."""

    failed_record_1 = failed_record_0

    # Drawing

    def _draw(self) -> None:
        self._draw_answers()

    def _draw_answers(self) -> None:
        for index, name in enumerate(("#answer", "#answer-2")):
            panel = self.query_one(name, TextPanel)
            if index >= len(self.runs):
                if index == 0:
                    panel.set_lines([[("Write a message and press ", "dim"), ("^r", "key"), (".", "dim")]])
                continue
            run = self.runs[index]
            panel.set_title(f"{run.model} ({run.word}, {figures.duration(run.elapsed_ms)})")
            lines = answer_lines(run, panel.inner_width)
            panel.lines = lines
            panel.top = max(0, len(lines) - panel.inner_height) if not run.done or panel.top else panel.top
            panel.changed()
        meter = self.query_one("#meter", TextPanel)
        meter.set_lines(meter_lines(self.runs, meter.inner_width))
        rows: list[Line] = [[(at, "dim"), (f"  {model:24}", ""), (first, "dim")] for at, model, first in self.past[:4]]
        self.query_one("#past", TextPanel).set_lines(rows or [[("no run yet", "dim")]])

    # Acting

    def action_compare(self) -> None:
        if self.app.size.width < LEAST_FOR_TWO:
            self.optyx.say(f"Two answers side by side need {LEAST_FOR_TWO} columns.", "warning")
            return
        self.comparing = not self.comparing
        self._hide_unused()
        if self.comparing:
            self.form.go_to("second")
            self.form.focus()
        self._show_second(self.comparing)
        self.optyx.say("Write the second model; both run with ^r." if self.comparing else "One model again.")

    def action_logs(self) -> None:
        if self.runs and self.runs[0].request_id:
            self.optyx.go(Location("detail", object=self.runs[0].request_id))

    def action_clear(self) -> None:
        self._drop_runs()
        self.query_one(TextArea).text = ""
        self._draw_answers()
        self.query_one(TextArea).focus()

    def offers(self, action: str) -> bool:
        match action:
            case "stop":
                return any(not run.done for run in self.runs)
            case "compare":
                return self.app.size.width >= LEAST_FOR_TWO
            case "logs":
                return bool(self.runs and self.runs[0].request_id)
            case "clear":
                return bool(self.runs or self.query_one(TextArea).text)
        return True

    def back(self) -> bool:
        if isinstance(self.app.focused, TextArea | EditorPanel):
            self._look_at_answer()
            return True
        return False

    def _look_at_answer(self) -> None:
        self._show_half("answering")
        self.query_one("#answer", TextPanel).focus()

    def on_unmount(self) -> None:
        for run in self.runs:
            run.stop()

    def cli_names(self) -> dict[str, str]:
        return {
            "id": self.runs[0].request_id if self.runs else "",
            "project": self.form.value("project") if self.form.items else "",
        }

    def status(self) -> Line:
        if not self.form.items:
            return []
        message = self.query_one(TextArea).text
        most = most_nusd(self.form, message, self.tiers, self.models)
        bound = f"at most {figures.cost(most)}" if most is not None else "price unknown"
        return [
            (f"about {tokens_in(self.form, message)} tokens in · {bound}", ""),
            ("   runs are real calls" + (": logged, priced, counted" if self.app.size.width >= 100 else ""), "dim"),
        ]

    def copies(self) -> list[tuple[str, str]]:
        """Never the key itself: it leaves by the dialog that made it, or not at all."""
        return [
            (f"{kind} snippet", snippet(kind, self.optyx.url, "YOUR_KEY")) for kind in ("curl", "python", "node")
        ] + [
            ("CLI", f"optyx chat -m {self.form.value('model') if self.form.items else 'fast'} 'your message'"),
            ("Answer", self.runs[0].text if self.runs else ""),
            ("Request id", self.runs[0].request_id if self.runs else ""),
        ]
