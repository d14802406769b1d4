"""The keys of a project, or of all: made, shown once, rotated, disabled, revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Horizontal

from gateway.admin.schema.keys import Key, NewKey
from gateway.admin.schema.projects import Project
from tui import figures
from tui.bulk import Outcome, each
from tui.calls import Client
from tui.location import Location
from tui.screens.key_columns import COLUMNS, columns_for
from tui.screens.key_form import key_fields, make_key
from tui.screens.key_lines import WHAT, key_lines
from tui.screens.secret import ShownOnce
from tui.screens.view import ASKED, View, as_json
from tui.widgets.bound import bindings
from tui.widgets.form import Field, Form
from tui.widgets.grid import GridTable
from tui.widgets.line import Line
from tui.widgets.panel import TextPanel

if TYPE_CHECKING:
    from tui.screens.playground import Playground

GRACES = {"none": 0, "1h": 3600, "24h": 86_400, "72h": 259_200}


class Keys(View):
    """A key proves a project. Its secret is shown once, when it is made or rotated; the gateway keeps only a hash of it.

    d disables or enables at once (undo with u), r gives a new secret while the old one works on for a grace period, x revokes for ever.
    """

    scope = "keys"
    every_s = 5.0
    BINDINGS = bindings("keys")
    DEFAULT_CSS = """
    Keys #key-rows { height: 1fr; min-height: 8; }
    Keys #below { height: 15; }
    Keys #key { width: 60%; }
    Keys #what { width: 40%; }
    Keys.compact #below { height: 7; }
    Keys.compact #key { width: 100%; }
    Keys.compact #what { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.verb = ""
        self.projects: list[Project] = []

    def compose(self) -> ComposeResult:
        yield GridTable(
            COLUMNS, lambda one: one.id, title="Keys", aside="space mark   s sort", id="key-rows", markable=True
        )
        with Horizontal(id="below"):
            yield TextPanel(id="key")
            yield TextPanel("What you can do", id="what")

    def on_mount(self) -> None:
        self.rows.wait_lines = [[("Loading keys…", "dim")]]
        self.rows.empty = [
            [
                ("No keys yet.", "strong"),
                (" A key lets a program call the gateway as this project. Press ", ""),
                ("n", "key"),
                (" to make one.", ""),
            ]
        ]
        self.query_one("#what", TextPanel).set_lines(WHAT)

    @property
    def rows(self) -> GridTable[Key]:
        return self.query_one("#key-rows", GridTable)

    def fit_in(self) -> None:
        super().fit_in()
        self._choose_columns()

    def _choose_columns(self) -> None:
        rows = self.rows
        sorted_by = rows.columns[rows.sort_column].title if rows.sort_column >= 0 else ""
        rows.columns = columns_for(self.app.size.width, of_all=not self.place.project)
        rows.sort_column = next((at for at, column in enumerate(rows.columns) if column.title == sorted_by), -1)
        rows.changed()

    def visit(self, place: Location) -> None:
        if place.project != self.place.project:
            self.rows.marked.clear()
            self.rows.is_loaded = False
            self.rows.set_rows([])
            self.rows.is_loaded = False
        if not place.project and place.object:
            place = Location("keys", project="", object="", filter=place.object)
        super().visit(place)
        self._choose_columns()
        self.rows.set_words(place.filter)

    def load(self) -> None:
        project = self.place.project

        def fetch(client: Client) -> tuple[list[Project], list[Key]]:
            projects = client.projects()
            slugs = [project] if project else [one.slug for one in projects if one.status == "active"][:50]
            keys = [key for slug in slugs for key in client.keys(slug)]
            return projects, keys

        self.ask("keys", fetch)

    def arrived_keys(self, data: tuple[list[Project], list[Key]]) -> None:
        self.projects, keys = data
        self.optyx.project_names = [one.slug for one in self.projects]
        first = not self.rows.is_loaded
        self.rows.set_rows(keys)
        of = f" of {self.place.project}" if self.place.project else " of all projects"
        self.rows.set_title(f"Keys{of} ({len(keys)})")
        if first and self.place.object:
            self.rows.select(self.place.object)
        self._draw()

    def on_grid_table_moved(self) -> None:
        self._draw()

    def _draw(self) -> None:
        panel = self.query_one("#key", TextPanel)
        one = self.rows.current
        panel.set_title(one.name if one else "")
        panel.set_lines(key_lines(one, panel.inner_width, self.has_class("compact")) if one else [])

    def set_filter(self, text: str) -> None:
        self.rows.set_words(text)

    # Acting

    def on_grid_table_opened(self) -> None:
        self.action_logs()

    def action_logs(self) -> None:
        one = self.rows.current
        if one is not None:
            self.optyx.go(Location("logs", filter=f"key:{one.name}"))

    def action_playground(self) -> None:
        one = self.rows.current
        self.optyx.go(Location("playground", project=one.project if one else self.place.project))

    def action_limits(self) -> None:
        one = self.rows.current
        if one is not None:
            self.optyx.go(Location("limits", filter=one.name))

    def action_new(self) -> None:
        self._form(None)

    def action_new_like(self) -> None:
        self._form(self.rows.current)

    def _form(self, like: Key | None) -> None:
        slugs = [one.slug for one in self.projects if one.status == "active"]
        if not slugs and not self.place.project:
            is_asked = "keys" in self.waiting
            self.optyx.say(
                "The projects are still being asked for." if is_asked else "Make a project first: 3, then n.", "warning"
            )
            return
        project = self.place.project or (like.project if like else slugs[0])
        fields = key_fields(project, [] if self.place.project else slugs, like)

        def given(answers: dict[str, str] | None) -> None:
            if answers:
                of = answers.get("project") or project
                make_key(self.optyx, of, answers, f"Create the key {answers['name']} in {of}?")

        self.app.push_screen(
            Form(
                f"New key for {project}" if self.place.project else "New key",
                fields,
                "create",
                ["The secret is shown once."],
                at=len(fields[0].choices) == 1,
            ),
            given,
        )

    def arrived_made(self, data: NewKey) -> None:
        """Shown at once and then forgotten: the list that follows never has it."""
        self.load()
        if data.key is None:
            self.optyx.say(f"{data.name} was made already; its secret is gone. Rotate it to get a new one.", "warning")
            return

        def closed(secret: str | None) -> None:
            if secret:
                self.optyx.go(Location("playground", project=data.project or self.place.project))
                cast("Playground", self.optyx.view).take_key(secret)

        self.app.push_screen(ShownOnce(data), closed)

    def action_rotate(self) -> None:
        one = self.rows.current
        if one is None or one.status in ("revoked", "expired"):
            self.optyx.say("That key can't be rotated.", "warning")
            return
        fields = [Field("grace", "Old secret works for", "24h", choices=tuple(GRACES))]
        notes = [
            f"{one.name} gets a new secret, shown once. Last used {figures.ago(one.last_used_at)}, {figures.calls(one.requests_24h)} in 24 h."
        ]
        if one.status == "grace":
            notes.append(
                f"The secret before this one, which works for {figures.until(one.grace_until)[3:]} more, ends at once."
            )

        def given(answers: dict[str, str] | None) -> None:
            if answers:
                grace = GRACES[answers["grace"]]
                self.change(
                    "made", lambda client: client.rotate_key(one.id, grace, one.public_id), f"Rotate {one.name}?"
                )

        self.app.push_screen(Form(f"Rotate {one.name}", fields, "rotate", notes), given)

    def _names(self, chosen: list[Key]) -> str:
        """A key called `default` is in many projects."""
        return ", ".join(one.name if self.place.project else f"{one.name} of {one.project}" for one in chosen)

    def action_disable(self) -> None:
        chosen = [one for one in self.rows.chosen() if one.status not in ("revoked", "expired")]
        if not chosen:
            return
        enable = all(one.status == "disabled" for one in chosen)
        verb = "enable" if enable else "disable"
        names = self._names(chosen)

        def act() -> None:
            self.rows.marked.clear()
            self.verb = f"{verb}d"
            self.change(
                "switched",
                lambda client: each(chosen, lambda one: one.name, lambda one: client.switch_key(one.id, enable)),
                f"Enable {names}?" if enable else ASKED,
            )

        if enable:
            act()
            return
        calls = sum(one.requests_24h for one in chosen)
        used = figures.ago(max((one.last_used_at or "" for one in chosen), default=""), "never")
        self.optyx.confirm(
            f"Disable {names}?", [f"It made {figures.calls(calls)} in 24 h, the last {used}."], "disable", act
        )

    def action_revoke(self) -> None:
        """One key by its typed name; several by their number, after all their names."""
        chosen = [one for one in self.rows.chosen() if one.status != "revoked"]
        if not chosen:
            return
        calls = sum(one.requests_24h for one in chosen)
        names = ", ".join(one.name for one in chosen)
        many = len(chosen) > 1
        who, whom = ("They", "them") if many else ("It", "it")
        effect = [
            *([f"{len(chosen)} keys: {names}."] if many else []),
            f"{who} made {figures.calls(calls)} in 24 h. Programs that use {whom} are refused from now on, for ever.",
        ]

        def act() -> None:
            self.rows.marked.clear()
            self.verb = "revoked"
            self.change(
                "revoked",
                lambda client: each(chosen, lambda one: one.name, lambda one: client.revoke_key(one.id)),
                ASKED,
            )

        typed = f"revoke {len(chosen)}" if many else chosen[0].name
        question = f"Revoke {len(chosen)} keys for ever?" if many else f"Revoke {names} for ever?"
        self.optyx.confirm_by_name(question, effect, "revoke", act, typed, "This can't be undone")

    def arrived_revoked(self, data: Outcome) -> None:
        self.optyx.say(data.said("revoked"), "error" if data.failed else "information")
        self.load()

    def arrived_switched(self, data: Outcome) -> None:
        self.optyx.say(data.said(self.verb, " u undoes."), "error" if data.failed else "information")
        self.optyx.offer_undo(data.audit_ids, f"{self.verb} {', '.join(data.done)}")
        self.load()

    def offers(self, action: str) -> bool:
        one = self.rows.current
        if action == "new" or one is None:
            return action == "new"
        return one.status not in {
            "rotate": ("revoked", "expired"),
            "disable": ("revoked", "expired"),
            "revoke": ("revoked",),
        }.get(action, ())

    def cli_names(self) -> dict[str, str]:
        one = self.rows.current
        return {"project": one.project if one else self.place.project, "key": one.id if one else ""}

    def status(self) -> Line:
        counts: dict[str, int] = {}
        for one in self.rows.all_rows:
            counts[one.status] = counts.get(one.status, 0) + 1
        said = " ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        return [
            (f"{len(self.rows.all_rows)} key{'s' if len(self.rows.all_rows) != 1 else ''}", ""),
            (f": {said}" if said else "", "dim"),
        ]

    def copies(self) -> list[tuple[str, str]]:
        one = self.rows.current
        if one is None:
            return [("CLI", "optyx keys create -p PROJECT --name NAME")]
        return [
            ("Public id", one.public_id),
            ("Id", one.id),
            ("JSON", as_json(one)),
            ("CLI, show", f"optyx keys get {one.id}"),
            ("CLI, rotate", f"optyx keys rotate {one.id} --grace 24h"),
            ("CLI, disable", f"optyx keys disable {one.id}"),
        ]

    def records(self) -> object:
        rows = list(self.rows.rows)
        return lambda client: rows
