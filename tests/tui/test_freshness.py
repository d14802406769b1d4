"""What comes bit by bit is shown bit by bit; what is old, sampled or not all there says so."""

from __future__ import annotations

import threading

import pytest

from gateway.version import VERSION
from tests.tui.fake_gateway import FakeGateway
from tests.tui.stage import WIDE, screen_text, stage, until
from tui.calls import Client
from tui.location import Location
from tui.screens.view import ASKED


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


async def test_a_gateway_without_its_database_is_not_called_live(gateway):
    async with stage(gateway, WIDE, Location("logs")) as (app, pilot):
        gateway.fail_with = (503, "database_unavailable", "The database can't be reached.")
        app.link.last_answer -= 5
        app.action_refresh_now()
        await until(lambda: app.link.state == "stale", pilot)
        app.pulse.beat()
        await until(lambda: "its database does not" in screen_text(app), pilot)
        text = screen_text(app)
        assert "◌ STALE 5s" in text.split("\n")[0]
        assert "LIVE" not in text
        assert "◌ RECONNECTING" in text
        gateway.fail_with, app.link.next_try = None, 0.0
        app.pulse.beat()
        await until(lambda: "LIVE" in screen_text(app) and "FOLLOWING" in screen_text(app), pilot)


async def test_a_gateway_that_stands_still_is_asked_and_then_called_stale(gateway):
    async with stage(gateway, WIDE, Location("logs")) as (app, pilot):
        app.link.last_answer -= 3
        app.pulse.beat()
        assert app.link.greeted_at is None, "nobody asked anything"
        with gateway.lock:
            app.view.ask("count", lambda client: client.log_count(filter=""))
            app.pulse.beat()
            assert app.link.greeted_at is not None
            assert app.link.said()[0].startswith("● LIVE")
            app.link.greeted_at -= 3
            app.pulse.beat()
            await until(lambda: "◌ STALE 3s" in screen_text(app) and "◌ RECONNECTING" in screen_text(app), pilot)
        await until(lambda: "● LIVE" in screen_text(app) and "FOLLOWING" in screen_text(app), pilot)


async def test_after_a_sleep_every_connection_is_made_anew_and_what_is_shown_has_its_true_age(gateway):
    async with stage(gateway, WIDE, Location("logs")) as (app, pilot):
        gateway.burst = 3
        await until(lambda: app.view.tail._last_id and len(app.view.calls.ring) == 303, pilot)
        before, client = app.view.tail._stream, app.link.client()
        gateway.tail_open.clear()
        app.pulse._last_beat = app.pulse._last_beat[0] - 600, app.pulse._last_beat[1]
        with gateway.lock:
            app.pulse.beat()
            await until(lambda: "STALE 10" in screen_text(app) or "STALE 60" in screen_text(app), pilot)
        assert app.link.client() is not client
        await until(gateway.tail_open.is_set, pilot)
        await until(lambda: app.view.tail.connected and app.view.tail._stream is not before, pilot)
        gateway.burst = 2
        await until(lambda: len(app.view.calls.ring) == 305, pilot)
        await until(lambda: "STALE" not in screen_text(app), pilot)


async def test_signed_out_goes_on_with_the_credentials_of_a_new_login(gateway):
    def sign_in():
        return lambda: Client(gateway.url, "of the new login")

    async with stage(gateway, WIDE, Location("logs"), sign_in=sign_in) as (app, pilot):
        gateway.token = "of the new login"
        gateway.cut.set()
        app.action_refresh_now()
        await until(lambda: "SIGNED OUT" in screen_text(app) and "◌ RECONNECTING" in screen_text(app), pilot)
        assert "^r then goes on here" in screen_text(app)
        app.view.change("nothing", lambda client: None, ASKED)
        await until(lambda: any("Held: signed out. Not sent." in one[1] for one in app.notices.said), pilot)
        gateway.cut.clear()
        gateway.tail_open.clear()
        await pilot.press("ctrl+r")
        await until(lambda: "● LIVE" in screen_text(app).split("\n")[0], pilot)
        await until(gateway.tail_open.is_set, pilot)


