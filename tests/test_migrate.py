"""The schema goes up, down and up again, from four processes at once, and after a kill."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pytest

from gateway import migrate
from gateway.secret import Secret

ROOT = Path(__file__).parent.parent

SCHEMA = """
SELECT 'column', table_name, column_name, data_type, is_nullable, coalesce(column_default, '')
FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '%yoyo%'
UNION ALL
SELECT 'index', tablename, indexname, indexdef, '', '' FROM pg_indexes WHERE schemaname = 'public' AND tablename NOT LIKE '%yoyo%'
UNION ALL
SELECT 'function', proname, '', prosrc, '', '' FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL
SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), '', '' FROM pg_trigger WHERE NOT tgisinternal
ORDER BY 1, 2, 3, 4
"""


def schema(url: str) -> list[tuple]:
    connection = psycopg2.connect(url)
    with connection.cursor() as cursor:
        cursor.execute(SCHEMA)
        rows = cursor.fetchall()
    connection.close()
    return rows


def test_up_down_up_gives_the_same_schema(empty_database_url):
    url = Secret(empty_database_url)
    assert migrate.missing(url) == [step.id for step in migrate.status(url)]
    assert migrate.up(url) == [step.id for step in migrate.status(url)]
    first = schema(empty_database_url)
    assert any(row[1] == "request_logs" for row in first)
    assert migrate.up(url) == []
    migrate.down(url, "0")
    assert not any(row[0] == "column" for row in schema(empty_database_url))
    migrate.up(url)
    assert schema(empty_database_url) == first


def test_down_to_a_step_keeps_what_stands_before_it(empty_database_url):
    url = Secret(empty_database_url)
    ids = migrate.up(url)
    assert set(migrate.down(url, ids[-2])) == {ids[-1]}
    assert migrate.missing(url) == [ids[-1]]
    with pytest.raises(migrate.MigrateError, match="there is no migration"):
        migrate.down(url, "9999")


def test_four_at_once_migrate_once(empty_database_url):
    with ThreadPoolExecutor(4) as threads:
        applied = list(threads.map(lambda _: migrate.up(Secret(empty_database_url)), range(4)))
    assert sorted(len(ids) for ids in applied)[:3] == [0, 0, 0]
    assert not migrate.missing(Secret(empty_database_url))


def test_a_lock_row_of_a_killed_process_is_broken(empty_database_url):
    program = f"""
import os, sys
os.environ.setdefault("LOGNAME", "optyx")
import yoyo
backend = yoyo.get_backend({empty_database_url!r})
with backend.lock():
    print("locked", flush=True)
    sys.stdin.read()
"""
    holder = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "locked\n"
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    assert migrate.up(Secret(empty_database_url))


def test_the_yoyo_command_works_with_the_committed_ini(empty_database_url):
    environment = {**os.environ, "DATABASE_URL": empty_database_url}
    applied = subprocess.run(
        [Path(sys.executable).parent / "yoyo", "apply"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert applied.returncode == 0, applied.stderr
    assert not migrate.missing(Secret(empty_database_url))


def test_every_migration_has_a_rollback_and_a_reason():
    steps = sorted(path for path in (ROOT / "migrations").glob("*.sql") if ".rollback" not in path.name)
    for step in steps:
        assert step.with_suffix(".rollback.sql").exists(), step
        assert step.read_text().startswith("-- Why: "), step


def test_an_unreachable_database_is_an_error_that_says_so():
    with pytest.raises(migrate.MigrateError, match="can't be reached"):
        migrate.up(Secret("postgresql://optyx@127.0.0.1:1/optyx"))
