"""Bills: a month by the org's clock, to the nano-dollar with the rows and the entries; closed once, corrected by adjustments."""

import csv
import io
import random
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from gateway import months
from gateway.proxy.call import new_call_id
from gateway.records import Final
from gateway.store import ingest, partitions
from tests.test_books import wrong

ZONE = "Asia/Kolkata"
CLOSED = months.before(months.month_of(datetime.now(UTC), ZONE))
"""The month that is over; `OLDER` is the one before."""
OLDER = months.before(CLOSED)


@pytest.mark.parametrize(
    ("month", "zone", "start", "hours"),
    [
        ("2026-11", "UTC", "2026-11-01T00:00", 720),
        ("2026-03", "Europe/Berlin", "2026-02-28T23:00", 743),
        ("2026-10", "Europe/Berlin", "2026-09-30T22:00", 745),
        ("2026-11", "America/New_York", "2026-11-01T04:00", 721),
        ("2026-12", "Asia/Kolkata", "2026-11-30T18:30", 744),
        ("2026-02", "Asia/Kathmandu", "2026-01-31T18:15", 672),
    ],
)
def test_a_month_is_what_the_zones_calendar_says(month, zone, start, hours):
    began, ended = months.bounds(month, zone)
    assert began == datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert ended - began == timedelta(hours=hours)
    assert months.month_of(began, zone) == month
    assert months.month_of(began - timedelta(microseconds=1), zone) == months.before(month)


@pytest.mark.parametrize("month", ["2026-13", "2026-1", "26-01", "2026-00", "0026-01", "2026-01-01", ""])
def test_what_is_no_month_is_refused(month):
    with pytest.raises(ValueError, match="month"):
        months.bounds(month, "UTC")


def call(gateway, at: datetime, cost: int | None, model: str = "m", project: str | None = None) -> Final:
    return Final(
        new_call_id(), at.timestamp(), "r", gateway.org_id, project or gateway.project_id, "key", "chat", None, None, "openai", model, 200, None,
        "complete", False, [], 3, 1, 0, 0, 0, 4, "provider", cost, "p", 1.0, None, None,
    )  # fmt: skip


@pytest.fixture
async def months_gone(gateway):
    """Calls around both ends of two months in a zone of half an hour; returns what each month costs."""
    await gateway.db.execute("UPDATE orgs SET timezone = 'Asia/Kolkata'")
    await gateway.db.execute("DELETE FROM retention_horizons")
    await ingest.prepare(gateway.db)
    first, start = months.bounds(OLDER, ZONE)
    _, end = months.bounds(CLOSED, ZONE)
    dice, tick = random.Random(5), timedelta(microseconds=1)
    sums = {"before": 0, OLDER: 0, CLOSED: 0, "after": 0}
    calls = []
    for month, instants in {
        "before": [first - tick, first - timedelta(minutes=29)],
        OLDER: [first, first + timedelta(minutes=29), start - timedelta(minutes=31), start - tick],
        CLOSED: [start, start + timedelta(minutes=31), start + timedelta(days=14), end - timedelta(minutes=1), end - tick],
        "after": [end, end + tick],
    }.items():  # fmt: skip
        for at in instants:
            cost = dice.randrange(1, 10**9)
            sums[month] += cost
            calls.append(call(gateway, at, cost, dice.choice(["m", "=n"])))
    calls.append(call(gateway, start + timedelta(hours=1), None, "unpriced"))
    await ingest.ingest(gateway.db, gateway.worker.id, "0", calls)
    return sums


async def statement(gateway, month: str, **more):
    query = "&".join(f"{name}={value}" for name, value in {"month": month, **more}.items())
    answered = await gateway.admin("GET", f"/billing/statements?{query}", role="viewer")
    assert answered.status == 200, answered.body
    return answered


async def test_statements_follow_each_other_and_add_up_to_the_nano_dollar(gateway, months_gone):
    credit = await gateway.db.fetchval("SELECT sum(amount_nusd) FROM billing_entries")
    older = (await statement(gateway, OLDER)).json
    closed_month = (await statement(gateway, CLOSED)).json
    assert (older["usage_nusd"], closed_month["usage_nusd"]) == (months_gone[OLDER], months_gone[CLOSED])
    assert older["opening_nusd"] == -months_gone["before"], "the sample credit is entered today"
    assert closed_month["opening_nusd"] == older["closing_nusd"]
    assert sum(line["cost_nusd"] for line in closed_month["lines"]) == closed_month["usage_nusd"]
    assert [line["unpriced_calls"] for line in closed_month["lines"] if line["model"] == "unpriced"] == [1]
    assert closed_month["exact"] is True
    for group_by in ("org", "project", "model", "key"):
        lines = (await statement(gateway, CLOSED, group_by=group_by)).json["lines"]
        assert sum(line["cost_nusd"] for line in lines) == closed_month["usage_nusd"], group_by
        assert len(lines) == {"org": 1, "project": 1, "model": 3, "key": 1}[group_by]
    account = (await gateway.admin("GET", "/billing/accounts")).json["data"][0]
    assert account["balance_nusd"] == credit - sum(months_gone.values())


