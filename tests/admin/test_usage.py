"""Usage adds up: to the nano-dollar, in every zone, over days of 22 to 26 hours, whatever sums it is read from."""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.admin.rows import final, write

START = datetime(2026, 10, 1, tzinfo=UTC)


async def random_calls(gateway, seed, count=700, owners=None):
    """Four weeks with the nights in which Lord Howe (by half an hour) and Europe change their clocks. `owners`: the orgs of projects."""
    await gateway.db.execute("DELETE FROM retention_horizons")  # whatever year it is now
    dice = random.Random(seed)
    second = await gateway.db.fetchval(
        "INSERT INTO projects (id, org_id, slug, name) VALUES ('prj_two', $1, 'two', 'Two') RETURNING id",
        gateway.org_id,
    )
    owners = owners or {gateway.project_id: "org_1", second: "org_1"}
    calls = []
    for _ in range(count):
        project = dice.choice(list(owners))
        cost = dice.choice([None, dice.randrange(0, 10**12), 1])
        calls.append(
            final(
                created_at=(START + timedelta(seconds=dice.uniform(0, 28 * 86400))).timestamp(),
                org_id=owners[project], project_id=project, key_id=dice.choice(["key_1", "key_2", "key_3"]), cost_nusd=cost,
                provider=dice.choice(["openai", "google", None]), model=dice.choice(["gpt-6", "gemini-4", None]),
                tier=dice.choice(["fast", "smart", None]), user=dice.choice(["anna", None]), endpoint=dice.choice(["chat", "embeddings"]),
                status=dice.choice([200, 200, 429, 502]), total_tokens=dice.choice([None, 10]), prompt_tokens=dice.randrange(10**9),
                tags=dice.choice([None, ["env=prod"], ["env=dev", "x"], ["x"]]),
            )
        )  # fmt: skip
    return await write(gateway.db, *calls)


def added(calls):
    return {
        "requests": len(calls),
        "errors": sum(call.status >= 400 for call in calls),
        "prompt_tokens": sum(call.prompt_tokens for call in calls),
        "completion_tokens": sum(call.completion_tokens for call in calls),
        "cached_tokens": sum(call.cached_tokens for call in calls),
        "cost_nusd": sum(call.cost_nusd or 0 for call in calls),
        "unpriced_calls": sum(call.cost_nusd is None and bool(call.total_tokens) for call in calls),
    }


def without_names(row):
    return {name: value for name, value in row.items() if name not in ("group", "group_id", "groups")}


async def test_every_grouping_adds_up_in_every_zone(gateway):
    calls = await random_calls(gateway, 7)
    for zone in ("UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns"):
        await adds_up(gateway, calls, zone)


ZONES = {
    "org_tokyo": "Asia/Tokyo", "org_kolkata": "Asia/Kolkata", "org_troll": "Antarctica/Troll", "org_berlin": "Europe/Berlin",
    "org_mars": "Mars/Base",
}  # fmt: skip


async def test_every_org_has_its_own_days(gateway):
    """One of them has no row any more, one a zone that nobody knows, one moves to another zone, one's calls become dearer later."""
    await gateway.db.executemany(
        "INSERT INTO orgs (id, slug, name, timezone) VALUES ($1, $1, $1, $2)", list(ZONES.items())
    )
    owners = {gateway.project_id: gateway.org_id, **{f"prj_{org}": org for org in (*ZONES, "org_gone")}}
    calls = await random_calls(gateway, 11, 500, owners)
    await gateway.db.execute("UPDATE orgs SET timezone = 'America/New_York' WHERE id = $1", gateway.org_id)
    calls += await write(gateway.db, *[late(call) for call in calls[::7]])
    for zone in ("Europe/Berlin", "America/New_York", "Asia/Kolkata"):
        await adds_up(gateway, calls, zone)


def late(call):
    """Another one of that moment, recorded weeks later."""
    return final(
        created_at=call.created_at, org_id=call.org_id, project_id=call.project_id, cost_nusd=10**9 + 1, prompt_tokens=1, tags=["x"]
    )  # fmt: skip


async def test_whole_days_are_read_from_the_sums_of_days_and_nothing_else_is(gateway):
    await gateway.db.execute("UPDATE orgs SET timezone = 'Europe/Berlin'")
    await random_calls(gateway, 5, 200, {gateway.project_id: gateway.org_id})
    asked = "since=2026-10-03T10:20:00Z&until=2026-10-20T07:40:00Z"

    async def costs(by, zone="Europe/Berlin", more=""):
        told = await gateway.admin("GET", f"/usage?group_by={by}&{asked}&timezone={zone}{more}")
        return told.json["total"]["cost_nusd"]

    right = await costs("model")
    await gateway.db.execute("UPDATE usage_daily SET cost_nusd = 0")
    edges = await costs("project")
    assert 0 < edges < right
    assert await costs("day") == await costs("month") == await costs("project,day") == edges
    for by in ("hour", "model", "key", "tier", "user", "day,key"):
        assert await costs(by) == right, by
    assert await costs("day", "UTC") == right, "these days begin in the middle of the org's"
    await gateway.db.execute("UPDATE api_keys SET id = 'key_1'")
    assert edges < await costs("day", more="&key=key_1") < right
    assert await costs("project", more=f"&project={gateway.project_id}") == edges


