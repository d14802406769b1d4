"""Lists as the user wants them: sorted by any column, all columns or those that fit, long lines cut or whole."""

from __future__ import annotations

import stat

import pytest

from tests.tui.fake_gateway import FakeGateway
from tests.tui.flows.acts import arrive_together, said
from tests.tui.stage import SMALL, WIDE, painted_text, screen_text, settled, stage, until
from tui.chosen import leave_out, left_out
from tui.location import Location
from tui.screens.key_columns import COLUMNS as KEY_COLUMNS
from tui.widgets.line import folded, width_of


@pytest.fixture
def gateway():
    with FakeGateway() as fake:
        yield fake


def head(app):
    return next(line for line in screen_text(app).split("\n") if "NAME" in line or "TIME" in line)


async def test_wide_shows_every_column_and_moves_across_them(gateway):
    async with stage(gateway, SMALL, Location("keys", project="acme")) as (app, pilot):
        assert "MADE BY" not in head(app)
        assert "PUBLIC ID" in head(app)
        await pilot.press("v")
        assert "PUBLIC ID" in head(app)
        for _ in range(8):
            await pilot.press("right")
        await settled(app, pilot)
        assert "MADE BY" in head(app)
        assert "PUBLIC ID" not in head(app)
        assert "web-prod" in screen_text(app), "the first column stays"
        await pilot.press(*["left"] * 8, "v")
        assert "MADE BY" not in head(app)


async def test_the_tail_sorts_by_a_chosen_column_and_follows_again(gateway):
    async with stage(gateway, WIDE, Location("logs")) as (app, pilot):
        view = app.view.calls
        titles = [column.title for column in view.columns]
        await pilot.press("C", *["down"] * titles.index("TOTAL"), "s", "escape")
        await until(lambda: "TOTAL▾" in head(app), pilot)
        shown = [view.ring[number].total_ms or 0 for number in range(view.ring.first, view.ring.added)]
        assert shown == sorted(shown, reverse=True)
        assert view.cursor == 0
        assert "SORTED" in screen_text(app)
        before = len(view.ring)
        gateway.rate = 200
        await until(lambda: view.waiting > 5, pilot)
        assert len(view.ring) == before, "what comes meanwhile does not move the rows"
        gateway.rate = 0
        await pilot.press("G")
        await until(lambda: "FOLLOWING" in screen_text(app), pilot)
        assert len(view.ring) > before
        assert "TOTAL▾" not in head(app)


async def test_s_goes_through_the_columns_of_the_tail_too(gateway):
    async with stage(gateway, WIDE, Location("logs")) as (app, pilot):
        await pilot.press("s")
        assert "TIME▴" in head(app)
        await pilot.press("s")
        assert "ST▴" in head(app)
        await pilot.press("S")
        assert "ST▾" in head(app)


async def test_w_wraps_the_long_lines_of_a_detail(gateway):
    async with stage(gateway, WIDE, Location("logs")) as (app, pilot):
        await pilot.press("up", "up")
        await until(lambda: app.view.pane.detail is not None and not app.view.waiting, pilot)
        pane = app.view.query_one("#pane")
        long_line = [("x" * 150, ""), (" the end", "warn")]
        pane.set_lines([long_line])
        assert "the end" not in painted_text(pane)
        await pilot.press("w")
        assert pane.wraps
        pane.set_lines([long_line])
        assert "the end" in painted_text(pane)
        assert all(width_of(line) <= pane.inner_width for line in pane.lines)


async def test_a_call_leads_to_those_of_its_user_and_its_tags(gateway):
    async with stage(gateway, WIDE, Location("detail", object="req_00000000000c")) as (app, pilot):
        call = app.view.call
        assert call.user == "u-17"
        await pilot.press("s")
        await until(lambda: "tag:feature=search" in screen_text(app), pilot)
        assert "1 its trace" in screen_text(app)
        await pilot.press("2")
        await until(lambda: app.history.here.screen == "logs" and app.view.shown_filter == "user:u-17", pilot)
        await settled(app, pilot)
        assert 0 < len(app.view.calls.ring) < 300
        await pilot.press("minus")
        await until(lambda: app.history.here.screen == "detail", pilot)


