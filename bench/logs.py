"""How fast the log is searched: fills a Postgres of its own with calls of 30 days, asks a matrix of filters, keeps plans and percentiles.

    python -m bench.logs [--rows 5000000] [--days 30] [--keep FOLDER] [--rounds 7]

`--keep` leaves the filled database in FOLDER, and finds it again the next time. Writes bench/results/DATE-logs.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import shutil
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from gateway import migrate
from gateway.admin import filter as grammar
from gateway.embedded import EmbeddedPostgres
from gateway.secret import Secret
from gateway.store import glance, ingest, log_filter, log_rows, log_search, partitions

RESULTS = Path(__file__).parent / "results"

PEOPLE = """
INSERT INTO orgs (id, slug, name) VALUES ('org_b', 'bench', 'Bench') ON CONFLICT DO NOTHING;
INSERT INTO projects (id, org_id, slug, name) SELECT 'prj_' || n, 'org_b', 'project-' || n, 'Project ' || n FROM generate_series(1, 50) n
ON CONFLICT DO NOTHING;
INSERT INTO api_keys (id, project_id, name, public_id, digest)
SELECT 'key_' || n, 'prj_' || (n % 50 + 1), 'ci-' || n, 'pub' || n, sha256(n::text::bytea) FROM generate_series(1, 2000) n
ON CONFLICT DO NOTHING;
"""

# Rows of [$1, $2), $3 of them. Skewed as life is: one project has half of the calls, one model in a thousand calls is rare, 3 % errors.
FILL = """
INSERT INTO request_logs (created_at, call_id, request_id, org_id, project_id, key_id, endpoint, tier, requested_model, provider, model,
    status, error_code, end_reason, stream, attempts, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, total_tokens,
    usage_source, cost_nusd, price_id, latency_ms, ttft_ms, overhead_ms, "user", tags, gateway_version, worker_id, details)
SELECT $1::timestamptz + ($2::timestamptz - $1::timestamptz) * (n::float8 / $3), call_id, 'req_' || replace(call_id::text, '-', ''), 'org_b',
    'prj_' || key % 50 + 1, 'key_' || key, CASE WHEN dice < 0.1 THEN 'embeddings' ELSE 'chat' END, CASE WHEN dice < 0.5 THEN 'fast' END,
    CASE WHEN dice >= 0.5 THEN 'gpt-' || model END, CASE WHEN model % 3 = 0 THEN 'google' ELSE 'openai' END,
    CASE WHEN rare < 0.00002 THEN 'rare-model' ELSE 'gpt-' || model END,
    CASE WHEN dice < 0.97 THEN 200 WHEN dice < 0.985 THEN 429 WHEN dice < 0.9995 THEN 502 ELSE 504 END,
    CASE WHEN dice < 0.97 THEN NULL WHEN dice < 0.985 THEN 'rate_limit_exceeded' WHEN dice < 0.9995 THEN 'upstream_error'
         ELSE 'upstream_timeout' END,
    CASE WHEN dice < 0.97 THEN 'complete' WHEN dice < 0.985 THEN 'refused' ELSE 'upstream_failed' END, dice > 0.3,
    '[{"provider": "openai", "model": "gpt-5", "status": 200, "ms": 812.4, "start_ms": 1.2, "ttft_ms": 210.2, "reused": true}]',
    1000 + n % 3000, n % 700, n % 100, 0, 1000 + n % 3000 + n % 700, 'provider', (random() * 20000000)::bigint, 'prc_1',
    300 + random() * 3000, 100 + random() * 600, random() * 3, CASE WHEN n % 3 = 0 THEN 'u-' || n % 5000 END,
    CASE WHEN n % 2 = 0 THEN ARRAY['env=prod', 'feature=f' || n % 20] END, '0.1.0', 'wrk_1',
    jsonb_build_object('why', 'tier fast', 'finish_reason', 'stop')
        || CASE WHEN n % 2 = 0 THEN jsonb_build_object('traceparent', '00-' || md5($1 || '.' || n / 10) || '-00f067aa0ba902b7-01') ELSE '{}' END
