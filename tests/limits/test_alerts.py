"""What a budget does before it refuses: alerts once a window, and the cheaper tier."""

import asyncio
import hashlib
import hmac
import json

import pytest

from gateway.alerts import Alerts
from gateway.metrics import Metrics
from gateway.secret import Secret
from tests.conftest import eventually
from tests.limits.rules import COST_NUSD, MODEL, TOKENS, add_budget, call, fix_price, settled, storm
from tests.upstream import Upstream, failing, whole


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch):
    monkeypatch.setattr("gateway.alerts.LOOK_EVERY_S", 0.1)


async def webhook_of(gateway):
    server = Upstream()
    await server.start()
    await gateway.execute(
        "INSERT INTO settings (name, value) VALUES ('alert_webhook', to_jsonb($1::text))", f"{server.root_url}/hook"
    )
    return server


async def test_each_threshold_is_told_once_over_all_workers(make_gateway):
    gateways = [await make_gateway(OPTYX_ALERT_SECRET="hush") for _ in range(2)]
    await fix_price(gateways[0])
    hook = await webhook_of(gateways[0])
    hook.enqueue(*[whole({}) for _ in range(9)])
    budget = await add_budget(gateways[0], 10 * COST_NUSD, soft_percent=50)
    for gateway in gateways:
        await gateway.changed()
    assert await storm(gateways, 4) == {200: 4}
    assert await settled(gateways[0]) == 4 * COST_NUSD
    assert hook.seen == []
    assert await storm(gateways, 2) == {200: 2}
    await eventually(lambda: len(hook.seen) == 1)
    told = hook.seen[0]
    at, digest = (part.partition("=")[2] for part in told.headers["x-optyx-signature"].split(","))
    assert hmac.new(b"hush", f"{at}.".encode() + told.body, hashlib.sha256).hexdigest() == digest
    said = told.json
    assert (said["type"], said["budget_id"], said["percent"]) == ("budget.threshold", budget, 50)
    assert (said["amount_usd"], said["scope"], said["subject"]) == ("0.00003", "project", gateways[0].project_id)
    assert await storm(gateways, 10, at_once=4) == {200: 4, 429: 6}
    await eventually(lambda: len(hook.seen) == 2)
    assert hook.seen[1].json["type"] == "budget.exhausted"
    assert await gateways[0].db.fetchval("SELECT alerted_at IS NOT NULL FROM budget_windows")
    assert sum(gateway.worker.metrics.counters.get("budget_alerts", 0) for gateway in gateways) == 2
    await hook.stop()


async def test_a_webhook_that_fails_is_tried_again_and_not_for_ever(gateway):
    await fix_price(gateway)
    hook = await webhook_of(gateway)
    hook.enqueue(*[failing(500) for _ in range(20)])
    await add_budget(gateway, COST_NUSD, soft_percent=100)
    assert (await call(gateway)).status == 200
    await eventually(lambda: len(hook.seen) == 1)
    async with asyncio.timeout(10):
        while len(hook.seen) < 5:
            await gateway.db.execute("UPDATE budget_alerts SET next_try_at = now() WHERE delivered_at IS NULL")
            await asyncio.sleep(0.05)
    await gateway.db.execute("UPDATE budget_alerts SET next_try_at = now()")
    alerts = Alerts(lambda: f"{hook.root_url}/hook", Secret("hush"), Metrics())
    await alerts.look(_Pool(gateway.db))
    assert len(hook.seen) == 5
    assert gateway.worker.metrics.counters["budget_alerts_undelivered"] == 5
    await hook.stop()


async def test_without_a_webhook_an_alert_is_a_row_and_a_log_line(gateway, caplog):
    await fix_price(gateway)
    await add_budget(gateway, COST_NUSD, soft_percent=80)
    assert (await call(gateway)).status == 200
    rows = await eventually(
        lambda: gateway.db.fetch("SELECT percent, delivered_at FROM budget_alerts ORDER BY percent")
    )
    assert [row["percent"] for row in rows] == [80, 100]
    assert all(row["delivered_at"] for row in rows)
    assert f"budget of project {gateway.project_id} per total: $0.000003 of $0.000003 spent (80 %)" in caplog.text


async def test_a_nearly_used_budget_takes_the_fast_tier(gateway):
    await fix_price(gateway)
    budget = await add_budget(gateway, 10**9, downgrade_percent=5)
    smart = await gateway.chat(model="smart", max_tokens=TOKENS)
    assert smart.headers["x-optyx-tier"] == "smart"
    await settled(gateway)
    spent = await gateway.db.fetchval("SELECT spent_nusd FROM budget_windows")
    await gateway.execute("UPDATE budgets SET amount_nusd = $1 WHERE id = $2", spent * 20, budget)
    fast = await gateway.chat(headers={"x-optyx-tier": "smart"}, max_tokens=TOKENS)
    assert (fast.status, fast.headers["x-optyx-tier"], fast.headers["x-optyx-model"]) == (200, "fast", MODEL)
    row = await gateway.row(fast.request_id)
    assert row["tier"] == "fast"
    assert "5 % of the budget of project Default project" in json.loads(row["details"])["why"]
    named = await gateway.chat(model=smart.headers["x-optyx-model"], max_tokens=1)
    assert "x-optyx-tier" not in named.headers
    await gateway.execute(
        "UPDATE budgets SET raise_nusd = $1, raise_until = now() + interval '1 hour' WHERE id = $2", 10**9, budget
    )
    assert (await gateway.chat(model="smart", max_tokens=TOKENS)).headers["x-optyx-tier"] == "smart"


class _Pool:
    """One connection as a pool."""

    def __init__(self, connection):
        self._connection = connection

    def acquire(self):
        return self

    async def __aenter__(self):
        return self._connection

    async def __aexit__(self, *_):
        return None
