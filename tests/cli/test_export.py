"""`optyx logs export`: every call once and in order, also after a break; Parquet with columns of their types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow.parquet
import pytest

from gateway.admin.schema.logs import LogPage
from tests.admin.rows import final, write
from tests.cli.line import PROGRAM, optyx, pty_process
from tests.tui import fake_gateway, seeded_calls
from tests.tui.terminal import Terminal
from tui import exporting, parquet


@pytest.fixture
def breaking(fake, monkeypatch):
    """A log of 57 calls in pages of ten; `breaking(n)`: it answers n of them and then no more."""
    rows = [seeded_calls.call(number, datetime(2026, 11, 24, 12, tzinfo=UTC)) for number in range(57)]
    left = [1000]

    def page(h):
        if not left[0]:
            h.answer(500, {"error": {"message": "broken", "type": "server_error", "code": "internal_error"}})
            return None
        left[0] -= 1
        first = int(h.query.get("cursor") or 0)
        following = str(first + 10) if first + 10 < len(rows) else None
        return LogPage(data=rows[first : first + 10], next=following)

    monkeypatch.setattr(exporting, "PAGE", 10)
    monkeypatch.setattr(fake_gateway, "ROUTES", [("GET", "/admin/v1/logs", page), *fake_gateway.ROUTES])

    def break_after(pages: int) -> list[str]:
        left[0] = pages
        return [row.call_id for row in rows]

    return break_after


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_an_export_goes_on_where_it_broke_off(breaking, tmp_path, form):
    path = tmp_path / "calls"
    words = ("logs", "export", "status:2xx", "--format", form, "--out", str(path))
    ids = breaking(3)
    broken = optyx(*words)
    assert (broken.status, "broken" in broken.err) == (1, True)
    with path.open("a") as file:
        file.write('{"call_id": "half a li')  # what the disk had room for
    breaking(1000)
    assert optyx(*words).status == 1
    other = optyx("logs", "export", "status:5xx", "--format", form, "--out", str(path), "--resume")
    assert (other.status, "another filter or format" in other.err) == (2, True)
    gone_on = optyx(*words, "--resume")
    assert (gone_on.status, "27 calls exported" in gone_on.err) == (0, True)
    heading, *lines = path.read_text().splitlines() if form == "csv" else ["", *path.read_text().splitlines()]
    at = heading.split(",").index("call_id") if heading else 0
    assert [line.split(",")[at] if heading else json.loads(line)["call_id"] for line in lines] == ids
    assert optyx(*words, "--resume").status == 5
    assert {one.name for one in tmp_path.iterdir() if one.is_file()} == {"calls"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_went_away_is_not_gone_on_with(breaking, tmp_path):
    words = ("logs", "export", "--out", str(tmp_path / "calls"))
    breaking(1)
    assert optyx(*words).status == 1
    (tmp_path / "calls").unlink()
    gone = optyx(*words, "--resume")
    assert (gone.status, "not there any more" in gone.err) == (5, True)
    (tmp_path / "calls.cursor").write_text("17")
    assert optyx(*words, "--resume").status == 2
    assert optyx("logs", "export", "--resume").status == 2


async def test_parquet_has_the_types_and_values_of_the_log(live, gateway, tmp_path):
    path = str(tmp_path / "calls.parquet")
    assert (await live("logs", "export", "--format", "parquet", "--out", path)).status == 0
    assert pyarrow.parquet.read_table(path).num_rows == 0
    rich = final(
        user="=HYPERLINK(1)",
        tags=["env=prod", "a"],
        cost_nusd=1_234_567_890_123,
        ttft_ms=0.25,
        details={"traceparent": f"00-{'a' * 32}-b"},
    )
    await write(
        gateway.db, rich, final(cost_nusd=None, status=502, error_code="upstream_error", attempts=rich.attempts * 2)
    )
    path = str(tmp_path / "two.parquet")
    ran = await live("logs", "export", "--format", "parquet", "--out", path)
    assert (ran.status, ran.out, "2 calls exported" in ran.err) == (0, "", True)
    told = (await live("logs", "list", "--asc", "-o", "json")).json
    table = pyarrow.parquet.read_table(path)
    rows = table.to_pylist()
    for row, same in zip(rows, told, strict=True):
        assert row.pop("created_at") == datetime.fromisoformat(same.pop("created_at"))
        cost, same_cost = row.pop("cost_usd"), same.pop("cost_usd")
        assert cost == (None if same_cost is None else Decimal(same_cost))
        assert row == {name: _plain(same[name]) for name in row}
    assert rows[0]["attempts"][0]["provider"] == "openai"
    assert str(table.schema.field("created_at").type) == "timestamp[us, tz=UTC]"
    assert str(table.schema.field("cost_nusd").type) == "int64"
    assert os.stat(path).st_mode & 0o777 == 0o600


def _plain(value):
    """The dollars that the list adds to attempts are no columns."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return {name: one for name, one in value.items() if name != "cost_usd"} if isinstance(value, dict) else value