async def adds_up(gateway, calls, zone):
    here = ZoneInfo(zone)
    for since, until in (
        ("2026-10-02", "2026-10-27"),
        ("2026-10-03T03:17:00Z", "2026-10-26T21:44:30Z"),
        ("2026-10-24T01:05:00Z", "2026-10-24T07:55:00Z"),
    ):
        low, high = (moment(text, here) for text in (since, until))
        inside = [call for call in calls if low <= call.created_at < high]
        for by in (
            "project",
            "key",
            "model",
            "provider",
            "tier",
            "user",
            "tag",
            "tag:env",
            "endpoint",
            "hour",
            "day",
            "month",
            "day,model",
            "project,tag:env,key",
        ):
            told = (
                await gateway.admin("GET", f"/usage?group_by={by}&since={since}&until={until}&timezone={zone}")
            ).json
            assert told["timezone"] == zone
            assert without_names(told["total"]) == added(inside), (by, since)
            for name in added([]):
                assert sum(row[name] for row in told["data"]) == told["total"][name], (by, name)
            if by == "day":
                days = defaultdict(list)
                for call in inside:
                    days[str(datetime.fromtimestamp(call.created_at, here).date())].append(call)
                assert {row["group"]: without_names(row) for row in told["data"]} == {
                    day: added(of) for day, of in days.items()
                }


def moment(text, zone):
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=zone)).timestamp()


async def test_a_report_is_of_one_project_or_key(gateway):
    calls = await random_calls(gateway, 1, 100)
    wanted = [call for call in calls if call.project_id == "prj_two"]
    told = (await gateway.admin("GET", "/usage?group_by=model&since=2026-10-01&project=two")).json
    assert without_names(told["total"]) == added(wanted)
    told = (await gateway.admin("GET", "/usage?since=2026-10-01&until=2026-11-15")).json
    assert {row["group"] for row in told["data"]} == {"default", "two"}
    assert {row["group_id"] for row in told["data"]} == {gateway.project_id, "prj_two"}
    costs = [row["cost_nusd"] for row in told["data"]]
    assert costs == sorted(costs, reverse=True)


async def test_the_orgs_zone_is_the_reports(gateway):
    await gateway.db.execute("UPDATE orgs SET timezone = 'Europe/Berlin'")
    told = (await gateway.admin("GET", "/usage?group_by=day")).json
    assert told["timezone"] == "Europe/Berlin"
    since = datetime.fromisoformat(told["since"]).astimezone(ZoneInfo("Europe/Berlin"))
    assert (since.day, since.hour, since.minute) == (1, 0, 0)
    assert told["data"] == []
    assert told["total"]["requests"] == 0


async def test_several_groups_are_the_groups_of_each_pair(gateway):
    calls = await random_calls(gateway, 3, 200)
    told = (await gateway.admin("GET", "/usage?group_by=project,provider,day&since=2026-10-01&until=2026-11-15")).json
    pairs = defaultdict(list)
    for call in calls:
        project = "two" if call.project_id == "prj_two" else "default"
        pairs[project, call.provider or "", str(datetime.fromtimestamp(call.created_at, UTC).date())].append(call)
    assert {tuple(row["groups"].values()): without_names(row) for row in told["data"]} == {
        pair: added(of) for pair, of in pairs.items()
    }
    days = [row["groups"]["day"] for row in told["data"]]
    assert days == sorted(days)
    assert all(list(row["groups"]) == ["project", "provider", "day"] for row in told["data"])


WRONG = [
    ("group_by=colour", "project, key"), ("group_by=day,hour", "one of hour"), ("group_by=key,key", "once"), ("group_by=key,", "not"),
    ("group_by=model:x", "tag:NAME"), ("timezone=Mars/Base", "Mars/Base"),
    ("since=whenever", "since=whenever"), ("since=2026-11-02&until=2026-11-01", "later"), ("project=nobody", "nobody"),
]  # fmt: skip


async def test_what_is_asked_wrongly_is_told(gateway):
    for query, says in WRONG:
        answered = await gateway.admin("GET", f"/usage?{query}")
        assert answered.status in (400, 404), query
        assert says in answered.json["error"]["message"]
