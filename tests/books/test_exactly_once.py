"""From journals to Postgres: every record once, whoever carries it, how often, and whatever is wrong with it."""

import asyncio
import shutil
import time
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import pytest

from gateway import logbook as module
from gateway.journal import Journal
from gateway.logbook import DatabaseAway, Logbook
from gateway.metrics import Metrics
from gateway.records import Progress
from gateway.secret import Secret
from gateway.store import partitions
from gateway.store.writer import PostgresWriter
from gateway.version import VERSION
from tests.books.ledger import PRICE, a_final, an_intent, books, of_intent, with_budget
from tests.conftest import eventually


class Carrier:
    """A logbook with a journal and a connection of its own: one worker's, without the worker."""

    def __init__(self, url, root, worker_id):
        self.journal = Journal(root, worker_id)
        self.writer = PostgresWriter(Secret(url), VERSION)
        self.metrics = Metrics()
        self.logbook = Logbook(self.journal, root, self.writer, self.metrics, lambda costs: None)

    async def close(self):
        await self.writer.close()
        self.journal.close()


@pytest.fixture
async def make_carrier(database_url, tmp_path):
    made = []

    def make(worker_id="wrk_1", root=tmp_path):
        carrier = Carrier(database_url, root, worker_id)
        made.append(carrier)
        return carrier

    yield make
    for carrier in made:
        await carrier.close()


def a_dead_journal(root, worker_id="wrk_dead", calls=40, interrupted=3):
    """A killed worker's folder: `calls` finished calls and some that were under way."""
    journal = Journal(root, worker_id)
    for number in range(calls + interrupted):
        intent = an_intent(stream=number % 2 == 0)
        journal.append(intent)
        if number < calls:
            journal.append(of_intent(intent, tokens=1000 + number))
        else:
            journal.append(Progress(intent.call_id, "openai", "m", 3, 4, 7 * PRICE, None))
    journal.close()
    return root / worker_id, sum(1000 + number for number in range(calls)) + 7 * interrupted


async def test_the_same_journal_three_times_moves_the_counters_once(connection, make_carrier, tmp_path):
    await with_budget(connection)
    folder, tokens = a_dead_journal(tmp_path / "kept")
    carrier = make_carrier()
    for _ in range(3):
        shutil.copytree(folder, tmp_path / "wrk_dead")
        await carrier.logbook._adopt()
        assert not (tmp_path / "wrk_dead").exists()
        found = await books(connection)
        assert (found.rows, found.tokens, found.cost) == (43, tokens, tokens * PRICE)
    assert await connection.fetchval("SELECT count(*) FROM request_logs WHERE end_reason = 'interrupted'") == 3
    assert await connection.fetchval("SELECT spent_nusd FROM budget_windows") == tokens * PRICE


BUDGETS = [  # scope, subject, model, tier, whose share, and which of the calls below it counts
    ("org", "org_1", "", "", "org_1", "abc"),
    ("project", "prj_1", "", "", "prj_1", "ab"),
    ("project", "prj_2", "", "", "prj_2", "c"),
    ("key", "key_1", "m", "", "key_1", "a"),
    ("key", "key_1", "", "smart", "key_1", "b"),
    ("user", "prj_1", "", "", "ada", "b"),
]