async def test_a_call_that_comes_to_the_playground_before_its_form_is_taken_over_all_the_same(gateway):
    async with stage(gateway, WIDE, Location("detail", object="req_00000000000c")) as (app, pilot):
        call = app.view.call
        app.go(Location("playground"))
        await until(lambda: app.view.is_mounted and app.view.form.items, pilot)
        await settled(app, pilot)
        app.view.form.set_items([])
        app.view.arrived_replay(call)
        await pilot.pause()
        app.view.load()
        await until(lambda: app.view.form.items, pilot)
        assert app.view.form.value("model") == (call.requested_model or call.tier)


async def test_the_rate_starts_anew_with_another_filter(gateway):
    gateway.rate = 100
    async with stage(gateway, WIDE, Location("logs")) as (app, pilot):
        await until(lambda: app.view.rate > 0, pilot)
        app.view.restart("status:200")
        assert app.view.rate == 0


def test_folding_keeps_every_letter_and_style_and_never_overflows():
    line = [("日本語 " * 9, "good"), ("abc" * 20, "bad"), ("", ""), ("end", "warn")]
    for width in (2, 3, 7, 20, 500):
        rows = folded(line, width)
        assert all(width_of(row) <= width for row in rows)
        letters = "".join(text for row in rows for text, _ in row).replace(" ", "")
        assert letters == "日本語" * 9 + "abc" * 20 + "end"
        assert rows[-1][-1][1] == "warn"


async def test_columns_left_out_stay_so_in_the_next_session_and_in_their_list_alone(gateway, tmp_path):
    async with stage(gateway, WIDE, Location("keys", project="acme")) as (app, pilot):
        assert "EXPIRES" in head(app)
        at = [column.title for column in app.view.rows.columns].index("EXPIRES")
        await pilot.press("C", *["down"] * at, "space", "escape")
        await until(lambda: "EXPIRES" not in head(app), pilot)
    [file] = (tmp_path / "config" / "optyx").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    async with stage(gateway, WIDE, Location("keys", project="acme")) as (app, pilot):
        assert "EXPIRES" not in head(app)
        app.go(Location("projects"))
        await settled(app, pilot)
        assert not app.view.query_one("#project-rows").hidden
        app.go(Location("keys", project="acme"))
        await pilot.press("C", *["down"] * at, "space", "escape")
        await until(lambda: "EXPIRES" in head(app), pilot)
    assert left_out("key-rows") == set()


async def test_the_last_column_stays_whatever_was_chosen(gateway):
    chosen = {column.title for column in KEY_COLUMNS}
    leave_out("key-rows", chosen)
    async with stage(gateway, WIDE, Location("keys", project="acme")) as (app, pilot):
        assert "web-prod" in screen_text(app)
        await pilot.press("C", "space", "down", "space", "up", "space")
        assert app.view.rows.hidden == chosen - {"PUBLIC ID"}


@pytest.mark.parametrize("text", ["", "[]", '{"key-rows": 7}', "\x00"])
async def test_a_file_of_columns_that_can_not_be_read_leaves_none_out(gateway, tmp_path, text):
    (tmp_path / "config" / "optyx").mkdir(parents=True)
    (tmp_path / "config" / "optyx" / "columns.json").write_text(text)
    async with stage(gateway, WIDE, Location("keys", project="acme")) as (app, _):
        assert "NAME" in head(app)


async def test_a_folder_that_can_not_be_written_is_said_and_the_choice_holds_here(gateway, tmp_path):
    (tmp_path / "config").write_text("in the way")
    async with stage(gateway, WIDE, Location("keys", project="acme")) as (app, pilot):
        await pilot.press("C", "down", "space", "escape")
        await said(app, pilot, "The choice holds for this session alone")
        assert "PUBLIC ID" not in head(app)
        arrive_together(app, ":save mine\r")
        await said(app, pilot, "The view was not saved")
