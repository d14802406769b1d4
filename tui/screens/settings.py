"""A project's settings: the form on the left, on the right what saving would change, refuse and mean."""

from __future__ import annotations

import shlex
from typing import Any

import msgspec
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.timer import Timer

from gateway.admin.schema.models import Model, Tier
from gateway.admin.schema.record import Changed
from gateway.admin.schema.settings import Preview, SettingsVersion
from gateway.admin.schema.settings import Settings as ProjectSettings
from tui import figures
from tui.calls import Client
from tui.editing import through_editor
from tui.faults import Fault
from tui.location import Location
from tui.screens.conflict import Conflict
from tui.screens.settings_form import item_of, settings_items, settings_of
from tui.screens.settings_review import is_same, review, word
from tui.screens.view import ASKED, View, as_json
from tui.setting_values import of_the_day
from tui.widgets.bound import bindings
from tui.widgets.dialogs import Menu
from tui.widgets.editor import EditorPanel
from tui.widgets.line import Line, wrapped
from tui.widgets.panel import TextPanel
from tui.wire import GatewayError

Loaded = tuple[ProjectSettings, str, list[Model], list[Tier], list[SettingsVersion]]
FIELDS = ("default_tier", "tiers", "allowed_models", "failover", "capture", "timezone")
PREVIEW_AFTER_S = 0.4


