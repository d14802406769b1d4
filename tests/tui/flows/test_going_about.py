"""Filter, commands, palette, history, saved views: where one is, and how one gets elsewhere."""

from __future__ import annotations

import re

from tests.tui.flows.acts import KEYS, arrive_together, said, typed
from tests.tui.stage import SMALL, WIDE, screen_text, settled, stage, until
from tui.location import Location


async def test_a_filter_is_part_of_the_place(gateway):
    async with stage(gateway, WIDE, Location("logs")) as (app, pilot):
        await pilot.press("slash")
        await typed(pilot, "project:acme")
        await pilot.press("enter")
        await until(lambda: "page" not in app.view.waiting and app.view.shown_filter == "project:acme", pilot)
        await settled(app, pilot)
        await pilot.press("up", "enter")
        await until(lambda: app.history.here.screen == "detail", pilot)
        first = app.history.here.object
        await pilot.press("p")
        await pilot.pause()
        assert app.history.here.object != first
        await pilot.press("escape")
        await until(lambda: app.history.here.screen == "logs", pilot)
        assert app.history.here.filter == "project:acme"
        assert "project:acme" in screen_text(app)
        await pilot.press("5", "less_than_sign")
        await until(lambda: app.history.here.screen == "logs", pilot)
        assert app.history.here.filter == "project:acme"
        await pilot.press("greater_than_sign")
        await until(lambda: app.history.here.screen == "providers", pilot)
        await pilot.press("minus")
        await until(lambda: app.history.here.screen == "logs", pilot)


async def test_a_command_goes_places_and_an_unknown_one_is_answered_with_the_nearest(gateway):
    async with stage(gateway, WIDE, Location("projects")) as (app, pilot):
        await pilot.press("colon")
        await typed(pilot, "kesy")
        await pilot.press("enter")
        await said(app, pilot, "Did you mean :keys?")
        await pilot.press("colon")
        await typed(pilot, "keys rese")
        await pilot.pause(0.05)
        await pilot.press("tab", "enter")
        await until(lambda: app.history.here.project == "research", pilot)


async def test_a_view_is_saved_and_found_again(gateway):
    async with stage(gateway, WIDE, Location("logs", filter="status:5xx")) as (app, pilot):
        await pilot.press("colon")
        await typed(pilot, "save broken")
        await pilot.press("enter", "1")
        await until(lambda: app.history.here.screen == "overview", pilot)
        await pilot.press("colon")
        await typed(pilot, "view broken")
        await pilot.press("enter")
        await until(lambda: app.history.here == Location("logs", filter="status:5xx"), pilot)


async def test_the_palette_finds_by_letters_and_shows_the_cli_form_of_what_is_in_sight(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("j", "ctrl+p")
        await pilot.pause()
        await typed(pilot, "grace")
        await pilot.pause()
        assert "optyx keys rotate key_ci-deploy --grace 24h" in screen_text(app)
        await pilot.press("enter")
        await until(lambda: "Rotate ci-deploy" in screen_text(app), pilot)
        await pilot.press("escape", "ctrl+p")
        await pilot.pause()
        await typed(pilot, "keys of resea")
        await pilot.press("enter")
        await until(lambda: app.history.here.project == "research", pilot)


async def test_the_palette_leads_to_what_is_done_on_another_screen(gateway):
    async with stage(gateway, SMALL, Location("overview")) as (app, pilot):
        await pilot.press("ctrl+p")
        await pilot.pause()
        await typed(pilot, "rotate")
        await pilot.pause()
        text = screen_text(app)
        assert re.search(r">Keys +A new secret; the old one has a grace period +4 r", text)
        assert "optyx keys rotate KEY --grace 24h" in text
        await pilot.press("enter")
        await until(lambda: app.history.here == Location("keys"), pilot)


async def test_keys_that_come_in_one_piece_go_where_they_were_meant_to(gateway):
    async with stage(gateway, WIDE, Location("projects")) as (app, pilot):
        arrive_together(app, "/rese\r")
        await until(lambda: app.history.here.filter == "rese", pilot)
        assert app.history.here.screen == "projects", "r, s and e are keys of the list"
        arrive_together(app, ":keys acme\rnsecond")
        await until(lambda: "second" in screen_text(app), pilot)
        assert app.history.here == Location("keys", project="acme")
        await pilot.press("escape")
        arrive_together(app, "3nthird")
        await until(lambda: "New project" in screen_text(app) and "third" in screen_text(app), pilot)
        await pilot.press("escape")
