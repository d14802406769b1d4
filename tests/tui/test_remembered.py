"""What the overview showed last is there at the next start: dimmed, with its age, until the gateway answers."""

from __future__ import annotations

import os
import stat
import time

from tests.tui import seeded_overviews
from tests.tui.fake_gateway import TOKEN, FakeGateway
from tests.tui.terminal import LAUNCH, Terminal
from tests.tui.test_terminal import environment
from tui.remembered import Remembered


def test_a_start_with_a_silent_gateway_shows_the_last_overview_and_its_age(tmp_path):
    with FakeGateway() as fake:
        env = environment(fake, tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"))
        with Terminal(LAUNCH, env=env) as terminal:
            terminal.wait_for("support-bot")
            assert "STALE" not in terminal.words
            terminal.send(b"q")
            assert terminal.process.wait(10) == 0
        [file] = (tmp_path / "cache" / "optyx").iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert TOKEN not in file.read_text()
        with fake.lock, Terminal(LAUNCH, env=env) as terminal:  # every answer waits for the lock
            terminal.wait_for("support-bot")
            assert "STALE" in terminal.words
        with Terminal(LAUNCH, env=env) as terminal:
            terminal.wait_for("LIVE")
            terminal.wait_for("support-bot")


def test_what_is_kept_comes_back_without_what_clients_said(tmp_path):
    memory = Remembered("http://127.0.0.1:4000", tmp_path)
    assert memory.recall() is None
    told = seeded_overviews.overview("15m")
    assert any(row.tags for row in told.latest_errors)
    memory.keep(told)
    found = memory.recall()
    assert found is not None
    assert (found[0].attention, found[0].rates) == (told.attention, told.rates)
    assert not any(row.tags or row.user for row in found[0].latest_errors)
    assert 0 <= found[1] < 60


def test_another_gateways_an_old_and_a_broken_one_are_not_shown(tmp_path):
    memory = Remembered("http://127.0.0.1:4000", tmp_path)
    memory.keep(seeded_overviews.overview("15m"))
    assert Remembered("http://127.0.0.1:4001", tmp_path).recall() is None
    os.utime(memory.path, (time.time() - 8 * 86_400,) * 2)
    assert memory.recall() is None
    memory.path.write_bytes(b'{"providers": 7}')
    assert memory.recall() is None


def test_a_place_that_can_not_be_written_is_no_mistake(tmp_path):
    (tmp_path / "file").write_text("in the way")
    memory = Remembered("http://127.0.0.1:4000", tmp_path / "file" / "below")
    memory.keep(seeded_overviews.overview("15m"))
    assert memory.recall() is None
