"""A gateway under measurement: its own Postgres, migrated and seeded, with as many keys, limits and budgets as asked, workers pinned.

Everything is on, as in production: keys among many, an allow-list, rates, a money budget, the journal, logs into Postgres, metrics.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import asyncpg

from bench import processes
from gateway import keyring
from gateway.embedded import EmbeddedPostgres
from tests.books.processes import path_without

MODEL = "gpt-6-luna"
SHAPED = ["paced-20", "paced-200", "chunks-20", "chunks-200", "hold-20"]
"""Models by whose names the mock shapes its answers; furnished with a price."""
GATEWAY_CORE, LOAD_CORE = 0, (1 if (os.cpu_count() or 1) > 1 else 0)


class Rig(NamedTuple):
    """A running gateway. `pid` is the parent of its whole tree, without Postgres."""

    url: str
    key: str
    pid: int
    upstream_url: str
    database_url: str
    home: Path
    started_s: float


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def upstream(pem: Path | None = None, port: int = 0) -> Iterator[str]:
    """The mock provider, pinned beside the load, with TLS when it is given a certificate; gives its base URL."""
    command = [
        sys.executable,
        "-m",
        "bench.upstream",
        "--port",
        str(port),
        *(["--certificate", str(pem)] if pem else []),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        processes.pin(process.pid, LOAD_CORE)
        yield f"http{'s' if pem else ''}://127.0.0.1:{port}/v1"
    finally:
        stop(process)


@contextlib.contextmanager
def running(
    upstream_url: str,
    *,
    keys: int = 10_000,
    projects: int = 10,
    workers: int = 1,
    rules: bool = True,
    pin: bool = True,
    trusted: Path | None = None,
    without: str | None = None,
) -> Iterator[Rig]:
    """A seeded gateway on a free port. `rules`: rates, a budget and an allow-list on the measured key's project; `trusted`: the
    certificate of the mock; `without`: a module that can't be imported there, as if it were not installed."""
    home = Path(tempfile.mkdtemp(prefix="optyx-bench-"))
    os.chmod(home, 0o755)
    postgres = EmbeddedPostgres(home / "postgres", tcp=True)
    database_url = postgres.start()
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OPTYX_", "GATEWAY_"))},
        "DATABASE_URL": database_url,
        "OPTYX_HOME": str(home),
        "OPENAI_BASE_URL": upstream_url,
        "OPENAI_API_KEY": "sk-bench",
        "GATEWAY_PORT": str(port),
        "GATEWAY_WORKERS": str(workers),
        "LOG_LEVEL": "warning",
        **({"SSL_CERT_FILE": str(trusted)} if trusted else {}),
        **({"PYTHONPATH": path_without(home, without)} if without else {}),
    }
    optyx = [sys.executable, "-m", "tui.cli"]
    process = None
    try:
        for command in (["migrate", "up"], ["seed"]):
            subprocess.run([*optyx, *command], env=environment, check=True, stdout=subprocess.DEVNULL)
        key = asyncio.run(furnish(database_url, keys, projects, rules))
        started = time.perf_counter()
        process = subprocess.Popen([*optyx, "serve", "--workers", str(workers)], env=environment)
        url = f"http://127.0.0.1:{port}"
        wait_ready(url, process)
        started_s = time.perf_counter() - started
        if pin:
            processes.pin(process.pid, GATEWAY_CORE)
        yield Rig(url, key, process.pid, upstream_url, database_url, home, started_s)
    finally:
        if process is not None:
            stop(process)
        postgres.stop()
        shutil.rmtree(home, ignore_errors=True)


INSERT_PROJECTS = """
INSERT INTO projects (id, org_id, slug, name)
SELECT 'prj_bench' || n, (SELECT id FROM orgs LIMIT 1), 'bench-' || n, 'bench ' || n FROM generate_series(1, $1) AS n
"""

INSERT_KEYS = """
INSERT INTO api_keys (id, project_id, name, public_id, digest)
SELECT 'key_bench' || n, 'prj_bench' || (1 + n % $2), 'bench ' || n, 'bench' || n, sha256(n::text::bytea) FROM generate_series(1, $1) AS n
"""

INSERT_MEASURED_KEY = """
INSERT INTO api_keys (id, project_id, name, public_id, digest, allowed_models) VALUES ('key_measured', 'prj_bench1', 'measured', $1, $2, $3)
"""

INSERT_MODELS = """
INSERT INTO models (id, provider_id, upstream_name, mode)
SELECT name, (SELECT id FROM providers WHERE name = 'openai'), name, 'chat' FROM unnest($1::text[]) AS name
"""

INSERT_PRICES = """
INSERT INTO prices (id, provider_id, model_id, effective_from, input_nusd, output_nusd, source)
SELECT 'pri_' || name, (SELECT id FROM providers WHERE name = 'openai'), name, '2026-01-01', 250000000, 2000000000, 'bench'
FROM unnest($1::text[]) AS name
"""

INSERT_LIMIT = "INSERT INTO limits (id, scope, subject, rpm, tpm) VALUES ($1, $2, $3, 100000000, 100000000000)"

INSERT_BUDGET = """
INSERT INTO budgets (id, scope, subject, amount_nusd, "window") VALUES ($1, $2, $3, 1000000000000000, '1mo')
"""


async def furnish(database_url: str, keys: int, projects: int, rules: bool) -> str:
    """Projects, keys and rules as asked; returns the measured key."""
    connection = await asyncpg.connect(database_url)
    minted = keyring.mint()
    try:
        await connection.execute(INSERT_PROJECTS, projects)
        # One statement a row would wake the workers per key; nobody listens yet.
        await connection.execute("ALTER TABLE api_keys DISABLE TRIGGER USER")
        await connection.execute(INSERT_KEYS, keys, projects)
        await connection.execute("ALTER TABLE api_keys ENABLE TRIGGER USER")
        await connection.execute(INSERT_MODELS, SHAPED)
        await connection.execute(INSERT_PRICES, SHAPED)
        allowed = [MODEL, *SHAPED] if rules else None
        await connection.execute(INSERT_MEASURED_KEY, minted.public_id, minted.digest, allowed)
        if rules:
            await connection.execute(INSERT_LIMIT, "lim_bench1", "project", "prj_bench1")
            await connection.execute(INSERT_LIMIT, "lim_bench2", "key", "key_measured")
            await connection.execute(INSERT_BUDGET, "bud_bench1", "project", "prj_bench1")
            await connection.execute(INSERT_BUDGET, "bud_bench2", "key", "key_measured")
    finally:
        await connection.close()
    return minted.text


def wait_ready(url: str, process: subprocess.Popen[bytes], timeout_s: float = 60) -> None:
    """Until `/health/ready` is 200; raises when the gateway ends or the time is up."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the gateway ended with {process.returncode}")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health/ready", timeout=1) as answer:
            if answer.status == 200:
                return
        time.sleep(0.02)
    raise RuntimeError(f"{url} was not ready after {timeout_s} s")


def stop(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """SIGTERM twice (the second skips the drain), then SIGKILL."""
    for how in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
