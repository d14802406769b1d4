"""A project's settings: reviewed, previewed, saved, brought back, and never lost between two who save."""

from __future__ import annotations

import re

from gateway.admin.schema.settings import Impact
from tests.tui.flows.acts import armed, asked, said, typed
from tests.tui.stage import SMALL, WIDE, screen_text, stage, until
from tui.location import Location
from tui.screens.conflict import Conflict
from tui.widgets.dialogs import Confirm


async def test_settings_are_previewed_confirmed_and_saved(gateway):
    async with stage(gateway, WIDE, Location("settings", project="acme")) as (app, pilot):
        form = app.view.form
        form.set_value("patterns", "")
        await until(lambda: "would be" in screen_text(app) and "212,140" in screen_text(app), pilot)
        await pilot.press("ctrl+s")
        await armed(app, pilot)
        assert "Save v42 of acme?" in screen_text(app)
        await pilot.press("Y")
        await said(app, pilot, "Saved the settings of acme. u undoes.")
        assert gateway.settings.allowed_models == ["gemini-4-argon"]


async def test_calls_that_go_elsewhere_are_told_from_refused_ones(gateway):
    gateway.moved = [
        Impact(
            key="web", key_id="key_web", requests=31, outcome="no_fallback", reason="the tier fast asks openai/a alone"
        ),
        Impact(
            key="web", key_id="key_web", requests=5_000, outcome="elsewhere", reason="google/b in place of openai/a"
        ),
    ]
    async with stage(gateway, WIDE, Location("settings", project="acme")) as (app, pilot):
        app.view.form.set_value("failover", "off")
        await until(lambda: "5,000 calls of key web would go elsewhere" in joined(app), pilot)
        assert "31 calls of key web would have no fallback" in joined(app)
        assert "be refused" not in joined(app)
        assert "1 change · moves 5,031 calls, refuses none" in joined(app)
        assert "2,111,724 other calls unaffected" in joined(app)
        app.view.form.set_value("patterns", "")
        await until(lambda: "212,140 calls of key ci-deploy would be refused" in joined(app), pilot)
        await pilot.press("ctrl+s")
        await armed(app, pilot)
        assert (
            "212,140 of 2,116,755 calls of the last 24 h would have been refused, 5,000 would have gone elsewhere, "
            "31 would have had no fallback."
        ) in app.screen.effect
        await pilot.press("escape")


async def test_a_change_that_refuses_nothing_says_so_before_it_is_saved(gateway):
    async with stage(gateway, SMALL, Location("settings", project="acme")) as (app, pilot):
        app.view.form.set_value("failover", "off")
        await until(lambda: "1 change · refuses none of 2,116,755 calls" in screen_text(app), pilot)
        await pilot.press("ctrl+s")
        await armed(app, pilot)
        assert "0 of 2,116,755 calls of the last 24 h would have been refused." in app.screen.effect
        await pilot.press("Y")
        await said(app, pilot, "Saved the settings of acme. u undoes.")
        assert re.search(r"Undo: settings of acme \(u, \d+ s\) *$", screen_text(app).split("\n")[-2])


def joined(app) -> str:
    """The screen's words, without its frames and line ends."""
    return " ".join(re.sub(r"[│┌┐└┘─]", " ", screen_text(app)).split())


async def test_a_mistake_blocks_saving_and_is_gone_to(gateway):
    async with stage(gateway, WIDE, Location("settings", project="acme")) as (app, pilot):
        app.view.form.set_value("tier:fast", "gpt-6-luna")
        await pilot.pause()
        await pilot.press("ctrl+s")
        assert "write provider/model" in screen_text(app)
        assert app.view.form.current.name == "tier:fast"
        assert not asked(gateway, "PATCH", "/settings")


async def test_what_somebody_else_saves_is_shown_and_never_over_what_was_typed(gateway):
    async with stage(gateway, WIDE, Location("settings", project="acme")) as (app, pilot):
        gateway.settings.version, gateway.settings.failover = 42, False
        app.view.load()
        await until(lambda: "● saved v42" in screen_text(app) and app.view.form.value("failover") == "off", pilot)
        app.view.form.set_value("failover", "on")
        gateway.settings.version, gateway.settings.updated_by, gateway.settings.capture = 43, "omar", True
        app.view.load()
        await until(lambda: "▲ v43 saved by omar" in screen_text(app), pilot)
        assert app.view.form.value("failover") == "on"
        await pilot.press("ctrl+s")
        await armed(app, pilot)
        await pilot.press("Y")
        await until(lambda: isinstance(app.screen, Conflict), pilot)
        await pilot.press("escape")


