"""At rest the dashboard does next to nothing: what is the same is not drawn, who does not look is not served, leaving takes no time."""

from __future__ import annotations

import asyncio
import time

from textual import events
from textual.widgets import TextArea

from tests.tui.fake_gateway import FakeGateway
from tests.tui.stage import WIDE, settled, stage, until
from tests.tui.terminal import LAUNCH, Terminal
from tests.tui.test_terminal import environment
from tui.location import Location
from tui.screens.live_calls import LiveCalls
from tui.screens.playground import Playground
from tui.widgets.panel import Painted


async def test_an_answer_that_says_the_same_draws_no_line(monkeypatch):
    drawn = []
    render_line = Painted.render_line
    monkeypatch.setattr(Painted, "render_line", lambda self, y: drawn.append((self.id, y)) or render_line(self, y))
    with FakeGateway() as fake:
        async with stage(fake, WIDE, Location("overview")) as (app, pilot):
            asked = len(fake.seen)
            drawn.clear()
            app.view.load()
            await settled(app, pilot)
            assert len(fake.seen) > asked
            assert drawn == []
            fake.is_busy = True
            app.view.load()
            await settled(app, pilot)
            assert ("dashboard", 1) in drawn
            assert ("dashboard", 0) not in drawn, "the frame of the tiles stays"


async def test_little_is_asked_while_another_window_has_the_focus():
    with FakeGateway() as fake:
        async with stage(fake, WIDE, Location("overview")) as (app, pilot):
            app.post_message(events.AppBlur())
            await until(lambda: not app.pulse.is_watched, pilot)
            await settled(app, pilot)
            asked = len(fake.seen)
            await asyncio.sleep(2.2)
            assert len(fake.seen) == asked
            app.post_message(events.AppFocus())
            await until(lambda: len(fake.seen) > asked, pilot, 1.0)


async def test_a_playground_at_rest_and_a_tail_behind_it_do_not_tick(monkeypatch):
    ticks = []
    paint, flush, draw = Playground._paint, LiveCalls.flush, TextArea.render_line
    monkeypatch.setattr(Playground, "_paint", lambda self: ticks.append("paint") or paint(self))
    monkeypatch.setattr(LiveCalls, "flush", lambda self: ticks.append("flush") or flush(self))
    monkeypatch.setattr(TextArea, "render_line", lambda self, y: ticks.append("draw") or draw(self, y))
    with FakeGateway() as fake:
        async with stage(fake, WIDE, Location("logs")) as (app, pilot):
            await until(lambda: ticks.count("flush") > 3, pilot)
            app.go(Location("playground"))
            await until(lambda: app.view.is_mounted and app.view.form.items, pilot)
            await pilot.press(*"hello", "ctrl+r")
            await until(lambda: "paint" in ticks and app.view.runs[0].record is not None, pilot)
            await pilot.press("shift+tab")
            await settled(app, pilot)
            ticks.clear()
            await asyncio.sleep(2.2)
            assert ticks.count("flush") <= 3, "the tail is looked after once a second"
            assert {*ticks} <= {"flush"}
            app.go(Location("logs"))
            await until(lambda: ticks.count("flush") > 6, pilot)


def test_leaving_does_not_wait_for_a_key(tmp_path):
    """The thread that reads keys sleeps until there is one: it is woken."""
    with FakeGateway() as fake, Terminal(LAUNCH, env=environment(fake, tmp_path)) as terminal:
        terminal.wait_for("acme")
        terminal.wait_for_silence(0.5)
        begun = time.monotonic()
        terminal.send(b"q")
        assert terminal.process.wait(10) == 0
        assert time.monotonic() - begun < 3, "its sleep is 5 s long"