FROM (
    SELECT n, gen_random_uuid() AS call_id, random() AS dice, random() AS rare, (random() * 11)::int AS model,
        CASE WHEN random() < 0.5 THEN 7 + 50 * (random() * 3)::int ELSE (random() * 1998)::int + 1 END AS key
    FROM generate_series(1, $3::int) n
) AS made
"""

FILTERS = {
    "everything": "",
    "errors": "status:4xx,5xx",
    "one rare status": "status:504",
    "error code": "err:upstream_timeout",
    "busy project": "project:project-8",
    "quiet project": "project:project-30",
    "key by name": "key:ci-1311",
    "key and error": "key:ci-1311 status:5xx",
    "two keys": "key:ci-1311,ci-77",
    "model": "model:gpt-5",
    "model by pattern": "model:gpt-*",
    "rare model": "model:rare-model",
    "provider, not": "-provider:openai",
    "end user": "user:u-4242",
    "tag": "tag:feature=f8",
    "tag and user": "tag:env=prod user:u-99",
    "slow": "ttft:>690ms total:>3.2s",
    "dear": "cost:>0.01999",
    "impossible": "cost:>1 tokens:>100k",
    "many attempts": "attempts:>1",
    "free word": "ci-1311",
    "free word, nothing": "zebra",
    "regex": "/gpt-1[01]/",
    "regex, nothing": "/zeb.*ra$/",
    "a day, three weeks ago": "status:5xx since:22d until:21d",
    "since 15 minutes": "since:15m model:gpt-7",
    "month and project": "project:project-30 stream:yes since:30d",
}


async def fill(connection: Any, rows: int, days: int, until: datetime) -> None:
    """Day by day, older first, as life writes it."""
    await connection.execute(PEOPLE)
    start = (until - timedelta(days=days)).replace(microsecond=0)
    await partitions.make_days(connection, "request_logs", [start.date() + timedelta(days=n) for n in range(days + 2)])
    for day in range(days):
        since = start + timedelta(days=day)
        await connection.execute(FILL, since, since + timedelta(days=1), rows // days, timeout=600)
    await connection.execute("VACUUM ANALYZE request_logs", timeout=600)


WRITER = """
CREATE TABLE IF NOT EXISTS written (LIKE request_logs INCLUDING DEFAULTS INCLUDING IDENTITY);
CREATE TABLE IF NOT EXISTS source AS SELECT row_number() OVER () AS n, r.* FROM request_logs r
    WHERE created_at >= now() - interval '9 hours' LIMIT 50000;
CREATE INDEX IF NOT EXISTS source_n ON source (n);
"""
INDEXES = {
    "primary key alone": "SELECT 1",
    "by request id": "CREATE INDEX written_i ON written (request_id text_pattern_ops)",
    "by call id": "CREATE INDEX written_i ON written USING hash (call_id)",
    "by call id, as a tree": "CREATE INDEX written_i ON written (call_id)",
    "by project": "CREATE INDEX written_i ON written (project_id, created_at DESC)",
    "by key": "CREATE INDEX written_i ON written (key_id, created_at DESC, call_id DESC)",
    "errors": """CREATE INDEX written_i ON written (created_at DESC, call_id DESC, status)
                 WHERE status >= 400 OR error_code IS NOT NULL""",
    "by trace, of every second call": """CREATE INDEX written_i ON written ((substring(details ->> 'traceparent' FROM 4 FOR 32)), created_at DESC)
                 WHERE substring(details ->> 'traceparent' FROM 4 FOR 32) IS NOT NULL""",
    "by ingest": "CREATE INDEX written_i ON written (ingest_xid, seq)",
}


async def writer_cost(connection: Any, columns: str) -> dict[str, float]:
    """µs a row of Postgres's insert, in batches of 500, with one index more than the primary key."""
    await connection.execute(WRITER)
    copy = "\n".join(
        ("INSERT INTO written (", columns, ") SELECT", columns, "FROM source WHERE n > $1 AND n <= $1 + 500")
    )
    results = dict.fromkeys(INDEXES, float("inf"))
    for _ in range(5):  # interleaved, and the best of each counts: a shared machine only ever adds
        for name, index in INDEXES.items():
            await connection.execute("TRUNCATE written; ALTER TABLE written DROP CONSTRAINT IF EXISTS written_pkey")
            await connection.execute(
                "DROP INDEX IF EXISTS written_i; ALTER TABLE written ADD PRIMARY KEY (created_at, call_id)"
            )
            await connection.execute(index)
            began = time.perf_counter()
            for start in range(0, 50_000, 500):
                await connection.execute(copy, start)
            results[name] = min(results[name], round((time.perf_counter() - began) / 50_000 * 1e6, 2))
    print(f"writer, µs a row: {results}")
    await connection.execute("DROP TABLE written, source")
    return results


