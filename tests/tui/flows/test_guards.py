"""What holds a change back: a read-only session or context, a viewer's role, a protected context, a gateway that is away."""

from __future__ import annotations

import pytest

from tests.tui.flows.acts import KEYS, armed, arrive_together, asked, said
from tests.tui.stage import WIDE, screen_text, settled, stage, until
from tui.location import Location
from tui.widgets.dialogs import Confirm
from tui.widgets.form import Form


async def test_a_read_only_session_changes_nothing_and_offers_nothing(gateway):
    async with stage(gateway, WIDE, KEYS, readonly=True) as (app, pilot):
        assert "read-only" in screen_text(app)
        assert "revoke" not in screen_text(app).split("\n")[-1]
        await pilot.press("d")
        await armed(app, pilot)
        await pilot.press("Y")
        await said(app, pilot, "Held: this session is read-only.")
        assert not asked(gateway, "POST", "/disable")


async def test_a_viewer_is_told_so(gateway):
    gateway.role = "viewer"
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await until(lambda: "viewer: no changes" in screen_text(app), pilot)
        assert "revoke" not in screen_text(app).split("\n")[-1]


async def test_a_protected_context_is_marked_everywhere(gateway):
    async with stage(gateway, WIDE, KEYS, guarded=True) as (app, pilot):
        assert " PROD " in screen_text(app).split("\n")[0]
        await pilot.press("d")
        await until(lambda: isinstance(app.screen, Confirm), pilot)
        assert "this context is protected" in screen_text(app)
        await pilot.press("escape")


async def test_a_change_is_held_while_the_gateway_is_away_and_panels_show_their_age(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        gateway.__exit__()
        app.action_refresh_now()
        await until(lambda: app.link.state == "offline", pilot)
        app.pulse.beat()
        await pilot.pause()
        assert "STALE" in screen_text(app)
        await pilot.press("d")
        await armed(app, pilot)
        await pilot.press("Y")
        await said(app, pilot, "Held: the gateway is away. Not sent.")


async def test_a_read_only_context_is_not_lifted_by_a_command(gateway):
    async with stage(gateway, WIDE, KEYS, readonly=True, context_readonly=True) as (app, pilot):
        arrive_together(app, ":readonly off\r")
        await said(app, pilot, "The context prod is read-only")
        assert not app.may_write


PROVIDERS, LIMITS, PROJECTS = Location("providers"), Location("limits"), Location("projects")
SENDS = ("POST", "PUT", "PATCH", "DELETE")


@pytest.mark.parametrize(
    ("place", "keys", "question"),
    [
        (KEYS, ["n", *"web", "ctrl+s"], "Create the key web in acme?"),
        (KEYS, ["r", "ctrl+s"], "Rotate web-prod?"),
        (KEYS, [*"gjjjj", "d"], "Enable old-worker?"),
        (PROJECTS, ["n", *"shop", "ctrl+s"], "Create the project shop with its first key?"),
        (PROJECTS, ["R", "2", "ctrl+s"], "Rename acme to acme2?"),
        (PROVIDERS, [*"gjjjj", "d"], "Enable sandbox?"),
        (PROVIDERS, ["plus", *"secret", "ctrl+s"], "Set the credential of openai?"),
        (LIMITS, ["o", "ctrl+s"], "Raise the budget of acme by $100"),
        (LIMITS, ["e", "ctrl+s"], "Change the limits of acme?"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_in_a_protected_context_nothing_is_changed_unasked(gateway, place, keys, question):
    async with stage(gateway, WIDE, place, guarded=True) as (app, pilot):
        for answer in ("n", "Y"):
            before = len(gateway.seen)
            app.view.load()
            await settled(app, pilot)
            for key in keys:
                await pilot.press(key)
                if key == "e":
                    await until(lambda: isinstance(app.screen, Form), pilot)
            await armed(app, pilot)
            assert question in screen_text(app)
            assert " prod  this context is protected" in screen_text(app)
            assert not [one for one in gateway.seen[before:] if one[0] in SENDS]
            await pilot.press(answer)
            if answer == "n":
                await said(app, pilot, "Cancelled: nothing was changed.")
        await until(lambda: [one for one in gateway.seen[before:] if one[0] in SENDS], pilot)


async def test_in_a_protected_context_undo_asks_and_can_be_asked_again(gateway):
    async with stage(gateway, WIDE, KEYS, guarded=True) as (app, pilot):
        await pilot.press("d")
        await armed(app, pilot)
        await pilot.press("Y")
        await until(lambda: app.undo.left_s, pilot)
        for answer in ("n", "Y"):
            await pilot.press("u")
            await armed(app, pilot)
            assert "Undo: disabled web-prod?" in screen_text(app)
            assert not gateway.undone
            await pilot.press(answer)
        await until(lambda: gateway.undone, pilot)


async def test_in_a_protected_context_the_playground_asks_once(gateway):
    async with stage(gateway, WIDE, Location("playground"), guarded=True) as (app, pilot):
        await pilot.press(*"hello", "ctrl+r")
        await armed(app, pilot)
        assert "Send real calls through prod?" in screen_text(app)
        await pilot.press("n")
        await said(app, pilot, "Cancelled")
        await pilot.press("ctrl+r")
        await armed(app, pilot)
        await pilot.press("Y")
        await until(lambda: app.view.runs and app.view.runs[0].done, pilot)
        await pilot.press("ctrl+r")
        await until(lambda: len(app.view.past) == 2, pilot)
