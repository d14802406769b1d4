"""What is said: it stands where it hides nothing that is worked on: an error until it is dismissed, everything else while it is read."""

from __future__ import annotations

from tests.tui.flows.acts import said
from tests.tui.stage import SMALL, WIDE, screen_text, settled, stage, until
from tui.location import Location
from tui.notices import SHOWN_S


def line_of(app, text):
    return next((y for y, line in enumerate(screen_text(app).split("\n")) if text in line), None)


def later(app, seconds):
    for one in app.toasts.standing:
        one.until -= seconds
    app.toasts.expire()


async def test_an_error_stays_until_it_is_dismissed_which_leaves_the_place_as_it_is(gateway):
    async with stage(gateway, WIDE, Location("projects")) as (app, pilot):
        app.go(Location("audit"))
        await settled(app, pilot)
        app.say("It was refused.", "error")
        app.say("Copied.")
        await until(lambda: line_of(app, "Copied.") == 33, pilot)
        assert "esc dismiss" in screen_text(app).split("\n")[line_of(app, "It was refused.")]
        later(app, SHOWN_S["information"] + 3600)
        await until(lambda: line_of(app, "Copied.") is None and line_of(app, "It was refused.") == 33, pilot)
        await pilot.press("escape")
        await until(lambda: line_of(app, "It was refused.") is None, pilot)
        assert app.history.here.screen == "audit"
        await pilot.press("escape")
        await until(lambda: app.history.here.screen == "projects", pilot)


async def test_errors_that_come_again_are_counted_and_at_most_three_lines_stand(gateway):
    async with stage(gateway, WIDE, Location("projects")) as (app, pilot):
        for _ in range(4):
            app.say("one broke", "error")
            app.say("two broke", "error")
        await until(lambda: line_of(app, "one broke  ×4") and line_of(app, "two broke  ×4"), pilot)
        for number in range(5):
            app.say(f"notice {number}")
        await until(lambda: line_of(app, "notice 4") == 33, pilot)
        assert line_of(app, "notice 3") == 32
        assert line_of(app, "two broke") == 31, "one error stays in sight"
        assert line_of(app, "one broke") is None
        later(app, SHOWN_S["information"])
        await until(lambda: line_of(app, "one broke") == 32, pilot)
        for number in range(5):
            app.say(f"broken {number}", "error")
        assert [one.text for one in app.toasts.standing] == ["broken 2", "broken 3", "broken 4"]
        await pilot.press("exclamation_mark")
        await until(lambda: line_of(app, "broken 0"), pilot)


async def test_what_is_said_makes_way_for_the_row_under_the_cursor(gateway):
    async with stage(gateway, SMALL, Location("logs")) as (app, pilot):
        cursor = app.view.calls.region.y + app.view.calls.cursor_y
        app.say("Something went wrong.", "error")
        app.say("And then this.", "error")
        assert cursor in (20, 21)
        await until(lambda: line_of(app, "And then this.") == 3, pilot)
        await pilot.press(*["up"] * 4)
        await until(lambda: line_of(app, "And then this.") == 21, pilot)
        await pilot.press("G")
        await until(lambda: line_of(app, "Something went wrong.") == 2, pilot)


async def test_what_is_said_is_not_over_the_field_that_is_typed_in(gateway):
    async with stage(gateway, SMALL, Location("playground")) as (app, pilot):
        await pilot.press("escape", "escape")
        await until(lambda: app.focused is not None, pilot)
        app.view.query_one("#message").focus()
        await until(lambda: app.focused.id == "message", pilot)
        app.say("Something went wrong.", "error")
        await until(lambda: line_of(app, "Something went wrong.") is not None, pilot)
        field = app.focused.region
        assert not field.y <= line_of(app, "Something went wrong.") < field.bottom
        await pilot.press("escape")
        await until(lambda: line_of(app, "Something went wrong.") is None, pilot)
        assert app.focused.id == "message"


async def test_the_history_tells_the_whole_of_a_long_error(gateway):
    async with stage(gateway, SMALL, Location("projects")) as (app, pilot):
        app.say("It was refused: " + "because of this and that " * 5 + "at the end.", "error")
        await pilot.press("exclamation_mark")
        await until(lambda: line_of(app, "at the end."), pilot)


async def test_a_click_takes_it_away(gateway):
    async with stage(gateway, WIDE, Location("projects")) as (app, pilot):
        app.say("Something went wrong.", "error")
        await until(lambda: line_of(app, "Something went wrong.") == 33, pilot)
        await pilot.click("#toasts")
        await until(lambda: line_of(app, "Something went wrong.") is None, pilot)
        await said(app, pilot, "Something went wrong.")