async def test_the_csv_says_the_same_and_runs_no_formula(gateway, months_gone):
    answered = await statement(gateway, CLOSED, format="csv")
    assert answered.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answered.body.decode())))
    assert sum(int(row["balance_nusd"]) for row in rows[:-1]) == int(rows[-1]["balance_nusd"])
    assert sum(int(row["cost_nusd"] or 0) for row in rows) == months_gone[CLOSED]
    assert {row["kind"] for row in rows} == {"opening", "usage", "closing"}
    assert {row["model"] for row in rows} == {"", "m", "'=n", "unpriced"}


async def test_a_month_is_closed_once_and_what_comes_late_is_an_adjustment(gateway, months_gone):
    first = (await gateway.admin("POST", "/billing/close", {"month": CLOSED})).json
    assert {entry["kind"] for entry in first["entries"]} == {"usage"}
    assert first["posted_nusd"] == -sum(entry["amount_nusd"] for entry in first["entries"]) == months_gone[CLOSED]
    again = (await gateway.admin("POST", "/billing/close", {"month": CLOSED})).json
    assert (again["entries"], again["posted_nusd"]) == ([], first["posted_nusd"])
    assert await wrong(gateway) == set()
    late = months.bounds(CLOSED, ZONE)[0] + timedelta(days=9)
    await ingest.ingest(gateway.db, gateway.worker.id, "0", [call(gateway, late, 12_345)])
    told = (await statement(gateway, CLOSED)).json
    assert (told["usage_nusd"], told["unposted_nusd"]) == (months_gone[CLOSED] + 12_345, 12_345)
    late_close = (await gateway.admin("POST", "/billing/close", {"month": CLOSED})).json
    assert [(entry["kind"], entry["amount_nusd"], entry["model"]) for entry in late_close["entries"]] == [("adjustment", -12_345, "m")]  # fmt: skip
    told = (await statement(gateway, CLOSED)).json
    assert (told["unposted_nusd"], told["usage_nusd"]) == (0, told["posted_nusd"])
    assert await wrong(gateway) == set()
    actions = await gateway.db.fetch("SELECT action FROM audit_log ORDER BY seq")
    assert [row[0] for row in actions] == ["billing.close", "billing.close"]


async def test_a_closed_month_keeps_its_bounds_when_the_org_moves(gateway, months_gone):
    await gateway.admin("POST", "/billing/close", {"month": OLDER})
    closed = (await statement(gateway, OLDER)).json
    await gateway.db.execute("UPDATE orgs SET timezone = 'UTC'")
    assert (await statement(gateway, OLDER)).json == closed
    closed_month = (await statement(gateway, CLOSED)).json
    assert closed_month["since"] == closed["until"], "no call falls between two months"
    assert closed_month["opening_nusd"] == closed["closing_nusd"]


async def test_a_month_that_can_no_longer_be_split_is_told_so_and_not_closed(gateway, months_gone):
    await partitions.keep_house(gateway.db, {"request_logs": 1}, datetime.now(UTC))
    told = (await statement(gateway, CLOSED)).json
    assert told["exact"] is False
    assert (await gateway.admin("POST", "/billing/close", {"month": CLOSED})).status == 409


async def test_a_month_that_is_not_over_is_not_closed(gateway):
    month = months.month_of(datetime.now(UTC), "UTC")
    answered = await gateway.admin("POST", "/billing/close", {"month": month})
    assert (answered.status, answered.json["error"]["param"]) == (422, "month")


async def test_entries_are_entered_listed_and_never_changed(gateway):
    for body in (
        {"kind": "credit", "amount_usd": "12.500000001", "note": "paid"},
        {"kind": "adjustment", "amount_usd": "-2", "note": "goodwill, taken back"},
    ):
        entered = await gateway.admin("POST", "/billing/entries", body)
        assert entered.status == 201, entered.body
        assert entered.json["amount_nusd"] in (12_500_000_001, -2_000_000_000)
    first = (await gateway.admin("GET", "/billing/entries?limit=2")).json
    rest = (await gateway.admin("GET", f"/billing/entries?limit=2&cursor={first['next']}")).json
    assert [entry["note"] for entry in first["data"]] == ["goodwill, taken back", "paid"]
    assert [entry["note"] for entry in rest["data"]] == ["Sample: a starting credit of 100 dollars"]
    assert rest["next"] is None
    now = (await statement(gateway, months.month_of(datetime.now(UTC), "UTC"))).json
    assert (now["credits_nusd"], now["adjustments_nusd"]) == (112_500_000_001, -2_000_000_000)
    for statement_ in ("UPDATE billing_entries SET amount_nusd = 0", "DELETE FROM billing_entries"):
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await gateway.db.execute(statement_)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"kind": "usage", "amount_usd": "1", "note": "x"}, "kind"),
        ({"kind": "credit", "amount_usd": "-1", "note": "x"}, "amount_usd"),
        ({"kind": "credit", "amount_usd": "0.00", "note": "x"}, "amount_usd"),
        ({"kind": "credit", "amount_usd": "1e3", "note": "x"}, "amount_usd"),
        ({"kind": "credit", "amount_usd": "1"}, "note"),
    ],
)
async def test_an_odd_entry_is_refused(gateway, body, param):
    answered = await gateway.admin("POST", "/billing/entries", body)
    assert (answered.status, answered.json["error"]["param"]) == (422, param)
    assert (await gateway.admin("POST", "/billing/entries", body, role="operator")).status == 403
