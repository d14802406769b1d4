"""The sums of days are what the hours add up to, whoever moves them: recording, repricing, a change of the org's time zone, all at once."""

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta

import asyncpg

from gateway.store import ingest
from tests.admin.rows import final, write
from tests.test_books import wrong

ZONES = ("Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "UTC")
DAYS = "SELECT day, calls, cost_nusd FROM usage_daily ORDER BY day"


async def test_days_follow_hours_through_everything_at_once(gateway):
    """Four connections record, calls are repriced and the zone changes meanwhile: nobody waits in a circle, and all agree in the end."""
    dice = random.Random(5)
    await gateway.token("owner")
    writers = [await asyncpg.connect(gateway.config.database_url.reveal()) for _ in range(4)]

    def batch():
        return [
            final(
                org_id=gateway.org_id, project_id=f"prj_{dice.randrange(6)}", key_id=f"key_{dice.randrange(9)}",
                created_at=time.time() - dice.uniform(0, 2 * 86_400), cost_nusd=dice.choice([None, dice.randrange(10**9)]),
            )
            for _ in range(30)
        ]  # fmt: skip

    async def record(connection):
        await ingest.prepare(connection)
        for _ in range(12):
            await ingest.ingest(connection, gateway.worker.id, "0", batch())

    async def reprice():
        for _ in range(4):
            answered = await gateway.admin("POST", "/reprice", {"since": "3d", "apply": True})
            assert answered.status == 200, answered.json

    async def move_the_zone():
        for zone in ZONES:
            answered = await gateway.admin("PATCH", f"/orgs/{gateway.org_id}", {"timezone": zone})
            assert answered.status == 200, answered.json
            await asyncio.sleep(0.02)

    try:
        async with asyncio.timeout(60):
            await asyncio.gather(*(record(connection) for connection in writers), reprice(), move_the_zone())
    finally:
        for connection in writers:
            await connection.close()
    assert await gateway.db.fetchval("SELECT sum(calls) FROM usage_daily") == 4 * 12 * 30
    assert await wrong(gateway) == set()


async def test_a_day_is_the_orgs(gateway):
    at = datetime.now(UTC).replace(hour=20, minute=30, second=0, microsecond=0) - timedelta(days=2)
    await write(gateway.db, final(org_id=gateway.org_id, created_at=at.timestamp(), cost_nusd=7))
    assert [tuple(row) for row in await gateway.db.fetch(DAYS)] == [(at.date(), 1, 7)]
    await gateway.admin("PATCH", f"/orgs/{gateway.org_id}", {"timezone": "Asia/Tokyo"})
    await write(gateway.db, final(org_id=gateway.org_id, created_at=at.timestamp() + 1, cost_nusd=1))
    assert [tuple(row) for row in await gateway.db.fetch(DAYS)] == [(at.date() + timedelta(days=1), 2, 8)]


async def test_a_zone_that_postgres_does_not_know_stops_no_record(gateway):
    await gateway.db.execute("UPDATE orgs SET timezone = 'Mars/Base'")
    await write(gateway.db, final(org_id=gateway.org_id))
    assert await gateway.db.fetchval("SELECT sum(calls) FROM usage_daily") == 1
