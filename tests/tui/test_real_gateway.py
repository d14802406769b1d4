"""The dashboard on a real gateway: a whole afternoon of an operator, and every screen read without a complaint."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager

import pytest

from tests.tui.stage import screen_text, until
from tui.app import OptyxApp
from tui.calls import Client
from tui.location import Location
from tui.screens.secret import ShownOnce
from tui.widgets.dialogs import Confirm

PATIENT = 20.0


@asynccontextmanager
async def dashboard(gateway, place=None):
    token = await gateway.token()
    app = OptyxApp(lambda: Client(gateway.url, token), context="test", url=gateway.url, start=place)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(lambda: app.view is not None and app.view.is_mounted and not app.view.waiting, pilot)
        yield app, pilot


async def shows(app, pilot, *texts):
    try:
        await until(lambda: all(text in screen_text(app) for text in texts), pilot, PATIENT)
    except AssertionError:
        missing = [text for text in texts if text not in screen_text(app)]
        raise AssertionError(f"not on screen: {missing}\n{screen_text(app)}\n{app.notices.said}") from None


async def said(app, pilot, text):
    try:
        await until(lambda: any(text in one[1] for one in app.notices.said), pilot, PATIENT)
    except AssertionError:
        raise AssertionError(f"not said: {text}\n{screen_text(app)}\n{app.notices.said}") from None


async def confirm(app, pilot):
    await until(lambda: isinstance(app.screen, Confirm), pilot, PATIENT)
    app.screen.quiet_since = time.monotonic() - 1
    await pilot.press("Y")


async def go(app, pilot, place):
    app.go(place)
    await until(lambda: app.view.is_mounted and app.view.display and not app.view.waiting, pilot, PATIENT)


async def status_with(gateway, key):
    async with gateway.session.post(
        f"{gateway.url}/v1/chat/completions",
        json={"model": "fast", "messages": [{"role": "user", "content": "hello"}]},
        headers={"Authorization": f"Bearer {key}"},
    ) as answer:
        await answer.read()
        return answer.status


async def test_an_operator_s_afternoon(gateway):
    async with dashboard(gateway, Location("logs")) as (app, pilot):
        # live traffic is seen
        answer = await gateway.chat("hi", model="fast")
        assert answer.status == 200
        await until(lambda: len(app.view.calls.ring) >= 1, pilot, PATIENT)
        await shows(app, pilot, "200", "FOLLOWING")

        # a project and its first key
        await pilot.press("3")
        await shows(app, pilot, "Projects (1)")
        await pilot.press("n")
        await shows(app, pilot, "New project")
        await pilot.press(*"Search", "ctrl+s")
        await until(lambda: isinstance(app.screen, ShownOnce), pilot, PATIENT)
        secret = app.screen.secret
        assert secret.startswith("sk-optyx-")
        await pilot.press("t")
        await shows(app, pilot, "● GET /v1/models 200")

        # it is used, and the dialog sees its first call
        assert await status_with(gateway, secret) == 200
        await shows(app, pilot, "First call: 200")
        await pilot.press("escape", "escape")
        await until(lambda: not isinstance(app.screen, ShownOnce), pilot)

        # the playground, with the same key
        await go(app, pilot, Location("playground", project="search"))
        await until(lambda: bool(app.view.form.items), pilot, PATIENT)
        app.view.form.set_value("way", "typed")
        app.view.form.set_value("secret", secret)
        app.view.query_one("#message").focus()
        await pilot.press(*"why", "ctrl+r")
        await until(lambda: app.view.runs and app.view.runs[0].done, pilot, PATIENT)
        run = app.view.runs[0]
        assert not run.error, run.error
        assert run.text.strip()
        assert secret not in screen_text(app)
        await until(lambda: run.record is not None, pilot, PATIENT)
        await shows(app, pilot, "tok", run.request_id)

        # it stands in the log of the project, and its detail says why it went where it went
        await go(app, pilot, Location("logs", project="search"))
        await until(lambda: len(app.view.calls.ring) >= 2, pilot, PATIENT)
        await pilot.press("up", "down", "enter")
        await until(lambda: app.history.here.screen == "detail", pilot, PATIENT)
        await shows(app, pilot, "WHY THIS ROUTE", "USAGE AND COST", run.request_id)

        # only one model is left to it; the preview says what that would have refused
        await go(app, pilot, Location("settings", project="search"))
        await until(lambda: bool(app.view.form.items), pilot, PATIENT)
        app.view.form.set_value("mode", "only listed")
        app.view.form.set_value("patterns", "no-such-model-*")
        await shows(app, pilot, "would be refused")
        await pilot.press("ctrl+s")
        await confirm(app, pilot)
        await said(app, pilot, "Saved the settings of search")
        await gateway.changed()
        assert await status_with(gateway, secret) == 403
        await pilot.press("u")
        await said(app, pilot, "Undone: settings of search")
        await gateway.changed()
        assert await status_with(gateway, secret) == 200

        # the key is disabled, and comes back
        await go(app, pilot, Location("keys", project="search"))
        await shows(app, pilot, "default")
        await pilot.press("d")
        await confirm(app, pilot)
        await said(app, pilot, "Disabled default")
        await gateway.changed()
        assert await status_with(gateway, secret) == 401
        await pilot.press("u")
        await said(app, pilot, "Undone: disabled default")
        await gateway.changed()
        assert await status_with(gateway, secret) == 200

        # all of it is in the trail
        await go(app, pilot, Location("audit"))
        await until(lambda: len(app.view.rows.rows) >= 6, pilot, PATIENT)
        actions = [one.action for one in app.view.rows.rows]
        for action in ("project.create", "key.create", "settings.update", "key.disable"):
            assert action in actions, actions
        await pilot.press("V")
        await said(app, pilot, "entries is whole")
        everything = str(app.view.rows.rows) + str(app.notices.said)
        assert secret not in everything


SCREENS = (
    *("overview", "logs", "projects", "keys", "providers", "limits", "playground", "audit", "models", "usage"),
    "settings",
)


@pytest.mark.parametrize("name", SCREENS)
async def test_every_screen_of_a_real_gateway_is_read_without_a_complaint(gateway, name):
    await gateway.chat("hi", model="fast")
    await gateway.chat("hi", model="no-such-model")
    async with dashboard(gateway, Location(name, project="default" if name in ("settings", "keys") else "")) as (
        app,
        pilot,
    ):
        await shows(app, pilot, "LIVE")
        await until(lambda: app.view.answered_at and not app.view.waiting, pilot, PATIENT)
        complaints = [one for one in app.notices.said if one[2] != "information"]
        assert not complaints, complaints


async def test_limits_of_a_real_gateway_are_set_raised_and_kept_whole(gateway):
    path = f"/projects/{gateway.project_id}/limits"
    monthly, daily = {"amount_usd": "5", "window": "1mo", "soft_percent": 80}, {"amount_usd": "1", "window": "1d"}
    whole = {"rpm": 100, "budgets": [monthly, daily], "models": {"gpt-6-luna": {"rpm": 7}}}
    assert (await gateway.admin("PUT", path, whole)).status == 200
    async with dashboard(gateway, Location("limits")) as (app, pilot):
        await shows(app, pilot, "$5 / month")
        await pilot.press("e")
        await shows(app, pilot, "Limits of project")
        await pilot.press("backspace", "backspace", "backspace", *"250", "ctrl+s")
        await said(app, pilot, "Changed the limits of")
        after = (await gateway.admin("GET", path)).json
        assert after["rpm"] == 250
        assert {(one["amount_usd"], one["soft_percent"]) for one in after["budgets"]} == {("5.00", 80), ("1.00", None)}
        assert after["models"]["gpt-6-luna"]["rpm"] == 7
        await pilot.press("o")
        await shows(app, pilot, "Override for")
        await pilot.press("ctrl+s")
        await said(app, pilot, "Raised the budget")
