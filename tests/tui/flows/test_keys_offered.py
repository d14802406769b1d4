"""The footer lists what does something now, and the help tells of the panel that has the focus."""

from __future__ import annotations

from tests.tui.fake_gateway import FakeGateway
from tests.tui.flows.acts import KEYS
from tests.tui.stage import WIDE, screen_text, settled, stage, until
from tui.location import Location


def footer(app):
    return screen_text(app).split("\n")[-1]


async def test_a_field_offers_no_key_that_would_be_typed_into_it(gateway):
    async with stage(gateway, WIDE, Location("playground")) as (app, pilot):
        await until(lambda: "esc leave the field" in footer(app), pilot)
        assert footer(app).split("  ")[0].strip() == "^r run"
        assert not [word for word in ("in logs", "clear", "compare", "help", "quit", "command") if word in footer(app)]
        await pilot.press(*"hello", "ctrl+r")
        await until(lambda: app.view.runs and app.view.runs[0].done, pilot)
        await until(lambda: "l in logs  c clear" in footer(app) and "? help  q quit" in footer(app), pilot)
        await pilot.press("shift+tab", "shift+tab")
        await until(lambda: app.focused is app.view.form, pilot)
        app.view.form.go_to("stream")
        await until(lambda: "c clear" in footer(app), pilot)
        await pilot.press("down")
        await until(lambda: app.view.form.current.name == "system" and "c clear" not in footer(app), pilot)


async def test_while_a_command_is_typed_the_keys_of_its_line_are_offered(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("colon")
        await until(lambda: footer(app).startswith(" enter go  tab complete"), pilot)
        await pilot.press("escape")
        await until(lambda: "n new" in footer(app), pilot)


async def test_a_key_that_finds_nothing_to_work_on_is_not_offered(gateway):
    async with stage(gateway, WIDE, Location("providers")) as (app, pilot):
        assert "close circuit" not in footer(app)
        await pilot.press("j", "j")
        await until(lambda: "c close circuit" in footer(app), pilot)
        app.go(Location("keys", project="acme"))
        await settled(app, pilot)
        assert "r rotate" in footer(app)
        await pilot.press(*"jjjjj")
        await until(lambda: app.view.rows.current.status == "expired" and "r rotate" not in footer(app), pilot)
        assert "x revoke" in footer(app)
        app.go(Location("logs"))
        await settled(app, pilot)
        assert "clear filter" not in footer(app)
        app.filter_by("status:429")
        await until(lambda: "x clear filter" in footer(app), pilot)
        app.go(Location("settings", project="acme"))
        await settled(app, pilot)
        assert "^s save" not in footer(app)
        app.view.form.set_value("failover", "off")
        await until(lambda: "^s save" in footer(app), pilot)


async def test_an_empty_gateway_offers_what_makes_the_first_and_says_what_the_panes_are_for():
    with FakeGateway(empty=True) as fake:
        async with stage(fake, WIDE, Location("projects")) as (app, pilot):
            assert footer(app).startswith(" n new  : command")
            app.go(Location("logs"))
            await settled(app, pilot)
            await until(lambda: "The call under the cursor stands here" in screen_text(app), pilot)
            assert footer(app).startswith(" space pause  : command")


async def test_the_help_is_of_the_panel_that_has_the_focus(gateway):
    async with stage(gateway, WIDE, Location("audit")) as (app, pilot):
        await pilot.press("question_mark")
        await until(lambda: "What was changed, the newest first." in screen_text(app), pilot)
        assert "Its columns" in screen_text(app)
        await pilot.press("escape", "tab", "question_mark")
        await until(lambda: "One change: who made it" in screen_text(app), pilot)
        assert "Its columns" not in screen_text(app)