async def test_a_batch_moves_every_budget_that_counts_its_calls_once_for_every_new_row(connection, make_carrier):
    """Rows that were there before and rows that stand twice in the batch count nothing; windows part the calls by the second."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for number, (scope, subject, model, tier, share, _) in enumerate(BUDGETS):
        await connection.execute(
            "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\", model, tier) VALUES ($1, $2, $3, 1000000000, '1h', $4, $5)",
            f"bud_{number}", scope, subject, model, tier,
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO budget_windows (budget_id, subject, window_start, window_end) VALUES ($1, $2, $3, $4)",
            f"bud_{number}", share, hour - timedelta(hours=1), hour,
        )  # fmt: skip
    last = hour.timestamp() - 0.000001
    calls = {
        "a": a_final(1, created_at=last),
        "b": a_final(10, created_at=last, model="n", tier="smart", user="ada"),
        "c": a_final(100, created_at=last, project_id="prj_2", key_id="key_2"),
        "too late": a_final(1_000, created_at=hour.timestamp()),
    }
    write = make_carrier().writer.write
    await write("wrk_1", [calls["a"], calls["too late"]])
    await write("wrk_1", [calls["b"], calls["a"], calls["b"], calls["c"], calls["b"]])
    spent = dict(await connection.fetch("SELECT budget_id, spent_nusd FROM budget_windows"))
    wanted = [sum(calls[name].cost_nusd for name in counted) for *_, counted in BUDGETS]
    assert spent == {f"bud_{number}": cost for number, cost in enumerate(wanted)}
    assert await connection.fetchval("SELECT count(*) FROM request_logs") == 4


async def test_two_instances_with_the_same_journal_at_once_move_the_counters_once(
    connection, make_carrier, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "BATCH_ROWS", 7)
    await with_budget(connection)
    _, tokens = a_dead_journal(tmp_path / "a", calls=400)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    first, second = make_carrier("wrk_a", tmp_path / "a"), make_carrier("wrk_b", tmp_path / "b")
    await asyncio.gather(first.logbook._adopt(), second.logbook._adopt())
    found = await books(connection)
    assert (found.rows, found.tokens) == (403, tokens)


async def test_a_batch_cut_off_in_the_middle_and_sent_again_lands_once(connection, make_carrier):
    """Cancelled at every moment of its way, as by a shutdown, and then flushed."""
    await with_budget(connection)
    carrier = make_carrier()
    for cut in range(1, 25):
        carrier.journal.append(a_final(tokens=cut))
        carry = asyncio.create_task(carrier.logbook._carry())
        await asyncio.sleep(cut / 10_000)
        carry.cancel()
        await asyncio.gather(carry, return_exceptions=True)
        assert await carrier.logbook.flush(5)
    found = await books(connection)
    assert (found.rows, found.tokens) == (24, sum(range(1, 25)))


@pytest.mark.parametrize(
    ("poison", "kept"),
    [
        ({"user": "a\x00b"}, {"user": "a\ufffdb", "total_tokens": 5}),
        ({"details": {"note": "\x00"}}, {"total_tokens": 5}),
        ({"tags": ["\ud800"]}, {"tags": ["?"], "total_tokens": 5}),
        ({"latency_ms": float("nan")}, {"latency_ms": 0.0, "total_tokens": 5}),
        ({"details": {"x": float("inf")}}, {"total_tokens": 5}),
        ({"total_tokens": 1 << 63, "prompt_tokens": 1 << 63}, {"total_tokens": None, "cost_nusd": None}),
        ({"total_tokens": 1 << 80, "cost_nusd": 1 << 80}, {"total_tokens": None, "cost_nusd": None}),
        ({"total_tokens": (1 << 62)}, {"total_tokens": None}),
        ({"completion_tokens": -5}, {"total_tokens": None}),
        ({"created_at": 1e300}, {"total_tokens": 5}),
        ({"usage_source": "guessed"}, {"usage_source": "none"}),
        ({"status": 1 << 40}, {"status": 500, "total_tokens": 5}),
        ({"call_id": "not-a-uuid"}, {"total_tokens": 5}),
    ],
)
async def test_one_bad_record_among_ninety_nine_holds_nobody_back(connection, make_carrier, poison, kept):
    """The good ones land within two seconds, and the bad one, cleaned, with them; sums still work for who comes after."""
    await with_budget(connection)
    carrier = make_carrier()
    for number in range(49):
        carrier.journal.append(a_final(tokens=100 + number))
    carrier.journal.append(a_final(**{"tokens": 5, "request_id": "bad", **poison}))
    for number in range(49, 99):
        carrier.journal.append(a_final(tokens=100 + number))
    began = time.monotonic()
    await carrier.logbook._carry()
    assert time.monotonic() - began < 2
    carrier.journal.append(a_final(tokens=1))
    await carrier.logbook._carry()
    found = await books(connection)
    assert found.rows == 101
    row = await connection.fetchrow("SELECT * FROM request_logs WHERE request_id = 'bad'")
    assert {name: row[name] for name in kept} == kept
    assert await connection.fetchval(
        "SELECT coalesce(sum(total_tokens), 0) FROM request_logs WHERE request_id <> 'bad'"
    ) == (sum(100 + number for number in range(99)) + 1)
    assert await carrier.logbook.flush(5)
    assert len(carrier.journal.segments) == 1


async def test_what_had_to_be_cleaned_is_kept_as_it_came(connection, make_carrier):
    carrier = make_carrier()
    bad = a_final(total_tokens=(1 << 62))
    carrier.journal.append(bad)
    await carrier.logbook._carry()
    kept = await connection.fetchrow("SELECT call_id, worker_id, record, reason FROM quarantined_records")
    assert (str(kept["call_id"]), kept["worker_id"], kept["record"]) == (bad.call_id, "wrk_1", msgspec.json.encode(bad))
    assert "tokens" in kept["reason"]


async def test_a_line_that_cant_be_read_is_kept_aside_once(connection, make_carrier, tmp_path):
    folder, tokens = a_dead_journal(tmp_path / "kept", calls=2, interrupted=0)
    segment = folder / "00000001.jsonl"
    good = segment.read_bytes()
    segment.write_bytes(good.replace(b"\n", b"\n\x00\x00\x01\n", 1) + b'["f","torn')
    carrier = make_carrier()
    for _ in range(2):
        shutil.copytree(folder, tmp_path / "wrk_dead")
        await carrier.logbook._adopt()
    assert (await books(connection)).tokens == tokens
    assert [bytes(row[0]) for row in await connection.fetch("SELECT record FROM quarantined_records")] == [
        b"\x00\x00\x01"
    ]


async def test_a_clock_far_off_finds_its_rows_a_place(connection, make_carrier):
    await partitions.keep_house(connection, {"request_logs": 90, "payloads": 7})
    carrier = make_carrier()
    for years in (-0.1, 1, 40):
        carrier.journal.append(a_final(created_at=time.time() + years * 365 * 86400))
    await carrier.logbook._carry()
    assert (await books(connection)).rows == 3


async def test_a_record_whose_day_was_dropped_by_retention_does_not_come_back(connection, make_carrier, tmp_path):
    """Its row is gone, so nothing shows that it was counted: it must not be counted again."""
    await with_budget(connection)
    folder, tokens = a_dead_journal(tmp_path / "kept", calls=5, interrupted=1)
    carrier = make_carrier()
    shutil.copytree(folder, tmp_path / "wrk_dead")
    await carrier.logbook._adopt()
    counted = "SELECT calls, cost_nusd FROM key_usage"
    before = await connection.fetchrow(counted)
    later = datetime.now(UTC) + timedelta(days=100)
    await partitions.keep_house(connection, {"request_logs": 90, "payloads": 7}, later)
    assert await connection.fetchval("SELECT count(*) FROM request_logs") == 0
    shutil.copytree(folder, tmp_path / "wrk_dead")
    await carrier.logbook._adopt()
    assert await connection.fetchval("SELECT count(*) FROM request_logs") == 0
    assert await connection.fetchrow(counted) == before
    assert before["cost_nusd"] == tokens * PRICE
    assert await connection.fetchval("SELECT spent_nusd FROM budget_windows") == tokens * PRICE
    reasons = await connection.fetch("SELECT DISTINCT reason FROM quarantined_records")
    assert [row[0] for row in reasons] == ["older than the retention"]


async def test_retention_goes_by_the_clock_of_postgres(connection, monkeypatch):
    """A machine whose clock is a year ahead drops nothing."""
    await partitions.keep_house(connection, {"request_logs": 90})
    monkeypatch.setattr(
        partitions, "datetime", type("Wrong", (datetime,), {"now": classmethod(lambda *_: datetime(2099, 1, 1))})
    )
    assert await partitions.keep_house(connection, {"request_logs": 90}) == []


async def test_what_is_carried_does_not_stay_in_the_journal_for_ever(make_carrier, monkeypatch):
    """A quiet worker's segment goes after ten minutes; one in which a call is still open stays."""
    carrier = make_carrier()
    opened = an_intent()
    for record in (opened, a_final()):
        carrier.journal.append(record)
    await carrier.logbook._carry()
    assert [segment.number for segment in carrier.journal.segments] == [1]
    monkeypatch.setattr(module, "ROTATE_S", 0.0)
    await carrier.logbook._carry()
    assert [segment.number for segment in carrier.journal.segments] == [1, 2]
    carrier.journal.append(of_intent(opened))
    await carrier.logbook._carry()
    assert [segment.number for segment in carrier.journal.segments] == [3]