async def plan_of(connection: Any, text: str) -> list[str]:
    """How a page over the whole log would be read: the kinds of scan with their indexes, days left out."""
    wanted, low, high = await log_search.prepare(connection, grammar.parse(text, time.time()))
    where = log_filter.where(wanted, 5)
    async with log_search.bounded(connection, 30):
        statement = "EXPLAIN (FORMAT JSON) " + log_search.page_statement(where, ascending=False)
        told = await connection.fetchval(statement, low, high, log_search.ZERO, 101, *where.values)
    found: set[str] = set()

    def walk(node: dict[str, Any]) -> None:
        name = re.sub(r"_(\d{8}|default)", "", f"{node.get('Index Name') or node.get('Relation Name') or ''}")
        if node["Node Type"].endswith("Scan") and name.startswith("request_logs"):
            found.add(f"{node['Node Type']} {name}")
        for child in node.get("Plans", []):
            walk(child)

    walk(json.loads(told)[0]["Plan"])
    return sorted(found)


async def glances(connection: Any, rounds: int) -> dict[str, Any]:
    """The overview's look, for each window; and what a count takes."""
    results = {}
    newest = await connection.fetchval("SELECT max(created_at) FROM request_logs")
    projects, keys = [f"prj_{n}" for n in range(10)], [f"key_{n}" for n in range(10)]
    for name, span in (("15m", timedelta(minutes=15)), ("1h", timedelta(hours=1)), ("24h", timedelta(hours=24))):
        took = []
        for _ in range(rounds):
            began = time.perf_counter()
            async with log_search.bounded(connection, 10, may_read_all=True):
                await glance.look(connection, newest - span, span, projects, keys)
            took.append((time.perf_counter() - began) * 1000)
        results[f"overview {name}"] = _spread(took)
    for name, text in (("count of a day", "since:24h"), ("count of errors of a month", "status:5xx since:30d")):
        took = []
        for _ in range(rounds):
            began = time.perf_counter()
            wanted, low, high = await log_search.prepare(connection, grammar.parse(text, time.time()))
            await log_search.count(connection, wanted, low, min(high, datetime.now(UTC)), 60, 0.2)
            took.append((time.perf_counter() - began) * 1000)
        results[name] = _spread(took)
    for name, one in results.items():
        print(f"{name:26} {one['p50_ms']:8.1f} {one['p95_ms']:8.1f}")
    return results


