"""Every screen at both sizes, on a full gateway, an empty one, one that refuses and one that is gone."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from tests.tui.fake_gateway import FakeGateway
from tests.tui.stage import SMALL, WIDE, screen_text, settled, stage, until
from tui.location import Location

PLACES = {
    "overview": (Location("overview"), ["128.4", "openai", "circuit open"]),
    "logs": (Location("logs"), ["FOLLOWING", "gpt-6.1-sol", "500"]),
    "detail": (Location("detail", object="req_000000000004"), ["req_000000000004", "gemini-4-argon", "2,104"]),
    "projects": (Location("projects"), ["acme", "support-bot", "$98.20"]),
    "keys": (Location("keys", project="acme"), ["ci-deploy", "expired", "in 2d"]),
    "settings": (Location("settings", project="acme"), ["Default tier", "gpt-6-luna", "Failover"]),
    "providers": (Location("providers"), ["groq", "open", "probing"]),
    "limits": (Location("limits"), ["acme", "87 %", "gone"]),
    "playground": (Location("playground"), ["Message", "Model or tier", "Meter"]),
    "audit": (Location("audit"), ["lena", "settings.update", "BEFORE"]),
    "models": (Location("models"), ["gemini-embedding-001", "$2.50"]),
    "usage": (Location("usage"), ["research", "rows ad"]),
}


@pytest.fixture(scope="module")
def gateway():
    with FakeGateway() as fake:
        yield fake


@pytest.mark.parametrize("size", [WIDE, SMALL], ids=["120x36", "80x24"])
@pytest.mark.parametrize("name", PLACES)
async def test_a_screen_shows_its_data_and_fits(gateway, name, size):
    place, words = PLACES[name]
    async with stage(gateway, size, place) as (app, _):
        text = screen_text(app)
        for word in words:
            if size == WIDE or word not in ("circuit open", "Meter", "2,104", "Failover"):
                assert word in text, text
        lines = text.split("\n")
        assert len(lines) == size[1]
        assert all(cell_len(line) <= size[0] for line in lines)
        assert "LIVE" in lines[0]
        assert "q quit" in lines[-1] or "esc leave the field" in lines[-1]
        assert all(not line.rstrip().endswith("─┐ ") for line in lines)


@pytest.mark.parametrize("name", [name for name in PLACES if name not in ("detail", "settings", "models")])
async def test_an_empty_gateway_says_what_to_do_next(name):
    with FakeGateway(empty=True) as fake:
        async with stage(fake, WIDE, Location(name)) as (app, _):
            text = screen_text(app)
            words = {
                "overview": "Nothing needs attention",
                "logs": "No calls yet",
                "projects": "No projects yet",
                "keys": "No keys yet",
                "providers": "No providers yet",
                "limits": "No budgets yet",
                "playground": "Write a message",
                "audit": "Nothing was changed yet",
                "usage": "No calls in this time",
            }
            assert words[name] in text, text


@pytest.mark.parametrize("name", PLACES)
async def test_a_refusal_is_said_with_its_code_and_never_a_traceback(name):
    with FakeGateway() as fake:
        fake.fail_with = (403, "forbidden", "Your role may not see this.")
        async with stage(fake, WIDE, PLACES[name][0]) as (app, pilot):
            await until(lambda: app.notices.said or "forbidden" in screen_text(app), pilot)
            text = screen_text(app) + str(app.notices.said)
            assert "Your role may not see this." in text
            assert "forbidden" in text
            assert "Traceback" not in text


async def test_a_gateway_that_goes_away_is_named_and_found_again():
    with FakeGateway() as fake:
        async with stage(fake, WIDE, Location("projects")) as (app, pilot):
            port = fake.server.server_port
            fake.__exit__()
            app.action_refresh_now()
            await until(lambda: app.link.state == "offline", pilot)
            await pilot.pause()
            text = screen_text(app)
            assert "OFFLINE" in text
            assert "Lost the gateway" in text
            assert "acme" in text, "what was known stays on screen"
            with FakeGateway(port=port):
                app.link.next_try = 0.0
                await until(lambda: app.link.state == "live", pilot)


async def test_a_wrong_token_is_signed_out_and_not_hammered():
    with FakeGateway() as fake:
        fake.fail_with = (401, "invalid_admin_token", "This admin token is not known here.")
        async with stage(fake, WIDE) as (app, pilot):
            await until(lambda: app.link.state == "signed_out", pilot)
            assert "SIGNED OUT" in screen_text(app)
            asked = len(fake.seen)
            for _ in range(5):
                app.pulse.beat()
                await pilot.pause()
            assert len(fake.seen) <= asked + 1


@pytest.mark.parametrize(
    "text", ["\x1b[2Jboo", "[bold red]x[/]", "a\u202eb", "日本語のプロジェクト名です", "x" * 400, "👩‍👩‍👧 family"]
)
async def test_hostile_text_neither_crashes_nor_reaches_the_terminal(text):
    with FakeGateway() as fake:
        fake.hostile = text
        for name in ("projects", "logs", "overview", "limits"):
            async with stage(fake, WIDE, Location(name)) as (app, pilot):
                await settled(app, pilot)
                shown = screen_text(app)
                assert "\x1b" not in shown
                assert "\u202e" not in shown
                assert all(cell_len(line) <= 120 for line in shown.split("\n"))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(60, 16), (100, 30), (79, 20), (200, 60), (119, 29)])
@pytest.mark.parametrize("name", ["overview", "logs", "keys", "settings", "playground"])
async def test_other_sizes_are_fine_too(gateway, name, size):
    async with stage(gateway, size, PLACES[name][0]) as (app, _):
        assert all(cell_len(line) <= size[0] for line in screen_text(app).split("\n"))


@pytest.mark.parametrize("theme", ["mono", "ansi", "optyx-light", "contrast", "blue-orange", "cyan-red"])
async def test_every_theme_draws(gateway, theme):
    async with stage(gateway, WIDE, theme=theme) as (app, _):
        assert "Requests/s" in screen_text(app)
