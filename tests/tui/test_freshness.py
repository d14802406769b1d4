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


def _even(app):
    return " ".join(screen_text(app).split())