def test_parquet_is_written_in_row_groups_and_whole_or_not_at_all(breaking, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "GROUP", 2)
    path = tmp_path / "calls.parquet"
    words = ("logs", "export", "--format", "parquet", "--out", str(path))
    ids = breaking(3)
    assert optyx(*words).status == 1
    assert not path.exists()
    breaking(1000)
    resumed = optyx(*words, "--resume")
    assert (resumed.status, "ndjson and csv" in resumed.err) == (2, True)
    assert optyx(*words).status == 0
    file = pyarrow.parquet.ParquetFile(path)
    assert [file.metadata.row_group(at).num_rows for at in range(file.metadata.num_row_groups)] == [20, 20, 17]
    assert file.read().column("call_id").to_pylist() == ids
    again = optyx(*words)
    assert (again.status, "exists already" in again.err) == (1, True)


def test_parquet_goes_into_a_pipe_and_onto_no_terminal(fake):
    done = subprocess.run([*PROGRAM, "logs", "export", "--format", "parquet"], capture_output=True, check=True)
    assert pyarrow.parquet.read_table(pyarrow.BufferReader(done.stdout)).num_rows == len(fake.history)
    terminal = pty_process("logs", "export", "--format", "parquet")
    assert (terminal.status, "nothing for a terminal" in terminal.out) == (2, True)


def test_without_pyarrow_it_says_how_to_have_it(fake, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    ran = optyx("logs", "export", "--format", "parquet", "--out", str(tmp_path / "calls"), "-o", "json")
    assert (ran.status, ran.fault["code"]) == (2, "needs_pyarrow")
    assert "optyx[parquet]" in ran.fault["hint"]
    assert not (tmp_path / "calls").exists()


def test_an_answer_of_another_shape_is_a_clear_error(fake, monkeypatch, tmp_path):
    odd = [("GET", "/admin/v1/logs", lambda h: {"data": [{"status": "many"}], "next": None})]
    monkeypatch.setattr(fake_gateway, "ROUTES", [*odd, *fake_gateway.ROUTES])
    ran = optyx("logs", "export", "--format", "parquet", "--out", str(tmp_path / "calls"))
    assert (ran.status, "shape this version does not know" in ran.err) == (1, True)


def test_a_long_export_says_how_far_it_is_on_a_terminal_alone(fake, tmp_path):
    fake.history[:] = [seeded_calls.call(number, datetime(2026, 11, 24, 12, tzinfo=UTC)) for number in range(3_500)]
    quick = "from tui import progress; progress.PATIENCE_S = progress.EVERY_S = progress.EVERY_SPOKEN_S = 0; from tui.cli import main; main()"

    def exported(*flags: str, is_terminal: bool = True) -> str:
        command = [
            sys.executable,
            "-c",
            quick,
            "logs",
            "export",
            "--out",
            str(tmp_path / f"{len(flags)}{is_terminal}"),
            *flags,
        ]
        if not is_terminal:
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stderr
        with Terminal(command, env=dict(os.environ)) as terminal:
            assert terminal.process.wait(30) == 0
            terminal.wait_until(lambda: b"exported" in terminal.output or "-q" in flags)
            return terminal.output.decode()

    drawn = exported()
    assert "\r\x1b[K1,000 so far" in drawn
    assert "\r\x1b[K3,000 so far\r\x1b[K3500 calls exported." in drawn
    assert "2,000 so far\r\n3,000 so far\r\n3500 calls" in exported("--accessible", "--yes")
    assert "so far" not in exported("-q")
    assert "so far" not in exported(is_terminal=False)
