"""The dashboard on a scripted gateway, with a clock that stands still: for tests, snapshots and pictures."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from textual.pilot import Pilot

from tests.tui import seeded
from tests.tui.fake_gateway import TOKEN, FakeGateway
from tui import clock
from tui.app import OptyxApp
from tui.calls import Client
from tui.link import Link
from tui.location import Location
from tui.widgets.panel import Painted

WIDE, SMALL = (120, 36), (80, 24)


@asynccontextmanager
async def stage(
    gateway: FakeGateway, size: tuple[int, int] = WIDE, place: Location | None = None, **options: Any
) -> AsyncIterator[tuple[OptyxApp, Pilot[int]]]:
    clock.freeze(seeded.NOW.timestamp())
    app = OptyxApp(lambda: Client(gateway.url, TOKEN), context="prod", url=gateway.url, start=place, **options)
    app.link.answered = lambda _: Link.answered(app.link, 5.0)  # type: ignore[method-assign]  # the same in every picture
    try:
        async with app.run_test(size=size) as pilot:
            await settled(app, pilot)
            yield app, pilot
        await until(lambda: not any(thread.name.startswith(("tail", "gateway")) for thread in threading.enumerate()))
    finally:
        clock.freeze(None)


async def settled(app: OptyxApp, pilot: Pilot[int]) -> None:
    """Until everything that was asked has been answered and drawn."""
    await until(lambda: app.view is not None and not app.is_moving and not app.view.waiting, pilot)
    await pilot.pause()
    await pilot.pause()


async def until(claim: Callable[[], Any], pilot: Pilot[int] | None = None, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not claim():
        assert time.monotonic() < deadline, "did not come true in time"
        await (pilot.pause(0.02) if pilot is not None else asyncio.sleep(0.02))


def screen_text(app: OptyxApp) -> str:
    """What stands on the screen, line by line, out of the compositor: what a user reads."""
    width, height = app.size
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip)[:width].rstrip() for strip in strips[:height])


def painted_text(widget: Painted) -> str:
    return "\n".join(
        "".join(text for text, _ in widget.row(y, widget.size.width)[0]).rstrip() for y in range(widget.size.height)
    )
