"""The check of the books finds what is planted, one thing at a time, and nothing on a gateway that is busy and sound."""

import asyncio

import msgspec
import pytest

from gateway import upkeep
from gateway.admin import audit
from gateway.store import audit as store
from gateway.store.pool import open_pool

ROW = """
INSERT INTO request_logs (created_at, call_id, request_id, org_id, project_id, key_id, endpoint, status, end_reason, gateway_version, worker_id)
SELECT created_at - interval '20 minutes', gen_random_uuid(), 'planted', org_id, project_id, key_id, endpoint, 200, 'complete', '0', 'wrk_nobody'
FROM request_logs LIMIT 1
"""
WITHOUT_CHECK = "ALTER TABLE budget_shares DROP CONSTRAINT budget_shares_amount_nusd_check"
SHARE = """
INSERT INTO budget_shares SELECT budget_id, subject, window_start, '{worker}', {amount}, now() + interval '{left}' FROM budget_windows LIMIT 1
"""
DEAD_WORKER = """
INSERT INTO workers (id, machine, pid, version, heartbeat_at, state)
VALUES ('wrk_dead', 'elsewhere', 1, '0', now() - interval '11 minutes', '{"journal": {"open": 1, "orphans_s": 0, "behind_s": 0}}')
"""
STUCK_WORKER = """
INSERT INTO workers (id, machine, pid, version, heartbeat_at, state)
VALUES ('wrk_stuck', 'elsewhere', 1, '0', now(), '{"journal": {"open": 0, "orphans_s": 0, "behind_s": 700}}')
"""
CLOSED = """
INSERT INTO billing_periods (account_id, month, timezone, period_start, period_end, posted_nusd)
SELECT id, '2026-01', 'UTC', '2026-01-01Z', '2026-02-01Z', 5 FROM billing_accounts LIMIT 1
"""
PLANTED = {
    "a row that no worker wrote": (ROW, {"row_without_intent", "usage_hourly"}),
    "a row that is gone": ("DELETE FROM request_logs WHERE call_id = (SELECT call_id FROM request_logs WHERE cost_nusd > 0 LIMIT 1)",
                           {"usage_hourly", "budget_windows"}),
    "a dead worker's intent": (DEAD_WORKER, {"intent_without_row"}),
    "a worker that is stuck": (STUCK_WORKER, {"intent_without_row"}),
    "a sum of an hour": ("UPDATE usage_hourly SET prompt_tokens = prompt_tokens + 1", {"usage_hourly"}),
    "a sum of a day": ("UPDATE usage_daily SET cost_nusd = cost_nusd + 1", {"usage_daily"}),
    "a sum of a key": ("UPDATE key_usage SET cost_nusd = cost_nusd + 1", {"key_usage"}),
    "a budget": ("UPDATE budget_windows SET spent_nusd = spent_nusd - 1", {"budget_windows", "older_budget_windows"}),
    "a negative hold": (SHARE.format(worker="wrk_old", amount=-1, left="-1 hour"), {"negative"}),
    "a dead worker's share": (SHARE.format(worker="wrk_dead", amount=7, left="1 hour"), {"dead_shares"}),
    "an entry of the audit": ("UPDATE audit_log SET actor = 'somebody else'", {"audit_chain"}),
    "a closed month": (CLOSED, {"billing_entries"}),
}  # fmt: skip
LOOKED_AT_EVERY_MINUTE = {
    name: PLANTED[name] for name in ("a row that is gone", "a dead worker's intent", "a dead worker's share")
}


async def with_budgets(gateway) -> None:
    await gateway.execute(
        "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\") SELECT 'b' || w, 'project', $1, 10^15::bigint, w "
        "FROM unnest(ARRAY['1h', '1d', '1mo', 'total']) AS w",
        gateway.project_id,
    )
    await gateway.execute(
        "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\") VALUES ('bu', 'user', $1, 10^15::bigint, '1d')",
        gateway.project_id,
    )


async def busy(gateway, calls: int) -> None:
    for start in range(0, calls, 10):
        await asyncio.gather(
            *(
                gateway.chat(stream=bool(number % 2), user=f"u{number % 3}" if number % 4 else None)
                for number in range(start, start + 10)
            )
        )


async def carried(gateway, calls: int) -> None:
    async with asyncio.timeout(10):
        while await gateway.db.fetchval("SELECT count(*) FROM request_logs") < calls:
            await asyncio.sleep(0.02)


async def wrong(gateway) -> set[tuple[str, str, str]]:
    """Everything that the check finds."""
    answered = await gateway.admin("GET", "/books", role="viewer")
    assert answered.status == 200, answered.body
    found = {
        (check["name"], finding["what"], finding["found"])
        for check in answered.json["checks"]
        for finding in check["examples"]
    }
    assert {check["name"] for check in answered.json["checks"] if not check["ok"]} == {name for name, _, _ in found}
    assert answered.json["ok"] is (not found)
    return found


async def audited(gateway) -> None:
    seq, previous, now = await store.lock_head(gateway.db)
    row = store.EntryRow(seq + 1, f"aud_{seq}", now, "Owner", None, "api", "key.create", "key", "key_1", "k", None, None, '{"a": 1}', None,
                         "ok", None, None, previous, b"", "")  # fmt: skip
    await store.append(gateway.db, msgspec.structs.replace(row, hash=audit.digest(row)))


async def test_a_busy_gateway_raises_no_false_alarm(gateway):
    await with_budgets(gateway)
    work = asyncio.create_task(busy(gateway, 150))
    checked = 0
    while not work.done():
        assert await wrong(gateway) == set()
        checked += 1
    await work
    await carried(gateway, 150)
    assert await wrong(gateway) == set()
    assert checked >= 3


async def test_what_is_planted_is_found_and_nothing_else(gateway):
    await with_budgets(gateway)
    await busy(gateway, 20)
    await carried(gateway, 20)
    for _ in range(3):
        await audited(gateway)
    before = await wrong(gateway)
    assert before == set()
    await gateway.db.execute(WITHOUT_CHECK)
    for name, (statement, expected) in PLANTED.items():
        await gateway.db.execute(statement)
        after = await wrong(gateway)
        assert {check for check, _, _ in after - before} == expected, name
        before = after


@pytest.mark.parametrize("name", LOOKED_AT_EVERY_MINUTE)
async def test_the_look_of_every_minute_counts_what_it_finds(gateway, name):
    await with_budgets(gateway)
    await busy(gateway, 20)
    await carried(gateway, 20)
    pool = await open_pool(gateway.config.database_url)
    metrics, worker_id = gateway.worker.metrics, gateway.worker.id
    assert await upkeep.look(pool, metrics, worker_id) == set()
    statement, expected = LOOKED_AT_EVERY_MINUTE[name]
    await gateway.db.execute(statement)
    assert {check for check, _ in await upkeep.look(pool, metrics, worker_id)} == expected
    assert await upkeep.look(pool, metrics, "wrk_zzzz") == set(), "the part of the first worker by its id"
    text = (await gateway.get("/metrics")).body.decode()
    assert f'optyx_invariant_violations_total{{check="{min(expected)}"}}' in text
    await pool.close()