async def test_one_journal_that_cant_be_carried_does_not_keep_the_others(
    connection, make_carrier, tmp_path, monkeypatch
):
    """Nor are their locks kept: the next round, or another worker, takes them."""
    for name in ("wrk_a", "wrk_b", "wrk_c"):
        a_dead_journal(tmp_path, name, calls=3, interrupted=0)
    carrier = make_carrier("wrk_me")
    real = carrier.writer.write

    async def write(worker_id, finals):
        if worker_id == "wrk_b" and not seen:
            seen.append(worker_id)
            raise DatabaseAway("for a moment")
        return await real(worker_id, finals)

    seen: list[str] = []
    monkeypatch.setattr(carrier.writer, "write", write)
    await carrier.logbook._adopt()
    other = make_carrier("wrk_other")
    await other.logbook._adopt()
    assert (await books(connection)).rows == 9
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wrk_me", "wrk_other"]


async def test_an_adopted_worker_holds_nothing_any_more(connection, make_carrier, tmp_path):
    await with_budget(connection)
    await connection.execute(
        "INSERT INTO budget_shares VALUES ('bud_1', 'key_1', '2020-01-01', 'wrk_dead', 5000, now() + interval '1 hour')"
    )
    a_dead_journal(tmp_path, calls=3)
    await make_carrier().logbook._adopt()
    assert await connection.fetchval("SELECT count(*) FROM budget_shares") == 0


