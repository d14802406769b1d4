"""What holds a change back: a read-only session or context, a viewer's role, a protected context, a gateway that is away."""

from __future__ import annotations

from tests.tui.flows.acts import KEYS, armed, arrive_together, asked, said
from tests.tui.stage import WIDE, screen_text, stage, until
from tui.widgets.dialogs import Confirm


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
