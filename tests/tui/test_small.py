"""A terminal with less room than the dashboard needs: what is worked on keeps it, and nothing is lost on the way there and back."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from tests.tui.fake_gateway import FakeGateway
from tests.tui.flows.acts import KEYS, said
from tests.tui.stage import WIDE, screen_text, settled, stage, until
from tui.location import Location

LITTLE, LEAST, NONE = (50, 12), (30, 8), (28, 6)
PLACES = {
    "overview": (Location("overview"), "openai"),
    "logs": (Location("logs"), "12:04:30 403"),
    "detail": (Location("detail", object="req_000000000004"), "Status     200"),
    "projects": (Location("projects"), ">acme"),
    "keys": (KEYS, ">web-prod"),
    "settings": (Location("settings", project="acme"), ">Default tier"),
    "providers": (Location("providers"), "groq"),
    "limits": (Location("limits"), ">project acme"),
    "playground": (Location("playground"), "Message"),
    "audit": (Location("audit"), "11-24 11:58:31"),
    "models": (Location("models"), "gpt-6-luna"),
    "usage": (Location("usage"), "research"),
    "connect": (Location("connect"), "Context    prod"),
}


@pytest.fixture(scope="module")
def gateway():
    with FakeGateway() as fake:
        yield fake


async def resized(app, pilot, size):
    await pilot.resize_terminal(*size)
    await until(lambda: app.size == size, pilot)
    await settled(app, pilot)


@pytest.mark.parametrize("name", PLACES)
async def test_one_panel_keeps_the_room_and_resizing_loses_nothing(gateway, name):
    place, words = PLACES[name]
    async with stage(gateway, WIDE, place) as (app, pilot):
        await until(lambda: app.role and (name != "logs" or "Detail of the newest" in screen_text(app)), pilot)
        before, focused = screen_text(app), app.focused
        for size in (LITTLE, LEAST):
            await resized(app, pilot, size)
            lines = screen_text(app).split("\n")
            assert words in "\n".join(lines)
            assert all(cell_len(line) <= size[0] for line in lines)
            assert sum(line.startswith(("┌", "+")) for line in lines[:-1]) <= (2 if name == "overview" else 1)
            assert lines[-1].startswith(f"needs 60×16, has {size[0]}×{size[1]}")
        await resized(app, pilot, NONE)
        assert screen_text(app).split() == ["needs", "60×16,", "has", "28×6"]
        await resized(app, pilot, WIDE)
        assert app.focused is focused
        await until(lambda: screen_text(app) == before, pilot)


async def test_tab_brings_the_other_panels(gateway):
    async with stage(gateway, LITTLE, Location("audit")) as (app, pilot):
        assert "Entry" not in screen_text(app)
        await pilot.press("tab")
        await until(lambda: "Entry" in screen_text(app) and "Audit trail" not in screen_text(app), pilot)
        await pilot.press("tab")
        await until(lambda: "Audit trail" in screen_text(app), pilot)


async def test_tab_goes_through_the_prompt_the_message_and_the_answer_of_the_playground(gateway):
    async with stage(gateway, LITTLE, Location("playground")) as (app, pilot):
        for words in ("Write a message and press", "Model or tier", "Message"):
            await pilot.press("tab")
            await until(lambda words=words: words in screen_text(app), pilot)


async def test_a_form_keeps_what_was_typed_and_its_field_in_sight(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("n", *"web", "tab", "tab", "tab", "tab", "7")
        await resized(app, pilot, LEAST)
        assert ">Budget $/month  7" in screen_text(app)
        await resized(app, pilot, NONE)
        await resized(app, pilot, WIDE)
        await until(lambda: "Name            web" in screen_text(app), pilot)
        assert ">Budget $/month  7" in screen_text(app)


async def test_a_new_secret_is_whole_also_where_it_needs_two_lines(gateway):
    async with stage(gateway, LITTLE, KEYS) as (app, pilot):
        await pilot.press("r", "ctrl+s")
        await until(lambda: hasattr(app.screen, "secret"), pilot)
        await until(
            lambda: app.screen.secret in "".join(line.strip("│ ") for line in screen_text(app).split("\n")), pilot
        )
        await pilot.press("escape", "escape")


async def test_what_went_wrong_and_an_unreachable_gateway_are_told_there_too():
    with FakeGateway() as fake:
        async with stage(fake, LITTLE, Location("projects")) as (app, pilot):
            app.say("It was refused.", "error")
            await until(lambda: "✖ It was refused." in screen_text(app), pilot)
            fake.__exit__()
            app.action_refresh_now()
            await until(lambda: "✖ OFFLINE" in screen_text(app).split("\n")[-1], pilot)
            await said(app, pilot, "It was refused.")
