"""What a worker does beside calls: what its heartbeat says of the journal, and when it keeps house."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from gateway import upkeep
from gateway.catalog import EMPTY
from gateway.journal import Journal
from gateway.logbook import Logbook
from gateway.metrics import Metrics
from gateway.records import Intent
from gateway.secret import Secret
from gateway.store import partitions
from gateway.store.pool import open_pool
from gateway.upkeep import Backlog


class Unread:
    """A worker whose database was away when it started: its settings are those that are shipped."""

    catalog = EMPTY


async def test_nothing_is_dropped_before_the_operators_retention_is_known(connection, database_url):
    old = datetime.now(UTC).date() - timedelta(days=200)
    await partitions.make_days(connection, "request_logs", [old])
    pool = await open_pool(Secret(database_url))
    assert await upkeep.first_days(pool, Unread()) is False
    there = {row[0] for row in await connection.fetch(partitions.PARTITIONS, "request_logs")}
    assert partitions.name_of("request_logs", old) in there
    await pool.close()


class Absent:
    """A database that takes nothing."""


def intent(number: int) -> Intent:
    return Intent(f"call-{number}", time.time(), "r", "o", "p", "k", "chat", None, None, False, [], None, 0)


async def test_calls_that_began_and_are_in_nobodys_hand_are_told_by_their_age(tmp_path):
    journal = Journal(tmp_path, "wrk_1")
    logbook = Logbook(journal, tmp_path, Absent(), Metrics(), lambda _: None)
    backlog = Backlog(journal, logbook)
    assert backlog.report(0) == {"open": 0, "orphans_s": 0.0, "behind_s": 0.0}
    journal.append(intent(1))
    assert backlog.report(1)["orphans_s"] == 0.0
    backlog.report(0)
    await asyncio.sleep(0.2)
    told = backlog.report(0)
    assert told["open"] == 1
    assert told["orphans_s"] >= 0.2
    assert told["behind_s"] >= 0.2, "nothing has been carried since"
    assert backlog.report(1)["orphans_s"] == 0.0
    journal.close()