async def measure(connection: Any, rounds: int) -> dict[str, Any]:
    results = {}
    for name, text in FILTERS.items():
        took, page = [], None
        for _ in range(rounds):
            began = time.perf_counter()
            wanted = grammar.parse(text, time.time())
            page = await log_search.search(connection, wanted, limit=100)
            took.append((time.perf_counter() - began) * 1000)
        assert page is not None
        results[name] = {
            "filter": text,
            "rows": len(page.rows),
            "complete": page.scanned_to is None,
            "scanned_to": page.scanned_to.isoformat() if page.scanned_to else None,
            **_spread(took),
            "plan_of_the_whole": await plan_of(connection, text),
        }
        print(
            f"{name:26} {results[name]['p50_ms']:8.1f} {results[name]['p95_ms']:8.1f}  {len(page.rows)} rows  {page.scanned_to or ''}"
        )
    return results


LOOKED_UP = "\n".join(
    ("SELECT request_id, call_id,", log_rows.TRACE_ID, "FROM request_logs r TABLESAMPLE SYSTEM (0.002) LIMIT 40")
)


async def look_up(connection: Any, rounds: int) -> dict[str, Any]:
    rows = await connection.fetch(LOOKED_UP)
    results = {}
    for name, ids in (("by request id", [row[0] for row in rows]), ("by call id", [str(row[1]) for row in rows])):
        took = []
        for wanted in (ids * rounds)[:200]:
            began = time.perf_counter()
            assert await log_search.find(connection, wanted)
            took.append((time.perf_counter() - began) * 1000)
        results[name] = _spread(took)
        print(f"{name:26} {results[name]['p50_ms']:8.1f} {results[name]['p95_ms']:8.1f}")
    traces = {row[2] for row in rows if row[2]}
    filters = [grammar.parse(f"trace:{trace}", time.time()) for trace in (*traces, "0" * 32)]
    for name, ask in (
        ("by trace", lambda at: log_search.search(connection, filters[at % len(filters)], limit=100)),
        ("what a trace came to", lambda at: log_search.trace_of(connection, list(traces)[at % len(traces)])),
    ):
        took = []
        for at in range(200):
            began = time.perf_counter()
            await ask(at)
            took.append((time.perf_counter() - began) * 1000)
        results[name] = _spread(took)
        print(f"{name:26} {results[name]['p50_ms']:8.1f} {results[name]['p95_ms']:8.1f}")
    return results


def _spread(took: list[float]) -> dict[str, float]:
    cut = statistics.quantiles(took, n=20, method="inclusive")
    return {"p50_ms": round(cut[9], 2), "p95_ms": round(cut[18], 2), "max_ms": round(max(took), 2)}


async def main(rows: int, days: int, keep: Path | None, rounds: int) -> None:
    folder = keep or Path(tempfile.mkdtemp(prefix="optyx-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    server = EmbeddedPostgres(folder / "postgres", tcp=True)
    try:
        url = server.start()
        migrate.up(Secret(url))
        connection = await asyncpg.connect(url)
        filled_s = None
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM request_logs)"):
            began = time.perf_counter()
            await fill(connection, rows, days, datetime.now(UTC))
            filled_s = time.perf_counter() - began
            print(f"filled in {filled_s:.0f} s")
        result = {
            "what": "first pages of the log, 100 rows, one connection, warm",
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores",
            "postgres": await connection.fetchval("SHOW server_version"),
            "rows": await connection.fetchval(
                "SELECT sum(reltuples)::bigint FROM pg_class WHERE relname LIKE 'request_logs_2%' AND relkind = 'r'"
            ),
            "days": days,
            "bytes": await connection.fetchval(
                "SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree('request_logs')"
            ),
            "filters": await measure(connection, rounds),
            "glances": await glances(connection, rounds),
            "look_ups": await look_up(connection, 5),
            "writer_us_per_row": await writer_cost(connection, ", ".join(f'"{name}"' for name in ingest.COLUMNS)),
        }
        RESULTS.mkdir(exist_ok=True)
        target = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-logs.json"
        target.write_text(json.dumps(result, indent=1, default=str) + "\n")
        print(target)
        await connection.close()
    finally:
        server.stop()
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    asyncio.run(main(given.rows, given.days, given.keep, given.rounds))
