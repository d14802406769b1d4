"""What the lists of the admin API cost when there are many projects and keys, each with a month of use.

    python -m bench.lists [--projects 10000] [--keys 100000] [--rounds 5]

Every key is used in one hour of each of the last 30 days, every project has a budget and every tenth key a rate. Writes
bench/results/DATE-lists.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request

import asyncpg

from bench import overhead, rig

DAYS = 30
ROUTES = (
    "/projects?limit=50",
    "/projects?limit=500",
    "/projects/bench-1/keys?limit=50",
    "/limits",
    "/usage?group_by=project&since=30d",
    "/usage?group_by=day&since=30d",
    "/overview",
)

INSERT_HOURS = """
INSERT INTO usage_hourly (hour, org_id, project_id, key_id, provider, model, tier, usage_source, calls, prompt_tokens, completion_tokens,
    cost_nusd)
SELECT date_trunc('hour', now(), 'UTC') - make_interval(hours => $3 * 24 + n % 24), (SELECT id FROM orgs LIMIT 1),
    'prj_bench' || (1 + n % $2), 'key_bench' || n, 'openai', 'gpt-6-luna', 'fast', 'provider', 10, 1000, 200, 1000000 + n
FROM generate_series(1, $1) AS n
"""

INSERT_BUDGETS = """
INSERT INTO budgets (id, scope, subject, amount_nusd, "window", created_at)
SELECT 'bud_list' || n, 'project', 'prj_bench' || n, 1000000000000, '1mo', now() - interval '40 days' FROM generate_series(1, $1) AS n
"""

INSERT_RATES = """
INSERT INTO limits (id, scope, subject, rpm) SELECT 'lim_list' || n, 'key', 'key_bench' || n, 600 FROM generate_series(10, $1, 10) AS n
"""


LEAVE_THE_BOOKS_ALONE = """
INSERT INTO retention_horizons (name, dropped_before) VALUES ('request_logs', now() + interval '1 day')
ON CONFLICT (name) DO UPDATE SET dropped_before = excluded.dropped_before
"""
"""There are sums and no rows, as if retention had dropped them; otherwise the gateway looks for them every minute."""


async def fill(database_url: str, projects: int, keys: int) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        for statement, given in (
            (LEAVE_THE_BOOKS_ALONE, ()),
            *((INSERT_HOURS, (keys, projects, day)) for day in range(DAYS)),
            (INSERT_BUDGETS, (projects,)),
            (INSERT_RATES, (keys,)),
            ("VACUUM ANALYZE", ()),
        ):
            await connection.execute(statement, *given)
    finally:
        await connection.close()


def token(gateway: rig.Rig) -> str:
    """What `optyx seed` wrote for the first owner."""
    return str(json.loads((gateway.home / "credentials.json").read_text())["admin_token"])


def ask(gateway: rig.Rig, admin_token: str, route: str) -> float:
    """Milliseconds until the whole answer is there."""
    asked = urllib.request.Request(f"{gateway.url}/admin/v1{route}", headers={"Authorization": f"Bearer {admin_token}"})
    began = time.perf_counter()
    with urllib.request.urlopen(asked, timeout=120) as answer:
        answer.read()
    return (time.perf_counter() - began) * 1000


def command(gateway: rig.Rig, admin_token: str) -> float:
    """Milliseconds of the whole command `optyx projects list`."""
    environment = {**os.environ, "OPTYX_GATEWAY_URL": gateway.url, "OPTYX_ADMIN_TOKEN": admin_token}
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "tui.cli", "projects", "list"], env=environment, check=True, capture_output=True
    )
    return (time.perf_counter() - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description="How long do lists take when there is much?")
    parser.add_argument("--projects", type=int, default=10_000)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with (
        rig.upstream() as mock,
        rig.running(mock, keys=given.keys, projects=given.projects, rules=False, pin=False) as gateway,
    ):
        asyncio.run(fill(gateway.database_url, given.projects, given.keys))
        admin_token = token(gateway)
        took: dict[str, list[float]] = {}
        for number in range(given.rounds + 1):
            for route in ROUTES:
                took.setdefault(f"GET {route}", []).append(ask(gateway, admin_token, route))
            took.setdefault("optyx projects list", []).append(command(gateway, admin_token))
            if number == 0:  # a first look at cold pages is no measurement
                took.clear()
    found = {
        name: {"median_ms": round(statistics.median(each), 1), "most_ms": round(max(each), 1)}
        for name, each in took.items()
    }
    for name, figures in found.items():
        print(f"{name:<48}{figures['median_ms']:>9.1f} ms   at most {figures['most_ms']:>9.1f}")
    print(f"written: {overhead.write('lists', {'projects': given.projects, 'keys': given.keys, 'lists': found})}")


if __name__ == "__main__":
    main()