class Settings(View):
    """What calls of this project may use and where they go. The right side previews: the change, its mistakes, and what of the last
    24 hours it would have refused. Nothing is saved before ^s and a Y. Undo with u for 30 s; R takes an old version as a new one.
    """

    scope = "settings"
    every_s = 5.0
    about = {
        "form": "The settings. ↑ ↓ go from field to field, ← → choose, space switches, letters type; / finds a model.",
        "review": "What saving would change, what of the last 24 hours it would have refused, values in effect, older versions.",
    }
    BINDINGS = bindings("settings")
    DEFAULT_CSS = """
    Settings #columns { height: 1fr; }
    Settings #form { width: 52%; height: 1fr; }
    Settings #review { width: 48%; height: 1fr; }
    Settings.narrow #columns { layout: vertical; }
    Settings.narrow #form { width: 100%; height: 1fr; }
    Settings.narrow #review { width: 100%; height: 7; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.base: ProjectSettings | None = None
        self.etag = ""
        self.models: list[Model] = []
        self.tiers: list[Tier] = []
        self.versions: list[SettingsVersion] = []
        self.preview: Preview | None = None
        self.resting: Timer | None = None
        self.saving: dict[str, Any] = {}
        self.project = ""
        self.is_whole = False
        """Whether everything has been asked for since it came into view; from then on only whether somebody has saved."""
        self.newer: ProjectSettings | None = None
        """What somebody else has saved since this form was opened."""

    def compose(self) -> ComposeResult:
        with Horizontal(id="columns"):
            yield EditorPanel("Settings", id="form")
            yield TextPanel("Review before saving", id="review", focusable=True)

    @property
    def form(self) -> EditorPanel:
        return self.query_one("#form", EditorPanel)

    def fit_in(self) -> None:
        self.set_class(self.app.size.width < 100, "narrow")
        super().fit_in()

    def takes_turns(self) -> bool:
        return super().takes_turns() or (self.app.size.width < 100 and self.app.size.height < 30)

    def visit(self, place: Location) -> None:
        if place.project != self.project:
            self.project, self.base, self.preview, self.newer = place.project, None, None, None
        self.is_whole = False
        super().visit(place)
        self.form.focus()

    def load(self) -> None:
        """Never over what was typed: an open form keeps its text, and says that somebody else has saved."""
        project = self.project
        if self.base is not None and (self.is_whole or self.has_unsaved()):
            self.ask("now", lambda client: client.settings(project))
            return

        def fetch(client: Client) -> Loaded:
            settings, etag = client.settings(project)
            return settings, etag, client.models(), client.tiers(), client.settings_history(project)

        self.ask("settings", fetch)

    def failed_settings(self, error: Exception) -> None:
        panel = self.query_one("#review", TextPanel)
        panel.set_lines(wrapped(f"✖ {self.optyx.described(error)}", panel.inner_width, "bad"))
        self.failed("settings", error)

    def arrived_settings(self, data: Loaded) -> None:
        self.base, self.etag, self.models, self.tiers, self.versions = data
        self.preview, self.newer, self.is_whole = None, None, True
        self._fill(self.base)

    def arrived_now(self, data: tuple[ProjectSettings, str]) -> None:
        settings, etag = data
        if etag == self.etag:
            return
        if self.has_unsaved():
            self.newer = settings
            self._draw()
        else:
            self.is_whole = False
            self.load()

    def _fill(self, values: ProjectSettings) -> None:
        self.form.set_items(settings_items(values, self.tiers, self.models), keep_place=True)
        self._show_models("")
        self._draw()

    def _show_models(self, words: str) -> None:
        """Of the whole catalog only what matters here: what is allowed, what a tier uses, what was called; or what `/` asks for."""
        wanted = words.casefold().split()
        matter = {target.model for tier in self.tiers for target in tier.targets}
        matter |= {one.id for one in self.models if one.requests_24h}
        hidden = [
            item.name
            for item in self.form.items
            if item.kind == "check"
            and not (
                all(word in item.label.casefold() for word in wanted) if wanted else item.value or item.label in matter
            )
        ]
        for item in self.form.items:
            if item.name == "models-more":
                item.label = f"    {len(hidden)} more in the catalog: / finds them" if hidden else ""
        self.form.hide(*hidden)

    def set_filter(self, text: str) -> None:
        self._show_models(text)

    # What the form says

    def values(self) -> dict[str, Any]:
        return settings_of(self.form)

    def changes(self) -> dict[str, Any]:
        if self.base is None or not self.form.items:
            return {}
        before = msgspec.to_builtins(self.base)
        now = self.values()
        return {name: now[name] for name in FIELDS if not is_same(before.get(name), now[name])}

    def has_unsaved(self) -> bool:
        return bool(self.changes())

    def on_editor_panel_edited(self) -> None:
        if self.resting is not None:
            self.resting.stop()
        self.resting = self.set_timer(PREVIEW_AFTER_S, self._ask_preview)
        self._list_what_is_picked()
        self._mark_mistakes()
        self._draw()

    def _list_what_is_picked(self) -> None:
        """A model picked while all are allowed means: only this."""
        item = self.form.current
        if (
            item is not None
            and item.value
            and item.name.startswith(("model:", "patterns"))
            and self.form.value("mode") == "all"
        ):
            next(one for one in self.form.items if one.name == "mode").value = "only listed"

    def _mark_mistakes(self) -> None:
        mistakes = {}
        for item in self.form.items:
            if item.name.startswith("tier:") and item.value.strip():
                bad = [part for part in item.value.split(",") if part.strip() and "/" not in part]
                if bad:
                    mistakes[item.name] = f"{bad[0].strip()}: write provider/model, separated by commas"
        if self.form.items and self.form.value("mode") == "only listed" and not self.values()["allowed_models"]:
            mistakes["mode"] = "nothing is listed: every call would be refused"
        for problem in self.preview.problems if self.preview else []:
            mistakes[item_of(problem.field)] = problem.message
        self.form.set_mistakes(mistakes)

    def _ask_preview(self) -> None:
        project, changes = self.project, self.changes()
        if changes:
            self.ask("preview", lambda client: client.preview(project, changes))
        else:
            self.preview = None
            self._mark_mistakes()
            self._draw()

    def arrived_preview(self, data: Preview) -> None:
        self.preview = data if self.changes() else None
        self._mark_mistakes()
        self._draw()

    # The right side

    def _draw(self) -> None:
        changes = self.changes()
        base = self.base
        version = base.version if base else 0
        state = "● modified" if changes else f"● saved v{version}"
        if self.newer is not None:
            state = f"▲ v{self.newer.version} saved by {self.newer.updated_by or 'somebody'} {figures.ago(self.newer.updated_at)}"
        self.form.set_title(f"Settings of {self.project}", state)
        panel = self.query_one("#review", TextPanel)
        if base is None:
            panel.set_lines([[("Loading…", "dim")]])
        else:
            mistakes = len(self.form.mistakes)
            panel.set_lines(review(base, self.versions, changes, mistakes, self.preview, panel.inner_width))
        self.optyx.redraw_chrome()

    # Acting

    def action_save(self) -> None:
        changes = self.changes()
        if not changes:
            self.optyx.say("Nothing is changed.")
            return
        if self.form.mistakes:
            name = next(iter(self.form.mistakes))
            self.form.go_to(name)
            self.form.focus()
            self.optyx.say(f"An error blocks saving: {self.form.mistakes[name]}", "error")
            return
        before = msgspec.to_builtins(self.base)
        effect = [f"{name}: {word(before.get(name))} → {word(value)}" for name, value in changes.items()]
        told = self.preview
        if told is not None:
            effect.append(f"{of_the_day(told.refused, told.no_fallback, told.elsewhere, told.examined)}.")
        version = self.base.version + 1 if self.base else 1
        question = f"Save v{version} of {self.project}?"
        if self.optyx.guarded:
            self.optyx.confirm_by_name(question, effect, "save", lambda: self._send(changes), self.project)
        else:
            self.optyx.confirm(question, effect, "save", lambda: self._send(changes))

    def _send(self, changes: dict[str, Any]) -> None:
        self.saving = changes
        project, etag = self.project, self.etag
        self.change("saved", lambda client: client.save_settings(project, changes, etag), ASKED)

    def arrived_saved(self, data: Changed) -> None:
        self.optyx.say(f"Saved the settings of {self.project}. u undoes.")
        self.optyx.offer_undo(data.audit_id, f"settings of {self.project}")
        self.base = None
        self.form.set_items([])
        self.load()

    def failed_saved(self, error: Exception) -> None:
        if isinstance(error, GatewayError) and error.status == 412:
            project = self.project
            self.ask("theirs", lambda client: client.settings(project))
        else:
            self.failed("saved", error)

    def arrived_theirs(self, data: tuple[ProjectSettings, str]) -> None:
        """Somebody saved meanwhile: field by field, nothing is lost."""
        theirs, etag = data
        assert self.base is not None
        mine = self.saving

        def chosen(kept: dict[str, Any] | None) -> None:
            if kept is None:
                return
            self.etag, self.base = etag, theirs
            if kept:
                self._send(kept)
            else:
                self.base = None
                self.form.set_items([])
                self.load()

        self.app.push_screen(Conflict(msgspec.to_builtins(self.base), msgspec.to_builtins(theirs), mine), chosen)

    def action_reset_field(self) -> None:
        self.form.reset_current()

    def action_restore(self) -> None:
        entries = [(f"v{one.version}  {figures.ago(one.at)}  {one.by}", one.summary) for one in self.versions]
        if not entries:
            self.optyx.say("There is no older version yet.", "warning")
            return

        def chosen(index: int | None) -> None:
            if index is None:
                return
            version, project = self.versions[index].version, self.project
            before, kept = msgspec.to_builtins(self.base), self.versions[index].values
            moved = [name for name in FIELDS if not is_same(before.get(name), kept.get(name))]
            self.optyx.confirm(
                f"Restore v{version} of {project}?",
                [
                    *(f"{name}: {word(before.get(name))} → {word(kept.get(name))}" for name in moved),
                    "It becomes a new version; the present one stays in the history."
                    if moved
                    else "It says the same as today.",
                ],
                "restore",
                lambda: self.change("saved", lambda client: client.restore_settings(project, version), ASKED),
            )

        self.app.push_screen(Menu("Versions", entries), chosen)

    def action_editor(self) -> None:
        """YAML in $EDITOR; what comes back fills the form, and is saved only by ^s."""
        import yaml

        version = self.base.version if self.base else 0
        head = f"# Settings of {self.project}, version {version}. null: the gateway's own value.\n"
        try:
            values = yaml.safe_dump(self.values(), sort_keys=False, allow_unicode=True)
            text = self.optyx.hand_over(lambda: through_editor(head + values))
            given = msgspec.convert(yaml.safe_load(text), ProjectSettings, strict=False)
        except (Fault, yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError) as error:
            self.optyx.say(f"Not taken: {' '.join(str(error).split())}.", "error")
            return
        originals = self.form.originals
        self._fill(given)
        self.form.originals = {**{item.name: item.value for item in self.form.items}, **originals}
        self.on_editor_panel_edited()

    def back(self) -> bool:
        if self.takes_turns() and not self.form.has_focus:
            self.turn_to(self.form)
            return True
        if not self.has_unsaved():
            return False

        def drop() -> None:
            self.base = None
            self.form.set_items([])
            self.optyx.call_later(self.optyx.run_action, "back")

        self.optyx.confirm("Leave without saving?", ["What you changed in the form is lost."], "leave", drop)
        return True

    def offers(self, action: str) -> bool:
        item = self.form.current
        match action:
            case "save":
                return bool(self.changes())
            case "reset":
                return item is not None and item.value != self.form.originals[item.name]
            case "restore":
                return bool(self.versions)
        return self.base is not None

    def cli_names(self) -> dict[str, str]:
        return {"project": self.project}

    def status(self) -> Line:
        mistakes = self.form.mistakes
        if mistakes:
            return [
                (
                    f"{len(mistakes)} error{'s' if len(mistakes) != 1 else ''} blocks saving: {next(iter(mistakes)).replace('tier:', 'tier ')}",
                    "bad",
                )
            ]
        changes = self.changes()
        told = self.preview
        met = f" · refuses {figures.calls(told.refused)}" if told and told.refused else ""
        if told and not met and told.impact:
            met = f" · moves {figures.calls(told.elsewhere + told.no_fallback)}, refuses none"
        none = f" · refuses none of {figures.calls(told.examined)}" if told and changes and not met else ""
        return [
            (f"{len(changes)} change{'s' if len(changes) != 1 else ''}{met or none}", "warn" if met else ""),
            ("   ↑↓ field  ←→ choose  / finds a model  tab review" if self.takes_turns() else _HINT, "dim"),
        ]

    def copies(self) -> list[tuple[str, str]]:
        sets = " ".join(
            shlex.quote(f"{name}={msgspec.json.encode(value).decode()}") for name, value in self.changes().items()
        )
        return [
            ("CLI, show", f"optyx settings get -p {self.project}"),
            ("CLI, this change", f"optyx settings set -p {self.project} {sets}" if sets else ""),
            ("JSON", as_json(self.base) if self.base else ""),
        ]


_HINT = "   ↑↓ field  ←→ choose  space switch  / finds a model"