async def test_a_gateway_of_another_version_is_named_also_when_it_comes_back_as_one(gateway):
    async with stage(gateway, WIDE, Location("projects")) as (app, pilot):
        assert "▲ gateway" not in screen_text(app)
        gateway.fail_with = (503, "database_unavailable", "The database can't be reached.")
        app.action_refresh_now()
        await until(lambda: app.was_away, pilot)
        gateway.fail_with, gateway.version = None, "9.9.1"
        app.action_refresh_now()
        await until(lambda: f"▲ gateway 9.9.1, client {VERSION}" in screen_text(app).split("\n")[0], pilot)


async def test_a_tail_whose_gateway_can_t_read_on_says_how_far_behind_it_is(gateway):
    gateway.behind_s = 18.4
    async with stage(gateway, (80, 24), Location("logs")) as (app, pilot):
        await until(lambda: "◌ BEHIND 18 s" in screen_text(app), pilot)


@pytest.mark.parametrize("size", [WIDE, (80, 24)])
async def test_a_gap_stands_in_the_tail_in_full(gateway, size):
    gateway.gap = b'{"missed":1204,"since":"2026-11-10T12:03:11.2Z","until":"2026-11-10T12:03:14.9Z"}'
    async with stage(gateway, size, Location("logs")) as (app, pilot):
        await until(lambda: "── gap: 1,204 calls 12:03:11–12:03:14 · b backfill ──" in screen_text(app), pilot)
        assert app.view.tail.lost == 1204


async def test_a_gap_that_nobody_can_count_is_shown_too(gateway):
    gateway.gap = b'{"missed":0,"after":"9.1","before":"5.0","since":"","until":""}'
    async with stage(gateway, (80, 24), Location("logs")) as (app, pilot):
        await until(lambda: "── gap: the database was restored from a backup" in screen_text(app), pilot)


async def test_a_sampled_tail_says_how_many_calls_it_shows(gateway):
    gateway.one_in = 4
    async with stage(gateway, (80, 24), Location("logs")) as (app, pilot):
        await until(lambda: "▲ SAMPLED 1 in 4" in screen_text(app), pilot)


async def test_a_search_that_ran_out_of_time_says_how_far_it_looked_and_goes_on(gateway):
    gateway.scanned_to = "2026-11-09T03:12:00Z"
    async with stage(gateway, WIDE, Location("logs", filter="err:nothing")) as (app, pilot):
        await until(lambda: "searched back to 2026-11-09 03:12" in screen_text(app), pilot)
        assert "No calls match err:nothing as far as was looked" in screen_text(app)
        app.filter_by("")
        await until(lambda: app.view.shown_filter == "" and app.view.older == "1" and not app.view.waiting, pilot)
        await pilot.press("b")
        await until(lambda: len(app.view.calls.ring) == 499, pilot)
        await until(lambda: "searched back" not in screen_text(app), pilot)


async def test_going_above_the_first_call_brings_older_ones_and_moves_nothing(gateway):
    async with stage(gateway, WIDE, Location("logs")) as (app, pilot):
        view = app.view.calls
        assert len(view.ring) == 300
        assert "b older" in screen_text(app)
        await pilot.press("g")
        first = view.current
        await pilot.press("k")
        await until(lambda: len(view.ring) == 500, pilot)
        assert view.current == first
        assert view.ring[view.top] == first, "what was on screen stays there"
        await pilot.press("k")
        assert view.current != first
        await pilot.press("g", "k")
        await until(lambda: app.view.older is None, pilot)
        await pilot.press("b")
        await until(lambda: any("nothing older" in one[1] for one in app.notices.said), pilot)


async def test_an_overview_made_of_a_sample_says_so(gateway, monkeypatch):
    async with stage(gateway, WIDE, Location("overview")) as (app, pilot):
        assert "SAMPLED" not in screen_text(app)
        app.view.data.rates.looked_at = 1200
        monkeypatch.setattr(type(app.view), "load", lambda view: None)
        app.redraw_chrome()
        await pilot.pause()
        assert "▲ SAMPLED 1,200 of" in screen_text(app)


def _even(app):
    return " ".join(screen_text(app).split())
