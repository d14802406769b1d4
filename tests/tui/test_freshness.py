"""What comes bit by bit is shown bit by bit; what is old, sampled or not all there says so."""

from __future__ import annotations

import threading

import pytest

from tests.tui.fake_gateway import FakeGateway
from tests.tui.stage import WIDE, screen_text, stage, until
from tui.location import Location


@pytest.fixture
def gateway():
    with FakeGateway() as fake:
        yield fake


async def test_the_steps_of_a_provider_s_test_arrive_one_by_one(gateway):
    gate = gateway.step_gate = threading.Semaphore(0)
    async with stage(gateway, WIDE, Location("providers")) as (app, pilot):
        await pilot.press("t")
        await until(lambda: "◌ configuration running" in _even(app), pilot)
        assert "· dns waiting" in _even(app)
        gate.release(4)
        await until(lambda: "◌ auth running" in _even(app), pilot)
        assert "● tls 14 ms" in _even(app)
        assert "· models waiting" in _even(app)
        gate.release(4)
        await until(lambda: "● stream" in _even(app), pilot)
        await until(lambda: any("all 8 steps are fine" in one[1] for one in app.notices.said), pilot)


def _span(app, word, y=None):
    """The style names under a word on screen: which colour it has."""
    for strip in app.screen._compositor.render_strips():
        for segment in strip:
            if word in segment.text:
                return segment.style.color.name
    raise AssertionError(f"{word} is not on screen")


async def test_a_view_that_is_not_answered_says_its_age_on_every_panel_and_stands_back(gateway, monkeypatch):
    async with stage(gateway, WIDE, Location("overview")) as (app, pilot):
        dim, plain = app.palette["dim"].color.name, _span(app, "128.4")
        assert plain != dim
        monkeypatch.setattr(type(app.view), "load", lambda view: None)
        app.view.answered_at -= 60
        app.pulse.beat()
        await until(lambda: screen_text(app).count("STALE 6") == 5, pilot)
        assert _span(app, "128.4") == dim
        assert "LIVE" in screen_text(app).split("\n")[0], "the gateway itself answers"
        monkeypatch.undo()
        app.action_refresh_now()
        await until(lambda: "STALE" not in screen_text(app), pilot)
        assert _span(app, "128.4") == plain


async def test_a_frozen_overview_is_not_called_stale(gateway):
    async with stage(gateway, WIDE, Location("overview")) as (app, pilot):
        await pilot.press("space")
        app.view.answered_at -= 60
        app.pulse.beat()
        await pilot.pause()
        assert "STALE" not in screen_text(app)
        assert "frozen" in screen_text(app)


async def test_data_of_a_gateway_that_went_away_stands_back_with_its_age():
    with FakeGateway() as fake:
        async with stage(fake, (80, 24), Location("projects")) as (app, pilot):
            assert "STALE" not in screen_text(app)
            fake.__exit__()
            app.action_refresh_now()
            await until(lambda: app.link.state == "offline", pilot)
            app.pulse.beat()
            await until(lambda: "STALE" in screen_text(app), pilot)
            assert _span(app, "71.44") == app.palette["dim"].color.name


def _even(app):
    return " ".join(screen_text(app).split())
