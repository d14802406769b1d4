"""Lists and the tail under the hand: sorted, narrowed, resized, written to a file, standing still while one looks."""

from __future__ import annotations

from tests.tui.flows.acts import KEYS, said
from tests.tui.stage import WIDE, screen_text, stage, until
from tui.location import Location
from tui.widgets.panel import Painted


async def test_following_stops_when_one_moves_and_nothing_moves_then(gateway):
    gateway.rate = 200
    async with stage(gateway, WIDE, Location("logs")) as (app, pilot):
        await until(lambda: app.view.calls.ring.added > 320, pilot)
        await pilot.press("up")
        await pilot.pause()
        rows = screen_text(app).split("\n")[5:18]
        await until(lambda: app.view.calls.waiting > 20, pilot)
        assert screen_text(app).split("\n")[5:18] == rows
        assert "PAUSED +" in screen_text(app)
        await pilot.press("G")
        await until(lambda: "FOLLOWING" in screen_text(app), pilot)


async def test_times_can_be_absolute(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        assert "3 s ago" in screen_text(app)
        await pilot.press("T")
        await pilot.pause()
        assert "12:04:28" in screen_text(app)
        await pilot.press("T")


async def test_columns_can_be_left_out(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        assert "PUBLIC ID" in screen_text(app)
        await pilot.press("C", "down", "space", "escape")
        await pilot.pause()
        assert "PUBLIC ID" not in screen_text(app)


async def test_a_list_is_written_once_and_never_over_a_file(gateway, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("E", "ctrl+s")
        await said(app, pilot, "Wrote 7 records")
        assert (tmp_path / "keys.csv").read_text().startswith("id,name,")
        await pilot.press("E", "ctrl+s")
        await said(app, pilot, "exists already")


async def test_a_resize_keeps_the_cursor_and_redraws(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("j", "j")
        for size in ((80, 24), (52, 14), (160, 50), (60, 16), (120, 36)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        assert app.view.rows.current.name == "nb-lena"
        assert all(widget.size.width <= 120 for widget in app.query(Painted))


async def test_s_sorts_by_the_next_column_in_sight_and_S_the_other_way_round(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        rows = app.view.rows
        names = [one.name for one in rows.rows]
        await pilot.press("s")
        assert [one.name for one in rows.rows] == sorted(names)
        await pilot.press("S")
        assert [one.name for one in rows.rows] == sorted(names, reverse=True)
        await pilot.press("s")
        assert rows.columns[rows.sort_column].title == "PUBLIC ID"
    async with stage(gateway, WIDE, Location("projects")) as (app, pilot):
        await pilot.press("S", "S")
        assert [one.name for one in app.view.rows.rows] == sorted(
            (one.name for one in app.view.rows.rows), reverse=True
        )
        await pilot.press("s")
        await until(lambda: app.history.here.screen == "settings", pilot)