async def test_two_people_saving_lose_nothing(gateway):
    async with stage(gateway, WIDE, Location("settings", project="acme")) as (app, pilot):
        app.view.form.set_value("failover", "off")
        gateway.settings.version, gateway.settings.updated_by, gateway.settings.capture = 42, "omar", True
        await until(lambda: app.view.preview is not None, pilot)
        await pilot.press("ctrl+s")
        await armed(app, pilot)
        await pilot.press("Y")
        await until(lambda: "omar saved version 42" in screen_text(app), pilot)
        await pilot.press("ctrl+s")
        await until(lambda: gateway.settings.version == 43, pilot)
        assert gateway.settings.failover is False
        assert gateway.settings.capture is True, "theirs stays"
        await said(app, pilot, "Saved")


async def test_leaving_a_changed_form_asks(gateway):
    async with stage(gateway, WIDE, Location("projects")) as (app, pilot):
        await pilot.press("s")
        await until(lambda: app.history.here.screen == "settings" and bool(app.view.form.items), pilot)
        app.view.form.set_value("failover", "off")
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, Confirm), pilot)
        assert "Leave without saving?" in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert app.view.form.value("failover") == "off"


async def test_a_slash_finds_a_model_of_the_catalog_in_the_form(gateway):
    async with stage(gateway, WIDE, Location("settings", project="acme")) as (app, pilot):
        await pilot.press("slash")
        await typed(pilot, "embedding")
        await pilot.pause()
        text = screen_text(app)
        assert "[ ] gemini-embedding-001" in text
        assert "[ ] gpt-6.1-sol" not in text
        await pilot.press("escape")
        await pilot.pause()
        assert "[ ] gpt-6.1-sol" in screen_text(app)


async def test_a_model_that_is_picked_while_all_are_allowed_is_the_only_one_then(gateway):
    gateway.settings.allowed_models = None
    async with stage(gateway, WIDE, Location("settings", project="acme")) as (app, pilot):
        form = app.view.form
        name = next(item.name for item in form.items if item.kind == "check" and not item.hidden)
        form.go_to(name)
        await pilot.press("space")
        await until(lambda: form.value("mode") == "only listed", pilot)
        assert app.view.changes() == {"allowed_models": [name.removeprefix("model:")]}


async def test_an_old_version_says_what_it_would_bring_back(gateway):
    async with stage(gateway, WIDE, Location("settings", project="acme")) as (app, pilot):
        await pilot.press("R", "enter")
        await until(lambda: isinstance(app.screen, Confirm), pilot)
        assert "allowed_models: " in screen_text(app)
        assert "→ gemini-4-argon" in screen_text(app)
        await pilot.press("escape")


async def test_in_a_protected_context_settings_are_saved_by_the_projects_name(gateway):
    async with stage(gateway, WIDE, Location("settings", project="acme"), guarded=True) as (app, pilot):
        app.view.form.set_value("failover", "off")
        await pilot.press("ctrl+s")
        await until(lambda: " prod  this context is protected" in screen_text(app), pilot)
        await pilot.press("enter")
        assert not asked(gateway, "PATCH", "/settings")
        await typed(pilot, "acme")
        await pilot.press("enter")
        await said(app, pilot, "Saved the settings of acme.")


async def test_in_little_room_the_form_and_its_review_take_turns(gateway):
    async with stage(gateway, SMALL, Location("settings", project="acme")) as (app, pilot):
        await until(lambda: "Review before saving" not in screen_text(app), pilot)
        await pilot.press("tab")
        await until(lambda: "EFFECTIVE VALUES" in screen_text(app), pilot)
        assert "Settings of acme" not in screen_text(app)
        await pilot.press("escape")
        await until(lambda: "Settings of acme" in screen_text(app), pilot)
        assert app.history.here.screen == "settings"