async def test_the_logbook_commits_synchronously(database_url, connection, make_carrier):
    """Whatever the server's default is: a crash of Postgres must not lose what the journal was dropped for."""
    await connection.execute("ALTER ROLE CURRENT_USER SET synchronous_commit = off")
    try:
        probe = await asyncpg.connect(database_url)
        assert await probe.fetchval("SHOW synchronous_commit") == "off"
        await probe.execute(
            "CREATE TABLE seen (value text); CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$; "
            "CREATE TRIGGER see AFTER INSERT ON request_logs FOR EACH ROW EXECUTE FUNCTION see()"
        )
        await probe.close()
        carrier = make_carrier()
        carrier.journal.append(a_final())
        await carrier.logbook._carry()
        assert [row[0] for row in await connection.fetch("SELECT value FROM seen")] == ["on"]
    finally:
        await connection.execute("ALTER ROLE CURRENT_USER RESET synchronous_commit")


async def test_a_stopped_server_costs_only_the_wait(connection, make_carrier, monkeypatch):
    """The writer's connection is cut again and again, before and after COMMIT: everything lands, once."""
    carrier = make_carrier()
    monkeypatch.setattr(module, "BACK_OFF_S", (0.01,))
    run = asyncio.create_task(carrier.logbook.run())
    cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'optyx logbook' AND datname = current_database()"
    for number in range(200):
        carrier.journal.append(a_final(tokens=number))
        if number % 10 == 0:
            carrier.journal.has_news.set()
            await asyncio.sleep(0.002 * (number % 7))
            await connection.execute(cut)

    async def landed():
        return await connection.fetchval("SELECT count(*) FROM request_logs") == 200

    await eventually(landed, 10, "200 rows")
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    assert (await books(connection)).tokens == sum(range(200))
