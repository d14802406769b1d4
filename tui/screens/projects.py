"""Projects: who spends what, and the way to everything a project has."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal

from gateway.admin.schema.projects import Project
from gateway.admin.schema.record import Changed
from tui import figures
from tui.bulk import Outcome, each
from tui.location import Location
from tui.screens.call_lines import pairs
from tui.screens.view import ASKED, View, as_json
from tui.widgets.bound import bindings
from tui.widgets.columned import Column
from tui.widgets.form import Field, Form
from tui.widgets.grid import GridTable
from tui.widgets.line import Line
from tui.widgets.marks import gauge, gauge_style, sparkline
from tui.widgets.panel import TextPanel


def budget_share(one: Project) -> float | None:
    if one.budget is None or one.budget.amount_nusd <= 0:
        return None
    return one.budget.spent_nusd / one.budget.amount_nusd


def _month(one: Project) -> Line:
    share = budget_share(one)
    if share is None or one.budget is None:
        return [("no budget  ", "dim"), (figures.dollars(one.month_nusd), "")]
    return [
        *gauge(share, 10, gauge_style(share)),
        (f" {figures.dollars(one.budget.spent_nusd)}/{figures.dollars(one.budget.amount_nusd, 0)}", ""),
    ]


def _errors(one: Project) -> tuple[str, str]:
    return figures.percent(one.error_share), "warn" if (one.error_share or 0) >= 0.01 else ""


COLUMNS: list[Column[Project]] = [
    Column(
        "NAME",
        16,
        lambda one: (one.name, "dim" if one.status != "active" else "strong"),
        lambda one: one.name,
        grow=True,
    ),
    Column("KEYS", 6, lambda one: (f"{one.keys_usable}/{one.keys_total}", ""), lambda one: one.keys_total, "right"),
    Column("REQ/S", 6, lambda one: (figures.rate(one.requests_per_s), ""), lambda one: one.requests_per_s, "right"),
    Column("ERR%", 5, _errors, lambda one: one.error_share, "right"),
    Column("TODAY", 10, lambda one: (figures.dollars(one.today_nusd), ""), lambda one: one.today_nusd, "right"),
    Column("MONTH/BUDGET", 26, _month, budget_share),
    Column(
        "TIER", 10, lambda one: (one.default_tier or "(default)", "" if one.default_tier else "dim"), None, "left", 3
    ),
    Column(
        "LAST CALL", 11, lambda one: (figures.ago(one.last_used_at), "dim"), lambda one: one.last_used_at, "right", 3
    ),
    Column(
        "STATE",
        9,
        lambda one: ("" if one.status == "active" else f"○ {one.status}", "dim"),
        lambda one: one.status,
        "left",
        5,
    ),
    Column("SLUG", 16, lambda one: (one.slug, ""), lambda one: one.slug, wide=True),
    Column("RPM", 7, lambda one: (figures.limit(one.rpm), ""), lambda one: one.rpm, "right", wide=True),
    Column("TPM", 9, lambda one: (figures.limit(one.tpm), ""), lambda one: one.tpm, "right", wide=True),
    Column("CAPTURE", 7, lambda one: ("on" if one.capture else "off", ""), lambda one: one.capture, wide=True),
    Column("MADE", 10, lambda one: (figures.day(one.created_at), ""), lambda one: one.created_at, wide=True),
    Column("ID", 22, lambda one: (one.id, "dim"), lambda one: one.id, wide=True),
]


class Projects(View):
    """A project groups keys, settings, limits and logs. Figures of money are of today and of this month, in the gateway's zone.

    d archives: its keys stop working, its data stays, u takes it back for 30 s. Deleting for ever is left to the CLI.
    """

    scope = "projects"
    every_s = 5.0
    BINDINGS = bindings("projects")
    DEFAULT_CSS = """
    Projects #project-rows { height: 1fr; min-height: 8; }
    Projects #below { height: 16; }
    Projects #project { width: 65%; }
    Projects #actions { width: 35%; }
    Projects.compact #below { height: 8; }
    Projects.compact #project { width: 100%; }
    Projects.compact #actions { display: none; }
    """

    def compose(self) -> ComposeResult:
        yield GridTable(
            COLUMNS,
            lambda one: one.id,
            title="Projects",
            aside="S sort",
            id="project-rows",
            markable=True,
            sorts_by_s=False,
        )
        with Horizontal(id="below"):
            yield TextPanel(id="project")
            yield TextPanel("Actions", id="actions")

    def on_mount(self) -> None:
        self.rows.empty = [
            [("No projects yet.", "strong")],
            [("A project groups keys, models and a budget. Press ", ""), ("n", "key"), (" to make the first.", "")],
        ]
        self.rows.wait_lines = [[("Loading projects…", "dim")]]
        self._draw_actions()

    @property
    def rows(self) -> GridTable[Project]:
        return self.query_one("#project-rows", GridTable)

    def visit(self, place: Location) -> None:
        super().visit(place)
        self.rows.set_words(place.filter)
        if place.object:
            self._select(place.object)

    def _select(self, name: str) -> None:
        for one in self.rows.rows:
            if name in (one.id, one.slug, one.name):
                self.rows.select(one.id)

    def load(self) -> None:
        self.ask("projects", lambda client: client.projects())

    def arrived_projects(self, data: list[Project]) -> None:
        first = not self.rows.is_loaded
        self.optyx.project_names = [one.slug for one in data]
        self.rows.set_rows(data)
        self.rows.set_title(f"Projects ({len(data)})")
        wanted = self.just_made or (self.place.object if first else "")
        if wanted:
            self._select(wanted)
        self.just_made = ""
        self._draw()

    def on_grid_table_moved(self) -> None:
        self._draw()

    def _draw(self) -> None:
        panel = self.query_one("#project", TextPanel)
        one = self.rows.current
        if one is None:
            panel.set_title("")
            panel.set_lines([])
            return
        panel.set_title(one.name)
        panel.set_lines(_lines(one, panel.inner_width))

    def _draw_actions(self) -> None:
        rows = [
            ("k", "keys", "l", "live logs"),
            ("s", "settings", "b", "limits"),
            ("p", "playground", "a", "audit trail"),
        ]
        lines: list[Line] = [
            [(f" {one} ", "key"), (f"{word:13}", ""), (f"{other} ", "key"), (second, "")]
            for one, word, other, second in rows
        ]
        steps = (
            "name it",
            "the first key is made at once",
            "copy a working curl or SDK snippet",
            "watch the first call arrive",
        )
        lines += [[], [("NEW PROJECT?", "head"), ("  press ", ""), ("n", "key")]]
        lines += [[(f" {number}  ", "dim"), (step, "")] for number, step in enumerate(steps, 1)]
        lines += [[], [("CLI  ", "dim"), ("optyx projects create NAME", "accent")]]
        self.query_one("#actions", TextPanel).set_lines(lines)

    def set_filter(self, text: str) -> None:
        self.rows.set_words(text)

    # Acting

    def on_grid_table_opened(self) -> None:
        self.action_keys()

    def _go(self, screen: str) -> None:
        one = self.rows.current
        if one is not None:
            self.optyx.go(Location(screen, project=one.slug))

    def action_keys(self) -> None:
        self._go("keys")

    def action_logs(self) -> None:
        self._go("logs")

    def action_settings(self) -> None:
        self._go("settings")

    def action_limits(self) -> None:
        one = self.rows.current
        if one is not None:
            self.optyx.go(Location("limits", project=one.slug, filter=one.name))

    def action_playground(self) -> None:
        self._go("playground")

    def action_audit(self) -> None:
        one = self.rows.current
        if one is not None:
            self.optyx.go(Location("audit", filter=one.name))

    def action_new(self) -> None:
        fields = [
            Field("name", "Name", "", "letters, digits, spaces and dashes", _name_mistake),
            Field("key", "First key", "default", "made at once; leave empty for none"),
        ]

        def given(answers: dict[str, str] | None) -> None:
            if answers:
                self.first_key = answers["key"]
                question = f"Create the project {answers['name']}{' with its first key' if self.first_key else ''}?"
                self.change("created", lambda client: client.create_project(answers["name"]), question)

        self.app.push_screen(
            Form("New project", fields, "create", ["A project groups keys, settings, limits and logs."]), given
        )

    first_key = ""
    just_made = ""
    """What the cursor goes to once it is in the list."""

    def arrived_created(self, made: Project) -> None:
        self.optyx.say(f"Made project {made.name}.")
        self.just_made = made.id
        self.load()
        if self.first_key:
            from tui.screens.key_form import make_key

            self.optyx.go(Location("keys", project=made.slug))
            make_key(self.optyx, made.slug, {"name": self.first_key}, ASKED)

    def action_rename(self) -> None:
        one = self.rows.current
        if one is None:
            return
        fields = [Field("name", "Name", one.name, "", _name_mistake)]

        def given(answers: dict[str, str] | None) -> None:
            if answers and answers["name"] != one.name:
                self._doing = f"renamed {one.name}"
                question = f"Rename {one.name} to {answers['name']}?"
                self.change("changed", lambda client: client.update_project(one.slug, name=answers["name"]), question)

        self.app.push_screen(Form(f"Rename {one.name}", fields, "rename"), given)

    _doing = ""

    def action_archive(self) -> None:
        chosen = [one for one in self.rows.chosen() if one.status == "active"]
        if not chosen:
            return
        names = ", ".join(one.name for one in chosen)
        keys = sum(one.keys_usable for one in chosen)

        def act() -> None:
            self.rows.marked.clear()
            self.change(
                "archived",
                lambda client: each(chosen, lambda one: one.name, lambda one: client.archive_project(one.slug)),
                ASKED,
            )

        effect = [f"Its {keys} usable keys stop working at once; its data stays.", "u takes it back for 30 s."]
        self.optyx.confirm(f"Archive {names}?", effect, "archive", act)

    def arrived_archived(self, data: Outcome) -> None:
        self.optyx.say(data.said("archived", " u undoes."), "error" if data.failed else "information")
        self.optyx.offer_undo(data.audit_ids, f"archived {', '.join(data.done)}")
        self.load()

    def arrived_changed(self, data: Changed) -> None:
        self.optyx.say(f"{self._doing[:1].upper()}{self._doing[1:]}.")
        self.optyx.offer_undo(data.audit_id, self._doing)
        self.load()

    def offers(self, action: str) -> bool:
        one = self.rows.current
        return action == "new" or (one is not None and (action != "archive" or one.status == "active"))

    def cli_names(self) -> dict[str, str]:
        one = self.rows.current
        return {"project": one.slug if one else ""}

    def status(self) -> Line:
        count = len(self.rows.all_rows)
        return [
            (f"{count} project{'s' if count != 1 else ''}", ""),
            ("   filter: ", "dim"),
            (self.rows.words or "none", "accent" if self.rows.words else "dim"),
        ]

    def copies(self) -> list[tuple[str, str]]:
        one = self.rows.current
        if one is None:
            return [("CLI", "optyx projects create NAME")]
        return [("Id", one.id), ("Name", one.name), ("JSON", as_json(one)), ("CLI", f"optyx projects get {one.slug}")]

    def records(self) -> object:
        return lambda client: client.projects()


def _name_mistake(text: str) -> str:
    return "" if 0 < len(text) <= 64 else "needed, at most 64 characters"


def _lines(one: Project, width: int) -> list[Line]:
    budget = one.budget
    share = budget_share(one)
    allowed = (
        "every model" if one.allowed_models is None else f"{len(one.allowed_models)}: {', '.join(one.allowed_models)}"
    )
    rates = [
        f"{one.rpm} rpm" if one.rpm else "",
        f"{figures.count(one.tpm)} tpm" if one.tpm else "",
        f"{one.concurrency} at once" if one.concurrency else "",
    ]
    gauge_text = "none"
    if budget is not None:
        resets = figures.minute(budget.resets_at, "never")
        gauge_text = (
            f"{figures.dollars(budget.amount_nusd)} / {budget.window}  {figures.percent(share)} %  resets {resets}"
        )
    lines: list[Line] = [
        [
            (one.id, "strong"),
            (f"   made {figures.day(one.created_at)}" + (f" by {one.created_by}" if one.created_by else ""), "dim"),
        ],
        *pairs(
            [
                ("Tier", one.default_tier or "the gateway's default", ""),
                ("Models", allowed, ""),
                ("Limits", " · ".join(rate for rate in rates if rate) or "none", ""),
                ("Budget", gauge_text, "warn" if (share or 0) >= 0.8 else ""),
                ("Capture", "on" if one.capture else "off", "warn" if one.capture else ""),
                ("Keys", f"{one.keys_usable} usable of {one.keys_total}", ""),
                ("Last call", figures.ago(one.last_used_at), ""),
            ],
            width,
            12,
        ),
    ]
    if any(one.spend_series):
        most = max(one.spend_series)
        lines += [
            [],
            [("SPEND, LAST 30 DAYS", "head"), (f"   most ${most:,.2f} a day", "dim")],
            [(sparkline(one.spend_series, min(60, width)), "spark")],
        ]
    return lines
